"""Compare three specialists and one model: same data, folds and backbone, scored on persons never seen.

    python benchmarks/against_single_model.py --data FOLDER --only-fold 0
    python benchmarks/against_single_model.py --data FOLDER --extra EXTRA --only s d e r s+ d+ e+ r+

a   the competition's own baseline: centre crop of 320 x 256 resized to 128 x 96, one model over 18 classes
b   one model over 18 classes on our aligned crops
c   one backbone with three heads on our aligned crops
s   one model over 18 classes with the specialists' start: a head on the frozen ready-made model
d   three specialists as the plain commands train them, the most probable class
e   the same with temperatures, tuned age thresholds and class weights for macro F1, learned on held-out persons
r   e, where mask and age are the mean of two runs: the plain one, and one that trains all layers
    (pipelines/TASK/all_layers.toml; with further persons with_extra.toml)
rp  r with gender and age averaged over the images of a person (--persons of combine.py)

b+, s+, d+, e+, r+ and rp+ are the same trained with the persons of --extra too. a, b, b+ and c start from ImageNet.

The eval images are scored with the networks of all folds averaged, held-out images with the one network that has not
seen their person (the decisions of e are learned on other persons there too). If photographs of eval persons are among
the training images (shared.near_duplicates), a further table leaves these persons out.

Every part keeps its runs and predictions in its folder below --out and is not run again. Its scores are a row of
runs.csv there; "shown" counts the images of all its training epochs. With --age-runs 3, each training of age is
repeated with three seeds, and all are averaged.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
from centre_crops import centre_crops
from single_model_report import Line, read_truth, report, report_held_out, report_without, scores
from single_models import PLAIN, SINGLE, THREE_HEADS, eighteen

from pipelines.age import options as age_options
from pipelines.age.specialist import specialist as age_specialist
from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared import crop_faces
from shared.commands import config_flags, parse, run
from shared.crops import CropSet, open_crops
from shared.files import write_text
from shared.fusion.decision import averaged, fit_decision
from shared.fusion.fusion import SPECIALISTS, average_persons, average_runs, fuse, most_probable
from shared.fusion.predictions import EVAL, OOF, join_held_out, read_held_out, read_predictions, write_predictions
from shared.manifest import load_images, load_training, split_folder, split_folders
from shared.messages import UserError
from shared.near_duplicates import eval_faces, find_near_duplicates
from shared.specialist import Specialist
from shared.tracking import Record, is_recorded, origin, read_run_json, record
from shared.training.inference import accelerator_for, predict_crops
from shared.training.options import DEFAULT_BACKBONE, TrainOptions
from shared.training.run import EXTRA_PARTS, train
from shared.training.run_folder import WEIGHTS, crop_folder, finished_folds

Part = Literal["a", "b", "b+", "c", "s", "s+", "d", "d+", "e", "e+", "r", "r+", "rp", "rp+"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Options:
    """Train and score one model and three specialists side by side."""

    data: Path = Path("data")
    """The competition folder, with eval_solution.csv (ImageID, ans, person, age)."""
    extra: Path | None = None
    """A folder of further persons, for the parts with a plus."""
    out: Path = Path("outputs/against_single_model")
    """Folder of crops, runs and tables."""
    only: tuple[Part, ...] = ("a", "b", "c", "s", "d", "e")
    """Parts to run."""
    age_runs: int = 1
    """Trainings of the age specialist to average, with --seed and the seeds after it."""
    only_fold: int | None = None
    """Train and score this fold of five alone."""
    seed: int = 0
    workers: int = 1
    """Processes that load images."""

    def __post_init__(self) -> None:
        if not self.only:
            raise UserError("--only names no part")
        if self.age_runs < 1:
            raise UserError(f"--age-runs must be at least 1, not {self.age_runs}")
        further = [part for part in self.only if part.endswith("+")]
        if further and not self.extra:
            raise UserError(f"--only {further[0]} trains with further persons: name their folder with --extra")


@dataclass(frozen=True)
class Model:
    """A specialist to train."""

    specialist: Callable[[Any], Specialist]
    defaults: TrainOptions
    aligned: bool = True
    """Aligned crops, or the middle of the image."""


_IMAGENET = TrainOptions.of(backbone=DEFAULT_BACKBONE, size=112, epochs=4, weight_decay=0.02, dropout=0.2, ema=0.99)
"""Networks from ImageNet."""

_SINGLE_OPTIONS = _IMAGENET.with_values(label_smoothing=0.05)

MODELS = {
    "a": Model(lambda _: PLAIN, _IMAGENET.with_values(tta="none", drawn_masks=0.0), aligned=False),
    "b": Model(lambda _: SINGLE, _SINGLE_OPTIONS),
    "c": Model(lambda _: THREE_HEADS, _IMAGENET),
    "s": Model(lambda _: SINGLE, TrainOptions()),
    "mask": Model(lambda _: MASK, TrainOptions()),
    "gender": Model(lambda _: GENDER, TrainOptions()),
    "age": Model(age_specialist, age_options.DEFAULTS),
}
"""a has no augmentation and no test-time augmentation, as its authors trained it."""

FURTHER_IMAGENET = {"extra_epochs": 12, "epochs": 1, "fold_lr": 5e-4}
"""What b+ differs in from b: first the further persons alone, then one epoch for each fold."""


def main(options: Options) -> None:
    data = options.data
    truth = data / "eval_solution.csv"
    if not truth.is_file():
        raise UserError(f"{truth} is missing: this benchmark needs a data set whose eval truth is known (--data)")
    solution = read_truth(truth)
    make_crops(data, options.out)
    eval_lines, held_out_lines = [], []
    for part in options.only:
        eval_line, held_out_line = _lines(part, options, solution)
        _record(part, eval_line, held_out_line, options, solution)
        eval_lines.append(eval_line)
        held_out_lines.append(held_out_line)
    tables = [report(eval_lines, solution), report_held_out(held_out_lines, labelled(data))]
    known = known_eval_persons(options, solution)
    if known:
        tables.append(report_without(known, eval_lines, solution))
    text = "\n\n".join(tables)
    write_text(options.out / "table.md", text + "\n")
    print(f"\n{text}\n\nwrote {options.out / 'table.md'}")


def make_crops(data: Path, out: Path) -> None:
    """Make aligned crops, and crops of the middle of every image."""
    crop_faces.main(crop_faces.Options(data, out / "crops"))
    for split, folder in split_folders(data).items():
        centre_crops(load_images(folder), out / "centre" / split)


def labelled(data: Path) -> pd.DataFrame:
    """Return class, person and age of every training image, indexed by image, like `read_truth` of eval."""
    table = load_training(split_folder(data, "train")).set_index("image")
    return table[["person", "age"]].assign(truth=eighteen(table))


def known_eval_persons(options: Options, solution: pd.DataFrame) -> set[str]:
    """Return eval persons with a near-duplicate among the training images, found by hash, not by errors."""
    table = load_training(split_folder(options.data, "train"))
    eval_set = eval_faces(open_crops(crop_folder(options.out / "crops", options.data, "eval")))
    crops = open_crops(crop_folder(options.out / "crops", options.data, "train"))
    duplicates = find_near_duplicates(table, crops, eval_set).values()
    return {str(person) for person in solution.loc[[duplicate.name for duplicate in duplicates], "person"]}


def _lines(part: Part, options: Options, solution: pd.DataFrame) -> tuple[Line, Line]:
    """Return the predictions of a part for eval and held-out images, with their cost."""
    runs = _runs_of(part, options)
    took = [_train(run, options) for several in runs.values() for run in several]
    total = {key: sum(times[key] for times in took) for key in ("training", "predicting", "shown")}
    folders = {model: [options.out / run.name for run in several] for model, several in runs.items()}
    if set(runs) <= set(SPECIALISTS):
        eval_set = {
            task: average_runs([read_predictions(folder / EVAL, SPECIALISTS[task]) for folder in several])
            for task, several in folders.items()
        }
        # Decisions are learned here, without access to the true labels of eval.
        held_out = join_held_out({task: [folder / OOF for folder in several] for task, several in folders.items()})
        if part.startswith("rp"):
            eval_set = average_persons(eval_set, solution.loc[eval_set["mask"].index, "person"])
            held_out = averaged(held_out)
        tables = [eval_set["age"], held_out.predictions["age"]]
        if part.startswith("d"):
            decided = [most_probable(fuse(predictions)) for predictions in (eval_set, held_out.predictions)]
        else:
            fitted = fit_decision(held_out, eval_set, "f1", "tuned", calibrate=True)
            decided = [fitted.decide(eval_set), fitted.predicted]
    else:
        ((folder,),) = folders.values()
        tables = [read_predictions(folder / EVAL, PLAIN.classes), read_held_out(folder / OOF, PLAIN.classes)]
        decided = [table[list(PLAIN.classes)].to_numpy().argmax(axis=1) for table in tables]
    first, second = (
        Line(part, table.index, classes, table.get("age"), **total)
        for table, classes in zip(tables, decided, strict=True)
    )
    return first, second


def _record(part: Part, line: Line, held_out: Line, options: Options, solution: pd.DataFrame) -> None:
    """Add a row to runs.csv, unless the part has the same one already."""
    unseen = {f"held_out_{name}": score for name, score in scores(held_out, labelled(options.data)).items()}
    folders = [options.out / run.name for several in _runs_of(part, options).values() for run in several]
    data, recipe = origin(folders)
    entry = Record(
        kind="score",
        task=f"part {part}",
        run=options.out / part,
        seconds=line.training + line.predicting,
        scores={**scores(line, solution), **unseen},
        options=vars(options),
        data=data,
        recipe=recipe,
        seed=options.seed,
    )
    if not is_recorded(entry):
        record(entry)


class Run(NamedTuple):
    """A training that a part needs."""

    model: str
    """Of `MODELS`."""
    further: bool
    """Whether it trains on the persons of --extra too."""
    recipe: bool = False
    """Whether all its layers are trained."""
    number: int = 0
    """Added to the seed."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        recipe, number = "-recipe" if self.recipe else "", f"-{self.number}" if self.number else ""
        return f"{self.model}{'+' if self.further else ''}{recipe}{number}"


