"""Compare three specialists and one model: same data, folds and backbone, scored on persons never seen.

    python benchmarks/against_single_model.py --data FOLDER --only-fold 0
    python benchmarks/against_single_model.py --data FOLDER --extra EXTRA --only b b+ d e

a   the competition's own baseline: centre crop of 320 x 256 resized to 128 x 96, one model over 18 classes
b   one model over 18 classes on our aligned crops
b+  the same, trained with the persons of --extra too, as d and e are
c   one backbone with three heads on our aligned crops
s   one model over 18 classes with the specialists' start: a head on the frozen ready-made model
d   three specialists as the plain commands train them, the most probable class
e   the same with temperatures, tuned age thresholds and class weights for macro F1, learned on held-out persons
ep  e with gender and age averaged over the images of a person (--persons of combine.py)

a, b, b+ and c start from ImageNet.

The eval images are scored with the networks of all folds averaged, held-out images with the one network that has not
seen their person (the decisions of e are learned on other persons there too). If photographs of eval persons are among
the training images (shared.near_duplicates), a further table leaves these persons out.

Every part keeps its runs and predictions in its folder below --out and is not run again. Its scores are a row of
runs.csv there; "shown" counts the images of all its training epochs. Options of a training (--epochs, --size,
--backbone, ...) apply to all parts; a task's own default, such as the learning rate of age, holds unless the option is
given another value than the general default. With --recipes, pipelines/TASK/with_extra.toml sets all options of the
specialists and the command line only those of the single models. With --age-runs 3, age is trained with three seeds and
averaged.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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

Part = Literal["a", "b", "b+", "c", "s", "d", "e", "ep"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Options:
    """Train and score one model and three specialists side by side."""

    train: TrainOptions = field(default_factory=lambda: TrainOptions.of(epochs=6))
    """Options of all trainings."""
    out: Path = Path("outputs/against_single_model")
    """Folder of crops, runs and tables."""
    only: tuple[Part, ...] = ("a", "b", "c", "s", "d", "e")
    """Parts to run."""
    base_epochs: int | None = None
    """Epochs of the parts that train on the base data alone, which has fewer images; --epochs if omitted."""
    recipes: bool = False
    """Train the specialists as in pipelines/TASK/with_extra.toml, which overrides the command line."""

    age_runs: int = 1
    """Trainings of the age specialist to average, with --seed and the seeds after it."""

    def __post_init__(self) -> None:
        if not self.only:
            raise UserError("--only names no part")
        if self.age_runs < 1:
            raise UserError(f"--age-runs must be at least 1, not {self.age_runs}")
        if "b+" in self.only and not self.train.data.extra:
            raise UserError("--only b+ is b with further persons: name their folder with --extra")
        if self.recipes and not self.train.data.extra:
            raise UserError("--recipes are for trainings with further persons: name their folder with --extra")


@dataclass(frozen=True)
class Model:
    """A specialist to train."""

    specialist: Callable[[Any], Specialist]
    defaults: TrainOptions
    aligned: bool = True
    """Aligned crops, or the middle of the image."""
    extra: bool = False
    """Whether it trains on the persons of --extra."""


_IMAGENET = TrainOptions.of(backbone=DEFAULT_BACKBONE, weight_decay=0.02, dropout=0.2, ema=0.99)
"""With the regularisation of `with_extra.toml`, as in the published tables."""

_SINGLE_OPTIONS = _IMAGENET.with_values(label_smoothing=0.05)

EXTRA_OPTIONS = ("extra", "extra_epochs", "fold_lr", "extra_draws", "extra_balance")

MODELS = {
    "a": Model(lambda _: PLAIN, _IMAGENET.with_values(tta="none", drawn_masks=0.0), aligned=False),
    "b": Model(lambda _: SINGLE, _SINGLE_OPTIONS),
    "b+": Model(lambda _: SINGLE, _SINGLE_OPTIONS, extra=True),
    "c": Model(lambda _: THREE_HEADS, _IMAGENET),
    "s": Model(lambda _: SINGLE, TrainOptions()),
    "mask": Model(lambda _: MASK, TrainOptions(), extra=True),
    "gender": Model(lambda _: GENDER, TrainOptions(), extra=True),
    "age": Model(age_specialist, age_options.DEFAULTS, extra=True),
}
"""By run folder; a has no augmentation and no test-time augmentation, as its authors trained it."""


def main(options: Options) -> None:
    data = options.train.data.data
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
    tables = [report(eval_lines, solution), report_held_out(held_out_lines, labelled(options.train))]
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


def labelled(options: TrainOptions) -> pd.DataFrame:
    """Return class, person and age of every training image, indexed by image, like `read_truth` of eval."""
    table = load_training(
        split_folder(options.data.data, "train"), options.data.fixes, options.data.skip_bad
    ).set_index("image")
    return table[["person", "age"]].assign(truth=eighteen(table))


def known_eval_persons(options: Options, solution: pd.DataFrame) -> set[str]:
    """Return eval persons with a near-duplicate among the training images, found by hash, not by errors."""
    table = load_training(
        split_folder(options.train.data.data, "train"), options.train.data.fixes, options.train.data.skip_bad
    )
    eval_set = eval_faces(open_crops(crop_folder(options.out / "crops", options.train.data.data, "eval")))
    crops = open_crops(crop_folder(options.out / "crops", options.train.data.data, "train"))
    duplicates = find_near_duplicates(table, crops, eval_set).values()
    return {str(person) for person in solution.loc[[duplicate.name for duplicate in duplicates], "person"]}


def _lines(part: Part, options: Options, solution: pd.DataFrame) -> tuple[Line, Line]:
    """Return the predictions of a part for eval and held-out images, with their cost."""
    runs = _runs_of(part, options)
    took = [_run(task, number, options) for task, names in runs.items() for number in range(len(names))]
    total = {key: sum(times[key] for times in took) for key in ("training", "predicting", "shown")}
    if part in MODELS:
        folder = options.out / part
        tables = [read_predictions(folder / EVAL, PLAIN.classes), read_held_out(folder / OOF, PLAIN.classes)]
        decided = [table[list(PLAIN.classes)].to_numpy().argmax(axis=1) for table in tables]
    else:
        eval_set = {
            task: average_runs([read_predictions(options.out / name / EVAL, SPECIALISTS[task]) for name in names])
            for task, names in runs.items()
        }
        # Decisions are learned here, without access to the true labels of eval.
        held_out = join_held_out({task: [options.out / name / OOF for name in names] for task, names in runs.items()})
        if part == "ep":
            eval_set = average_persons(eval_set, solution.loc[eval_set["mask"].index, "person"])
            held_out = averaged(held_out)
        tables = [eval_set["age"], held_out.predictions["age"]]
        if part == "d":
            decided = [most_probable(fuse(predictions)) for predictions in (eval_set, held_out.predictions)]
        else:
            fitted = fit_decision(held_out, eval_set, "f1", "tuned", calibrate=True)
            decided = [fitted.decide(eval_set), fitted.predicted]
    first, second = (
        Line(part, table.index, classes, table.get("age"), **total)
        for table, classes in zip(tables, decided, strict=True)
    )
    return first, second


def _record(part: Part, line: Line, held_out: Line, options: Options, solution: pd.DataFrame) -> None:
    """Add a row to runs.csv, unless the part has the same one already."""
    unseen = {f"held_out_{name}": score for name, score in scores(held_out, labelled(options.train)).items()}
    own = {name: value for name, value in vars(options).items() if name != "train"}
    folders = [options.out / name for names in _runs_of(part, options).values() for name in names]
    data, recipe = origin(folders)
    entry = Record(
        kind="score",
        task=f"part {part}",
        run=options.out / part,
        seconds=line.training + line.predicting,
        scores={**scores(line, solution), **unseen},
        options={**options.train.values(), **own},
        data=data,
        recipe=recipe,
        seed=options.train.optimisation.seed,
    )
    if not is_recorded(entry):
        record(entry, tracker=options.train.run.track)


def _runs_of(part: Part, options: Options) -> dict[str, list[str]]:
    """For each model that the part asks the names of its runs' folders."""
    if part in MODELS:
        return {part: [part]}
    return {
        task: [_name(task, number) for number in range(options.age_runs if task == "age" else 1)]
        for task in SPECIALISTS
    }


