"""All folds of one specialist: `python -m pipelines.TASK.train` starts in `train`.

The files of a run are listed in `shared.training.run_folder`. Whatever is finished in the run's folder is not done
again, so that the same command continues a training that was stopped.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accelerate import Accelerator

from shared import tracking
from shared.crops import UNREADABLE, CropSet, open_crops
from shared.files import lock, table_csv, write_text
from shared.folds import assign_folds
from shared.fusion.metrics import accuracy, macro_f1
from shared.fusion.predictions import EVAL, OOF, read_held_out, write_predictions
from shared.label_fixes import read_pairs
from shared.labels import UNKNOWN
from shared.manifest import load_evaluation, load_training, read_source, split_folder, split_folders
from shared.messages import UserError, counted
from shared.specialist import Specialist, softmax
from shared.tracking import Record, is_recorded, read_run_json, record
from shared.training.extra_data import NEVER_HELD_OUT, with_extra
from shared.training.fit import AfterEpoch, FoldTraining, ignore_epoch, smoothed
from shared.training.frozen import fit_frozen
from shared.training.inference import (
    accelerator_for,
    check_batch_size,
    free_workers,
    predict_networks,
    write_eval,
)
from shared.training.model import check_network
from shared.training.options import DataOptions, TrainOptions
from shared.training.run_folder import (
    CHECKPOINT,
    HISTORY,
    WEIGHTS,
    Epoch,
    claim,
    crop_folder,
    data_identity,
    extra_seconds,
    extra_stage_folder,
    finished_folds,
    fold_folder,
    fold_seconds,
    join_folds,
    read_history,
    run_folder,
    wait_until_visible,
    write_run_json,
)
from shared.training.sampling import prepare_fold
from shared.training.start import (
    Start,
    describe_start,
    folds_seen,
    initial_network,
    read_start,
    start_from_file,
    with_start,
)

EXTRA_PARTS = 10
"""One of so many parts of the extra persons is held out in the extra stage, to score its epochs."""


@dataclass(frozen=True)
class RunContext:
    """What a training is part of."""

    kind: str = "training"
    """Its kind in the table of runs."""
    records: Path | None = None
    """The table of runs; runs.csv beside the outputs folder if None."""
    after_epoch: AfterEpoch = ignore_epoch


PLAIN_TRAINING = RunContext()


@dataclass(frozen=True)
class Training:
    """A training with checked data and options."""

    specialist: Specialist
    """With what the options change of it."""
    options: TrainOptions
    context: RunContext
    run: Path
    """The folder of its results."""
    identity: dict[str, Any]
    """What run.json says of options and data."""
    table: pd.DataFrame
    """The manifest with columns `fold` and `source`; see `with_extra`."""
    crops: CropSet
    """Crops of the table's images."""
    eval_crops: CropSet | None
    """Crops of the eval images, if these are to be predicted."""
    accelerator: Accelerator
    start: Start | None
    """Weights that the folds, or the extra stage before them, start from; None for the backbone's own."""
    start_by_fold: bool
    """Whether each fold starts from the fold of the same number, because the start has seen persons of the data."""

    def start_of(self, fold: int) -> Start | None:
        """Return the weights that a fold starts from if there is no extra stage."""
        if not self.start_by_fold:
            return self.start
        return read_start(str(self.options.model.start), self.specialist, fold)

    @cached_property
    def wanted(self) -> tuple[int, ...]:
        """The folds that this command is to leave."""
        only = self.options.run.only_fold
        return tuple(range(self.options.data.folds)) if only is None else (only,)

    def predict(self, weights: list[Path], crops: CropSet) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
        """Return the mean prediction of trained networks for every crop, and the prediction of each network."""
        run, batch_size = self.options.run, self.options.optimisation.batch_size
        return predict_networks(self.specialist, weights, crops, run.tta, batch_size, run.workers, self.accelerator)


def train(specialist: Specialist, options: TrainOptions, context: RunContext = PLAIN_TRAINING) -> None:
    """Train the folds that are not trained yet, and predict held-out and eval images.

    Raises `UserError` if data or crops are missing, or the outputs folder holds a run with other options.
    """
    training = prepare(specialist, options, context)
    with claimed(training):
        trained = fit_missing_folds(training)
        predictions = predict_eval(training)
        write_results(training, predictions, late=not trained)


