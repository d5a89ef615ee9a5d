"""Why a training is run: for itself, or as part of a search or a comparison.

What a run folder says of itself (run.json): its options and data, and whether another training may go on in it.

A specialist as the options of its training change it.

Passes over the extra persons alone before the first fold (`--extra-epochs`); every fold starts from their end.

The folds share it, so it costs once what mixing as many extra images into each fold would cost five times. No person
of the base data is seen in it, so whom a fold holds out is as new to it as before.

What a training found: held-out answers of all folds in one file, their scores, and rows in the table of runs.

All folds of one specialist: where `python -m pipelines.TASK.train` leads. Files: see `shared.training.folders`.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import Accelerator

from shared import tracking
from shared.crops import UNREADABLE, CropSet, open_crops
from shared.files import replacing, write_text
from shared.folds import assign_folds
from shared.fusion.metrics import accuracy, macro_f1
from shared.fusion.predictions import EVAL, OOF, read_held_out, write_predictions
from shared.label_fixes import read_pairs
from shared.manifest import load_evaluation, load_training, split_folder, split_folders
from shared.messages import UserError
from shared.specialist import Specialist, softmax
from shared.tracking import RUN, Record, is_recorded, provenance, read_run_json, record
from shared.training.extra_data import summary, with_extra
from shared.training.fit import AfterEpoch, Epoch, FoldTraining, ignore_epoch, smoothed
from shared.training.inference import accelerator_for, free_workers, predict_crops
from shared.training.options import TrainOptions
from shared.training.run_folder import (
    CHECKPOINT,
    HISTORY,
    WEIGHTS,
    crop_folder,
    extra_seconds,
    extra_stage_folder,
    finished_folds,
    fold_folder,
    read_history,
    run_folder,
)


@dataclass(frozen=True)
class RunContext:
    """What a training is for, where it is part of something larger."""

    kind: str = "training"
    """What its row in the table of runs is called."""
    records: Path | None = None
    """The table of runs; the one beside the outputs folder when None."""
    after_epoch: AfterEpoch = ignore_epoch


PLAIN_TRAINING = RunContext()


def data_identity(specialist: Specialist, table: pd.DataFrame, crops: CropSet) -> dict[str, Any]:
    """What run.json says of the data: its fingerprint, the recipe of its crops, and extra folders where there are."""
    known = {"data": fingerprint(specialist, table, crops), "recipe": crops.recipe}
    return {**known, "extra": extra} if (extra := summary(table)) else known


def fingerprint(specialist: Specialist, table: pd.DataFrame, crops: CropSet) -> str:
    """Changes with any label, any fold and any source image, but not with where they lie."""
    known = table[["image", "person", "mask", "gender", "age", "fold", *specialist.own_labels]].to_csv(index=False)
    return hashlib.sha256((known + crops.index["fingerprint"].to_csv()).encode()).hexdigest()[:16]


def claim(run: Path, identity: dict[str, Any], overwrite: bool) -> None:
    """Make the folder this run's own; raises `UserError` where it holds another run that may not be overwritten."""
    known = read_run_json(run)
    if not known and (run / RUN).exists():
        raise UserError(f"{run / RUN} cannot be read; move {run} away to train anew")
    changes = _changes(known, identity) if known else []
    if changes and not overwrite:
        raise UserError(
            f"{run} holds a run of another kind ({'; '.join(changes)}). "
            "Keep it and name another folder with --outputs, or discard it with --overwrite"
        )
    if changes:
        _discard(run)
    if not (run / RUN).exists():
        write_run(run, {**identity, "provenance": provenance()})


def _changes(found: dict[str, Any], identity: dict[str, Any]) -> list[str]:
    """In what the run that was found differs from this one, for people."""
    mine, theirs = identity["options"], found.get("options", {})
    changes = [
        f"--{name.replace('_', '-')} was {theirs.get(name)}, now {mine.get(name)}"
        for name in {**theirs, **mine}
        if theirs.get(name) != mine.get(name)
    ]
    data = "the labels, images or folds changed"
    if identity.get("extra"):
        data += " (persons of --extra who are among eval are left out from when eval has crops)"
    whole = {"data": data, "recipe": "the crop recipe changed"}
    return changes + [text for key, text in whole.items() if found.get(key) != identity[key]]


