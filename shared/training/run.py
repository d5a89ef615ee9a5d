"""All folds of one specialist: where `python -m pipelines.TASK.train` leads. Files: see `shared.training.folders`."""

from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from accelerate import Accelerator

from shared import tracking
from shared.answers.files import EVAL, OOF
from shared.answers.predictions import write_predictions
from shared.atomic import replacing
from shared.competition.same_person import read_pairs
from shared.crops import UNREADABLE, CropSet, open_crops
from shared.folds import assign_folds
from shared.manifest import load_evaluation, load_training, split_folder, split_folders
from shared.memory import forget_peak
from shared.specialist import Specialist
from shared.training.adjusted import adjusted
from shared.training.devices import accelerator_for, let_go
from shared.training.ensemble import answer
from shared.training.extra import with_extra
from shared.training.extra_stage import learn_extra
from shared.training.fold import AfterEpoch, Epoch, FoldTraining, go_on
from shared.training.folders import (
    CHECKPOINT,
    HISTORY,
    WEIGHTS,
    crop_folder,
    finished_folds,
    fold_folder,
    read_history,
    run_folder,
)
from shared.training.options import TrainOptions
from shared.training.purpose import FOR_ITSELF, Purpose
from shared.training.results import collect, record_results
from shared.training.run_file import claim, data_identity


def train(specialist: Specialist, options: TrainOptions, purpose: Purpose = FOR_ITSELF) -> None:
    """Train the folds that are not trained yet, then answer for held-out and eval pictures.

    Raises `UserError` where data or crops are missing, or the outputs folder holds a run with other options.
    """
    tracking.check(options.track)
    forget_peak()
    specialist = adjusted(specialist, options)
    run = run_folder(options.outputs, specialist.name)
    base, base_crops = labelled_crops(options)
    eval_crops = _eval_crops(options)
    accelerator = accelerator_for(options.device, options.mixed_precision)
    table, crops = with_extra(base, base_crops, options, accelerator)
    specialist.check(table)
    identity = {"options": options.identity(), **data_identity(specialist, table, crops)}
    if accelerator.is_main_process:
        claim(run, identity, options.overwrite)
    accelerator.wait_for_everyone()
    already = finished_folds(run)
    if accelerator.is_main_process:
        for fold in already:
            # Left by a kill between the answers, which are written last, and the end.
            (fold_folder(run, fold) / CHECKPOINT).unlink(missing_ok=True)
            record_results(specialist, options, identity, table, purpose, fold, late=True)
    wanted = range(options.folds) if options.only_fold is None else (options.only_fold,)
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
    """The manifest with a column `fold`, and its crops; pictures that could not be read are left out."""
    table = load_training(split_folder(options.data, "train"), options.fixes, options.skip_bad)
    crops = open_crops(crop_folder(options.crops, options.data, "train")).keep(table["picture"])
    readable = (crops.index["found"] != UNREADABLE).to_numpy()
    table = table[readable].reset_index(drop=True)
    pairs = read_pairs(options.group_duplicates) if options.group_duplicates else []
    folds = assign_folds(table, options.folds, together=pairs)
    return table.assign(fold=table["person"].map(folds)), crops.keep(table["picture"])


def _eval_crops(options: TrainOptions) -> CropSet | None:
    """The crops of the eval pictures, if there are any to answer; asked for before hours are spent on training."""
    if not options.answer_eval or "eval" not in split_folders(options.data):
        return None
    pictures = load_evaluation(split_folder(options.data, "eval"), options.skip_bad)["picture"]
    return open_crops(crop_folder(options.crops, options.data, "eval")).keep(pictures)


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
    """Train one fold, then let its best network answer for the pictures it has not seen."""
    folder = fold_folder(run, fold)
    here = replace(options, lr=options.fold_lr or options.lr)
    history = FoldTraining(specialist, here, table, crops, fold, folder, accelerator, after_epoch, start).run()
    let_go(accelerator)
    accelerator.wait_for_everyone()
    held_out = table[table["fold"] == fold].reset_index(drop=True)
    answers = _answer(specialist, [folder / WEIGHTS], crops.keep(held_out["picture"]), options, accelerator)
    if not accelerator.is_main_process:
        return
    labels = pd.DataFrame(specialist.labels(table), table.index)[table["fold"] == fold].reset_index(drop=True)
    known = held_out[["picture", "person", "fold"]].assign(truth=specialist.truth(held_out)).join(labels)
    with replacing(folder / HISTORY) as temporary:
        pd.DataFrame([asdict(epoch) for epoch in history]).to_csv(temporary, index=False)
    write_predictions(folder / OOF, pd.concat([known, answers.drop(columns="picture")], axis="columns"))
    (folder / CHECKPOINT).unlink()


def _tell_again(already: dict[int, Path], after_epoch: AfterEpoch) -> None:
    """Of folds that were finished before; most trainings are watched by nobody."""
    if after_epoch is not go_on:
        for fold, folder in already.items():
            for epoch in read_history(folder).itertuples(index=False):
                after_epoch(fold, Epoch(*epoch))


def _answer(
    specialist: Specialist, weights: list[Path], crops: CropSet, options: TrainOptions, accelerator: Accelerator
) -> pd.DataFrame:
    return answer(specialist, weights, crops, options.views, options.batch_size, options.workers, accelerator)