def prepare(specialist: Specialist, options: TrainOptions, context: RunContext) -> Training:
    """Check data and options before anything is written; see `train`."""
    tracking.check(options.run.track)
    options, start = with_start(options, specialist)
    specialist = configured(specialist, options)
    run = run_folder(options.run.outputs, specialist.name)
    base, base_crops = labelled_crops(options.data)
    eval_crops = _eval_crops(options.data) if options.run.predict_eval else None
    accelerator = accelerator_for(options.run.device, options.optimisation.mixed_precision)
    check_batch_size(options.optimisation.batch_size, accelerator)
    table, crops = with_extra(base, base_crops, options.data, accelerator)
    specialist.check(table)
    table, crops = _with_known_class(specialist, table, crops)
    known = folds_seen(options.model.start, base)
    if known and options.optimisation.extra_epochs:
        raise UserError(f"--start {options.model.start} has seen persons of --data: leave --extra-epochs out")
    sources = [read_source(folder) for folder in (options.data.data, *options.data.extra)]
    identity = {"options": options.identity(), **data_identity(specialist, table, crops), "sources": sources}
    if start is not None:
        identity["options"]["start"] += f" ({start.digest})"
        identity["start_sources"] = [*start.sources]
    if accelerator.is_main_process:
        remarks = (describe_start(options.model, options.optimisation, start), specialist.remark(base))
        print("\n".join(filter(None, remarks)))
    training = Training(
        specialist, options, context, run, identity, table, crops, eval_crops, accelerator, start, known
    )
    if options.run.overwrite or not set(training.wanted) <= set(finished_folds(run)):
        check_network(options.model, specialist.outputs, options.model.pretrained and start is None)
    return training


@contextmanager
def claimed(training: Training) -> Iterator[None]:
    """Start or continue the run in its folder, which no other process may do until the end of the block.

    Raises `UserError` if another process is at work there, or the folder holds a run with other options or data.
    """
    with ExitStack() as stack:
        if training.accelerator.is_main_process:
            try:
                training.run.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(
                    f"{training.run} cannot be written ({error.strerror}): name another --outputs"
                ) from error
            stack.enter_context(lock(training.run))
            options = training.options
            claim(training.run, training.identity, options.run.overwrite, options.data.data)
            join_folds(training.run, options.run.join, training.identity)
        training.accelerator.wait_for_everyone()
        wait_until_visible(training.run)
        yield


def _with_known_class(specialist: Specialist, table: pd.DataFrame, crops: CropSet) -> tuple[pd.DataFrame, CropSet]:
    """Leave out images of unknown class; those that the specialist can learn from stay, and are never held out."""
    known = specialist.truth(table) != UNKNOWN
    if known.all():
        return table, crops
    if not known.any():
        raise UserError(f"train.csv has no image with a known {specialist.name}")
    partly = ~known & specialist.partly_known(table)
    unknown = ~known & ~partly
    for images, what in ((partly, "learned, but not scored"), (unknown, "left out")):
        if images.any():
            print(f"{what}: {counted(int(images.sum()), 'image')} of unknown class of {specialist.name}")
    table = table.assign(fold=np.where(partly, NEVER_HELD_OUT, table["fold"]))[~unknown].reset_index(drop=True)
    return table, crops.keep(table["image"])


def configured(specialist: Specialist, options: TrainOptions) -> Specialist:
    """Return the specialist with the window and the label smoothing of the options.

    Raises `UserError` if the window reaches beyond the crop, or the head has no softmax for label smoothing.
    """
    smoothing = options.optimisation.label_smoothing
    if smoothing and specialist.distribution is not softmax:
        raise UserError(
            f"--label-smoothing does not go with this head of the {specialist.name} specialist: set it to 0"
        )
    window = dict(zip(("side", "centre_x", "centre_y"), options.model.input_window or (), strict=False))
    try:
        return replace(
            specialist, window=replace(specialist.window, **window), loss=smoothed(specialist.loss, smoothing)
        )
    except ValueError as error:
        raise UserError(f"--window: {error}") from None


def resolved_options(specialist: Specialist, options: TrainOptions) -> dict[str, Any]:
    """Return every option by name, with the value that takes effect if it was left out."""
    window, values = specialist.window, {**options.values(), "size": options.model.input_size}
    defaults = {"window": (window.side, window.centre_x, window.centre_y), "fold_lr": options.optimisation.lr}
    return {**values, **{name: value for name, value in defaults.items() if values[name] is None}}