def _discard(run: Path) -> None:
    try:
        for folder in run.glob("fold[0-9]*"):
            shutil.rmtree(folder)
        if extra_stage_folder(run).exists():
            shutil.rmtree(extra_stage_folder(run))
        for name in (OOF, EVAL, RUN):
            (run / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"--overwrite: {run} cannot be emptied ({error.strerror}): name another folder with --outputs"
        ) from error


def write_run(run: Path, content: dict[str, Any]) -> None:
    """Write run.json, whole or not at all."""
    write_text(run / RUN, json.dumps(content, indent=2) + "\n")


def with_options(specialist: Specialist, options: TrainOptions) -> Specialist:
    """With the window, the strengths of the augmentation and the smoothed labels that the options ask for.

    Raises `UserError` where the window reaches beyond the crop, labels to smooth are not those of a softmax, or the
    augmentation has no such strength.
    """
    if options.optimisation.label_smoothing and specialist.distribution is not softmax:
        raise UserError(
            f"--label-smoothing does not go with this head of the {specialist.name} specialist: set it to 0"
        )
    window = dict(zip(("side", "centre_x", "centre_y"), options.model.window or (), strict=False))
    try:
        return replace(
            specialist,
            window=replace(specialist.window, **window),
            loss=smoothed(specialist.loss, options.optimisation.label_smoothing),
        )
    except ValueError as error:
        raise UserError(f"--window: {error}") from None


def resolved_options(specialist: Specialist, options: TrainOptions) -> dict[str, Any]:
    """The options as they take effect: what was left to the specialist, and to other options, with its value."""
    window = specialist.window
    values = options.values()
    own = {"window": (window.side, window.centre_x, window.centre_y), "fold_lr": options.optimisation.lr}
    return {**values, **{name: value for name, value in own.items() if values[name] is None}}


PARTS = 10
"""One of so many parts of the extra persons is kept aside in this stage, to choose its best epoch."""


def learn_extra(
    specialist: Specialist,
    options: TrainOptions,
    table: pd.DataFrame,
    crops: CropSet,
    run: Path,
    accelerator: Accelerator,
) -> Path | None:
    """The weights that the folds start from, trained where they are missing; None without such a stage.

    Raises `UserError` where there are too few extra persons.
    """
    if not options.optimisation.extra_epochs:
        return None
    folder = extra_stage_folder(run)
    if not (folder / HISTORY).exists():
        extra = table[table["source"] != ""].reset_index(drop=True)
        parts = min(PARTS, extra["person"].nunique())
        if parts < 2:
            raise UserError("--extra-epochs needs two persons or more in the folders of --extra")
        extra["fold"] = extra["person"].map(assign_folds(extra, parts))
        stage = options.with_values(epochs=options.optimisation.extra_epochs, folds=parts, only_fold=None)
        history = FoldTraining(specialist, stage, extra, crops, 0, folder, accelerator).run()
        free_workers(accelerator)
        if accelerator.is_main_process:
            # Written last: it says that the stage is complete.
            with replacing(folder / HISTORY) as temporary:
                pd.DataFrame([asdict(epoch) for epoch in history]).to_csv(temporary, index=False)
    if accelerator.is_main_process:
        (folder / CHECKPOINT).unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return folder / WEIGHTS


def collect(specialist: Specialist, run: Path, table: pd.DataFrame) -> None:
    """Join the folds' held-out answers, add their scores to run.json, and print them."""
    folds = finished_folds(run)
    parts = {fold: _read_answers(specialist, folder, table, fold) for fold, folder in folds.items()}
    write_predictions(run / OOF, pd.concat(parts.values()))
    scores = {f"fold{fold}": _scores(specialist, part, table) for fold, part in parts.items()}
    scores["held out"] = _scores(specialist, pd.concat(parts.values()), table)
    seconds = {f"fold{fold}": _seconds(folder) for fold, folder in folds.items()}
    if extra := extra_seconds(run):
        seconds["extra"] = extra
    known = read_run_json(run)
    write_run(run, {**known, "scores": scores, "seconds": seconds})
    print(pd.DataFrame(scores).T.to_string(float_format="{:.3f}".format))
    print(f"{specialist.name}: {len(folds)} of {known['options']['folds']} folds trained, results in {run}")