def _name(task: str, number: int) -> str:
    return f"{task}-{number}" if number else task


def _run(task: str, number: int, options: Options) -> dict[str, float]:
    """Train a model and predict eval with it, unless that is done.

    Returns the seconds of both, and how many images it was shown.
    """
    model = MODELS[task]
    folder = options.out / _name(task, number)
    crops = options.out / ("crops" if model.aligned else "centre")
    chosen = _merged(options.train, model.defaults).with_values(outputs=folder, crops=crops, predict_eval=False)
    if not model.extra:
        none = {name: TrainOptions().values()[name] for name in EXTRA_OPTIONS}
        chosen = chosen.with_values(**none, epochs=options.base_epochs or chosen.optimisation.epochs)
    if options.recipes and task in SPECIALISTS:
        chosen = parse(chosen, config_flags(ROOT / "pipelines" / task / "with_extra.toml", chosen))
    chosen = chosen.with_values(seed=options.train.optimisation.seed + number)
    specialist = model.specialist(chosen)
    train(specialist, chosen)
    known = read_run_json(folder)
    folds = finished_folds(folder)
    further = sum(part["images"] for part in known.get("extra", ()))
    shown = chosen.optimisation.epochs * (
        (chosen.data.folds - 1) * known["scores"]["held out"]["images"]
        + len(folds) * further * chosen.sampling.extra_draws
    )
    shown += chosen.optimisation.extra_epochs * further * (EXTRA_PARTS - 1) / EXTRA_PARTS
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


def _merged(requested: TrainOptions, own: TrainOptions) -> TrainOptions:
    """Return a model's own defaults, overridden by options of the command line that differ from general defaults."""
    plain = TrainOptions().values()
    return own.with_values(**{name: value for name, value in requested.values().items() if value != plain[name]})


if __name__ == "__main__":
    run(main, Options())