def labelled_crops(options: DataOptions) -> tuple[pd.DataFrame, CropSet]:
    """Return the manifest with a column `fold`, and its crops. Images that could not be read are left out."""
    table = load_training(split_folder(options.data, "train"), options.fixes, options.skip_bad)
    crops = open_crops(crop_folder(options.crops, options.data, "train")).keep(table["image"])
    readable = (crops.index["found"] != UNREADABLE).to_numpy()
    table = table[readable].reset_index(drop=True)
    pairs = read_pairs(options.group_duplicates) if options.group_duplicates else []
    folds = assign_folds(table, options.folds, together=pairs)
    return table.assign(fold=table["person"].map(folds)), crops.keep(table["image"])


def _eval_crops(options: DataOptions) -> CropSet | None:
    """Return the crops of the eval images; None if the data has none. Missing crops are found before training."""
    if "eval" not in split_folders(options.data):
        return None
    images = load_evaluation(split_folder(options.data, "eval"), options.skip_bad)["image"]
    return open_crops(crop_folder(options.crops, options.data, "eval")).keep(images)


def fit_missing_folds(training: Training) -> list[int]:
    """Train the wanted folds that are not finished, each from the extra stage if there is one, and return them."""
    finished = finished_folds(training.run)
    if training.accelerator.is_main_process:
        for fold in finished:
            # Left by a kill between the predictions, which are written last, and the end.
            (fold_folder(training.run, fold) / CHECKPOINT).unlink(missing_ok=True)
            _record(training, fold, late=True)
    if training.context.after_epoch is not ignore_epoch:
        for fold in (fold for fold in finished if fold in training.wanted):
            for epoch in read_history(fold_folder(training.run, fold)).itertuples(index=False):
                training.context.after_epoch(fold, Epoch(*epoch))
    missing = [fold for fold in training.wanted if fold not in finished]
    stage = _fit_extra_stage(training) if missing and training.options.optimisation.extra_epochs else None
    for fold in missing:
        _fit_fold(training, fold, stage or training.start_of(fold))
        if training.accelerator.is_main_process:
            _record(training, fold)
        training.accelerator.wait_for_everyone()
    return missing


def _fit_extra_stage(training: Training) -> Start:
    """Return the weights that all folds start from; if they are missing, train them on the extra persons alone.

    Extra images thus cost time once instead of in every fold. The stage sees no person of the base data, so
    held-out persons stay unseen. Raises `UserError` if there are too few extra persons.
    """
    folder, accelerator, table = extra_stage_folder(training.run), training.accelerator, training.table
    if not (folder / HISTORY).exists():
        specialist, extra = training.specialist, table[table["source"] != ""].reset_index(drop=True)
        parts = min(EXTRA_PARTS, extra["person"].nunique())
        if parts < 2:
            raise UserError("--extra-epochs needs two persons or more in the folders of --extra")
        folds = extra["person"].map(assign_folds(extra, parts))
        extra["fold"] = folds.where(specialist.truth(extra) != UNKNOWN, NEVER_HELD_OUT)
        epochs = training.options.optimisation.extra_epochs
        stage = training.options.with_values(epochs=epochs, folds=parts, only_fold=None)
        data = prepare_fold(specialist, stage, extra, training.crops, 0)
        fitted = FoldTraining(specialist, stage, data, folder, accelerator, training.start)
        history = fitted.run(partial(ignore_epoch, 0))
        del fitted
        free_workers(accelerator)
        if accelerator.is_main_process:
            # Written last: it says that the stage is complete.
            write_history(folder, history)
    if accelerator.is_main_process:
        (folder / CHECKPOINT).unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return start_from_file(folder / WEIGHTS, training.specialist)


def _fit_fold(training: Training, fold: int, start: Start | None) -> None:
    """Train one fold, from the weights `start` or else the backbone's own; then predict the images that it holds out.

    Writes weights, history and held-out predictions to the fold's folder.
    """
    specialist, table, accelerator = training.specialist, training.table, training.accelerator
    folder, learning = fold_folder(training.run, fold), training.options.optimisation
    options = training.options.with_values(lr=learning.fold_lr or learning.lr)
    data = prepare_fold(specialist, options, table, training.crops, fold)
    after_epoch = partial(training.context.after_epoch, fold)
    if options.model.trains_head_alone:
        network = initial_network(options.model, specialist, start)
        history = [fit_frozen(specialist, options, data, folder, network, accelerator)]
        after_epoch(history[0])
    else:
        history = FoldTraining(specialist, options, data, folder, accelerator, start).run(after_epoch)
    del data
    free_workers(accelerator)
    accelerator.wait_for_everyone()
    rows = table["fold"] == fold
    held_out = table[rows].reset_index(drop=True)
    predictions, _ = training.predict([folder / WEIGHTS], training.crops.keep(held_out["image"]))
    if not accelerator.is_main_process:
        return
    # Of the whole table: what a label stands for may depend on all labels.
    labels = pd.DataFrame(specialist.labels(table), table.index)[rows].reset_index(drop=True)
    known = held_out[["image", "person", "fold"]].assign(truth=specialist.truth(held_out)).join(labels)
    write_history(folder, history)
    write_predictions(folder / OOF, pd.concat([known, predictions.drop(columns="image")], axis="columns"))
    (folder / CHECKPOINT).unlink(missing_ok=True)