def _read_answers(specialist: Specialist, folder: Path, table: pd.DataFrame, fold: int) -> pd.DataFrame:
    """What a fold answered; raises `UserError` where that is not about the images that it held out."""
    answers = read_held_out(folder / OOF, specialist.classes)
    if set(answers.index) != set(table["image"][table["fold"] == fold]):
        raise UserError(
            f"{folder / OOF} does not answer for the images that fold {fold} held out: remove {folder} and train "
            "this fold again"
        )
    return answers


def record_results(
    specialist: Specialist,
    options: TrainOptions,
    identity: dict[str, Any],
    table: pd.DataFrame,
    purpose: RunContext,
    fold: int | None = None,
    late: bool = False,
) -> None:
    """A row of runs.csv: of one fold, or of all that are trained so far.

    `late` is for what was trained before: there is a row already, but for the rare kill just before it was written.
    """
    run = run_folder(options.run.outputs, specialist.name)
    folds = finished_folds(run) if fold is None else {fold: fold_folder(run, fold)}
    answers = pd.concat([_read_answers(specialist, folder, table, number) for number, folder in folds.items()])
    seconds = sum(_seconds(folder) for folder in folds.values())
    if fold is None:
        seconds += extra_seconds(run)
    entry = Record(
        kind=purpose.kind if fold is None else "fold",
        task=specialist.name,
        run=run,
        seconds=seconds,
        scores=_scores(specialist, answers, table),
        options=resolved_options(specialist, options),
        data=identity["data"],
        recipe=identity["recipe"],
        fold=fold,
        seed=options.optimisation.seed,
        late=late,
    )
    if not (late and is_recorded(entry, purpose.records)):
        record(entry, purpose.records, options.run.track)