def _runs_of(part: Part, options: Options) -> dict[str, list[Run]]:
    """Return for each model of the part the runs that are averaged."""
    further, model = part.endswith("+"), part.removesuffix("+")
    if model in MODELS:
        return {model: [Run(model, further)]}
    runs = {}
    for task in SPECIALISTS:
        numbers = range(options.age_runs if task == "age" else 1)
        ways = (False, True) if model in ("r", "rp") and recipe_of(task, further).is_file() else (False,)
        runs[task] = [Run(task, further, recipe, number) for recipe in ways for number in numbers]
    return runs


def recipe_of(task: str, further: bool) -> Path:
    """Return the file of options that train all layers; it need not exist."""
    return ROOT / "pipelines" / task / ("with_extra.toml" if further else "all_layers.toml")


def _train(run: Run, options: Options) -> dict[str, float]:
    """Train a model and predict eval with it, unless that is done.

    Returns the seconds of both, and how many images it was shown.
    """
    model, folder = MODELS[run.model], options.out / run.name
    crops = options.out / ("crops" if model.aligned else "centre")
    chosen = model.defaults.with_values(
        data=options.data,
        extra=(options.extra,) if run.further else (),
        crops=crops,
        outputs=folder,
        only_fold=options.only_fold,
        predict_eval=False,
        seed=options.seed + run.number,
        workers=options.workers,
    )
    if run.further and model.defaults.model.backbone:
        chosen = chosen.with_values(**FURTHER_IMAGENET)
    if run.recipe:
        chosen = parse(chosen, config_flags(recipe_of(run.model, run.further), chosen))
    specialist = model.specialist(chosen)
    train(specialist, chosen)
    known = read_run_json(folder)
    folds = finished_folds(folder)
    images = sum(part["images"] for part in known.get("extra", ()))
    shown = chosen.optimisation.epochs * (
        (chosen.data.folds - 1) * known["scores"]["held out"]["images"]
        + len(folds) * images * chosen.sampling.extra_draws
    )
    shown += chosen.optimisation.extra_epochs * images * (EXTRA_PARTS - 1) / EXTRA_PARTS
    eval_crops = open_crops(crop_folder(crops, chosen.data.data, "eval"))
    weights = [path / WEIGHTS for path in folds.values()]
    predicting = predict_once(specialist, weights, eval_crops, chosen, folder / EVAL)
    return {"training": sum(known["seconds"].values()), "predicting": predicting, "shown": shown}


def predict_once(
    specialist: Specialist, weights: Sequence[Path], crops: CropSet, options: TrainOptions, file: Path
) -> float:
    """Predict into a file, unless it is there and newer than the weights; return the seconds that this took."""
    took = file.with_suffix(".seconds")
    if not (file.exists() and took.exists()) or file.stat().st_mtime < max(path.stat().st_mtime for path in weights):
        started = time.perf_counter()
        device, precision = options.run.device, options.optimisation.mixed_precision
        batch, workers = options.optimisation.batch_size, options.run.workers
        accelerator = accelerator_for(device, precision)
        predictions = predict_crops(specialist, weights, crops, options.run.tta, batch, workers, accelerator)
        write_text(took, f"{time.perf_counter() - started:.1f}")
        write_predictions(file, predictions)
    return float(took.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main, Options())