def write_history(folder: Path, history: list[Epoch]) -> None:
    write_text(folder / HISTORY, table_csv(pd.DataFrame([asdict(epoch) for epoch in history]), index=False))


def predict_eval(training: Training) -> tuple[pd.DataFrame, list[pd.DataFrame]] | None:
    """Predict the eval images with every trained fold; return the mean of the tables, and one table per fold.

    None if the data has no eval images, or they are not to be predicted. Raises `UserError` as `predict_networks` does.
    """
    if training.eval_crops is None:
        return None
    weights = [folder / WEIGHTS for folder in finished_folds(training.run).values()]
    return training.predict(weights, training.eval_crops)


def write_results(training: Training, predictions: tuple[pd.DataFrame, list[pd.DataFrame]] | None, late: bool) -> None:
    """Write oof.csv, eval.csv, the scores in run.json and a row of the table of runs; print the scores.

    `late` says that everything was trained before; see `_record`.
    """
    if not training.accelerator.is_main_process:
        return
    specialist, run = training.specialist, training.run
    folds = finished_folds(run)
    parts = {fold: _read_held_out(training, fold) for fold in folds}
    write_predictions(run / OOF, pd.concat(parts.values()))
    scores = {f"fold{fold}": _scores(training, part) for fold, part in parts.items()}
    scores["held out"] = _scores(training, pd.concat(parts.values()))
    seconds = {f"fold{fold}": fold_seconds(folder) for fold, folder in folds.items()}
    if extra_stage_folder(run).exists():
        seconds["extra"] = extra_seconds(run)
    known = read_run_json(run)
    write_run_json(run, {**known, "scores": scores, "seconds": seconds})
    print(pd.DataFrame(scores).T.to_string(float_format="{:.3f}".format))
    print(f"{specialist.name}: {len(folds)} of {training.options.data.folds} folds trained, results in {run}")
    if predictions is not None:
        mean, each = predictions
        write_eval(
            run / EVAL, mean, {folder / WEIGHTS: table for folder, table in zip(folds.values(), each, strict=True)}
        )
    _record(training, late=late)


def _read_held_out(training: Training, fold: int) -> pd.DataFrame:
    """Return what a fold predicted; raises `UserError` if these are not the images that it holds out."""
    folder, table = fold_folder(training.run, fold), training.table
    predictions = read_held_out(folder / OOF, training.specialist.classes)
    if set(predictions.index) != set(table["image"][table["fold"] == fold]):
        raise UserError(
            f"{folder / OOF} does not hold predictions for the images that fold {fold} holds out: remove {folder} "
            "and train this fold again"
        )
    return predictions


def _scores(training: Training, predictions: pd.DataFrame) -> dict[str, float]:
    specialist = training.specialist
    predicted = predictions[list(specialist.classes)].to_numpy().argmax(1)
    labels = training.table.set_index("image").loc[predictions.index]
    return {
        "images": len(predictions),
        "macro_f1": macro_f1(predictions["truth"], predicted, len(specialist.classes)),
        "accuracy": accuracy(predictions["truth"], predicted),
        **specialist.further_scores(predictions, labels),
    }


def _record(training: Training, fold: int | None = None, late: bool = False) -> None:
    """Add a row to the table of runs, of one fold or of all that are trained so far.

    `late` is for what was trained before: its row is there already, unless a kill came just before it was written.
    """
    run, options, context = training.run, training.options, training.context
    folds = finished_folds(run) if fold is None else {fold: fold_folder(run, fold)}
    seconds = sum(fold_seconds(folder) for folder in folds.values())
    entry = Record(
        kind=context.kind if fold is None else "fold",
        task=training.specialist.name,
        run=run,
        seconds=seconds + (extra_seconds(run) if fold is None else 0),
        scores=_scores(training, pd.concat([_read_held_out(training, number) for number in folds])),
        options=resolved_options(training.specialist, options),
        data=training.identity["data"],
        recipe=training.identity["recipe"],
        fold=fold,
        seed=options.optimisation.seed,
        late=late,
    )
    if not (late and is_recorded(entry, context.records)):
        record(entry, context.records, options.run.track)