def _scores(specialist: Specialist, answers: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
    predicted = answers[list(specialist.classes)].to_numpy().argmax(1)
    labels = table.set_index("image").loc[answers.index]
    return {
        "images": len(answers),
        "macro_f1": macro_f1(answers["truth"], predicted, len(specialist.classes)),
        "accuracy": accuracy(answers["truth"], predicted),
        **specialist.further_scores(answers, labels),
    }


def _seconds(folder: Path) -> float:
    return float(read_history(folder)["seconds"].sum())


def train(specialist: Specialist, options: TrainOptions, purpose: RunContext = PLAIN_TRAINING) -> None:
    """Train the folds that are not trained yet, then answer for held-out and eval images.

    Raises `UserError` where data or crops are missing, or the outputs folder holds a run with other options.
    """
    tracking.check(options.run.track)
    specialist = with_options(specialist, options)
    run = run_folder(options.run.outputs, specialist.name)
    base, base_crops = labelled_crops(options)
    eval_crops = _eval_crops(options)
    accelerator = accelerator_for(options.run.device, options.optimisation.mixed_precision)
    table, crops = with_extra(base, base_crops, options, accelerator)
    specialist.check(table)
    identity = {"options": options.identity(), **data_identity(specialist, table, crops)}
    if accelerator.is_main_process:
        claim(run, identity, options.run.overwrite)
    accelerator.wait_for_everyone()
    already = finished_folds(run)
    if accelerator.is_main_process:
        for fold in already:
            # Left by a kill between the answers, which are written last, and the end.
            (fold_folder(run, fold) / CHECKPOINT).unlink(missing_ok=True)
            record_results(specialist, options, identity, table, purpose, fold, late=True)
    wanted = range(options.data.folds) if options.run.only_fold is None else (options.run.only_fold,)
    _tell_again({fold: folder for fold, folder in already.items() if fold in wanted}, purpose.after_epoch)
    missing = [fold for fold in wanted if fold not in already]
    start = learn_extra(specialist, options, table, crops, run, accelerator) if missing else None
    for fold in missing:
        _train_fold(specialist, options, table, crops, fold, run, accelerator, purpose.after_epoch, start)
        if accelerator.is_main_process:
            record_results(specialist, options, identity, table, purpose, fold)
        accelerator.wait_for_everyone()
    weights = [folder / WEIGHTS for folder in finished_folds(run).values()]
    if eval_crops is not None:
        answers = _answer(specialist, weights, eval_crops, options, accelerator)
    if accelerator.is_main_process:
        collect(specialist, run, table)
        if eval_crops is not None:
            write_predictions(run / EVAL, answers)
        record_results(specialist, options, identity, table, purpose, late=finished_folds(run) == already)


def labelled_crops(options: TrainOptions) -> tuple[pd.DataFrame, CropSet]:
    """The manifest with a column `fold`, and its crops; images that could not be read are left out."""
    table = load_training(split_folder(options.data.data, "train"), options.data.fixes, options.data.skip_bad)
    crops = open_crops(crop_folder(options.data.crops, options.data.data, "train")).keep(table["image"])
    readable = (crops.index["found"] != UNREADABLE).to_numpy()
    table = table[readable].reset_index(drop=True)
    pairs = read_pairs(options.data.group_duplicates) if options.data.group_duplicates else []
    folds = assign_folds(table, options.data.folds, together=pairs)
    return table.assign(fold=table["person"].map(folds)), crops.keep(table["image"])


def _eval_crops(options: TrainOptions) -> CropSet | None:
    """The crops of the eval images, if there are any to answer; asked for before hours are spent on training."""
    if not options.run.predict_eval or "eval" not in split_folders(options.data.data):
        return None
    images = load_evaluation(split_folder(options.data.data, "eval"), options.data.skip_bad)["image"]
    return open_crops(crop_folder(options.data.crops, options.data.data, "eval")).keep(images)


def _train_fold(
    specialist: Specialist,
    options: TrainOptions,
    table: pd.DataFrame,
    crops: CropSet,
    fold: int,
    run: Path,
    accelerator: Accelerator,
    after_epoch: AfterEpoch,
    start: Path | None,
) -> None:
    """Train one fold, then let its best network answer for the images it has not seen."""
    folder = fold_folder(run, fold)
    here = options.with_values(lr=options.optimisation.fold_lr or options.optimisation.lr)
    history = FoldTraining(specialist, here, table, crops, fold, folder, accelerator, after_epoch, start).run()
    free_workers(accelerator)
    accelerator.wait_for_everyone()
    held_out = table[table["fold"] == fold].reset_index(drop=True)
    answers = _answer(specialist, [folder / WEIGHTS], crops.keep(held_out["image"]), options, accelerator)
    if not accelerator.is_main_process:
        return
    labels = pd.DataFrame(specialist.labels(table), table.index)[table["fold"] == fold].reset_index(drop=True)
    known = held_out[["image", "person", "fold"]].assign(truth=specialist.truth(held_out)).join(labels)
    with replacing(folder / HISTORY) as temporary:
        pd.DataFrame([asdict(epoch) for epoch in history]).to_csv(temporary, index=False)
    write_predictions(folder / OOF, pd.concat([known, answers.drop(columns="image")], axis="columns"))
    (folder / CHECKPOINT).unlink()


def _tell_again(already: dict[int, Path], after_epoch: AfterEpoch) -> None:
    """Of folds that were finished before; most trainings are watched by nobody."""
    if after_epoch is not ignore_epoch:
        for fold, folder in already.items():
            for epoch in read_history(folder).itertuples(index=False):
                after_epoch(fold, Epoch(*epoch))


def _answer(
    specialist: Specialist, weights: list[Path], crops: CropSet, options: TrainOptions, accelerator: Accelerator
) -> pd.DataFrame:
    return predict_crops(
        specialist, weights, crops, options.run.tta, options.optimisation.batch_size, options.run.workers, accelerator
    )
