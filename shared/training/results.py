"""What a training found: held-out answers of all folds in one file, their scores, and rows in the table of runs."""

from pathlib import Path
from typing import Any

import pandas as pd

from shared.answers.files import OOF
from shared.answers.predictions import read_held_out, write_predictions
from shared.errors import UserError
from shared.records import Record, is_recorded, record
from shared.scores.metrics import accuracy, macro_f1
from shared.specialist import Specialist
from shared.training.adjusted import resolved
from shared.training.folders import extra_seconds, finished_folds, fold_folder, read_history, run_folder
from shared.training.options import TrainOptions
from shared.training.purpose import Purpose
from shared.training.run_file import read_run, write_run


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
    known = read_run(run)
    write_run(run, {**known, "scores": scores, "seconds": seconds})
    print(pd.DataFrame(scores).T.to_string(float_format="{:.3f}".format))
    print(f"{specialist.name}: {len(folds)} of {known['options']['folds']} folds trained, results in {run}")


def _read_answers(specialist: Specialist, folder: Path, table: pd.DataFrame, fold: int) -> pd.DataFrame:
    """What a fold answered; raises `UserError` where that is not about the pictures that it held out."""
    answers = read_held_out(folder / OOF, specialist.classes)
    if set(answers.index) != set(table["picture"][table["fold"] == fold]):
        raise UserError(
            f"{folder / OOF} does not answer for the pictures that fold {fold} held out: remove {folder} and train "
            "this fold again"
        )
    return answers


def record_results(
    specialist: Specialist,
    options: TrainOptions,
    identity: dict[str, Any],
    table: pd.DataFrame,
    purpose: Purpose,
    fold: int | None = None,
    late: bool = False,
) -> None:
    """A row of runs.csv: of one fold, or of all that are trained so far.

    `late` is for what was trained before: there is a row already, but for the rare kill just before it was written.
    """
    run = run_folder(options.outputs, specialist.name)
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
        options=resolved(specialist, options),
        data=identity["data"],
        recipe=identity["recipe"],
        fold=fold,
        seed=options.seed,
        late=late,
    )
    if not (late and is_recorded(entry, purpose.records)):
        record(entry, purpose.records, options.track)


def _scores(specialist: Specialist, answers: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
    predicted = answers[list(specialist.classes)].to_numpy().argmax(1)
    labels = table.set_index("picture").loc[answers.index]
    return {
        "pictures": len(answers),
        "macro_f1": macro_f1(answers["truth"], predicted, len(specialist.classes)),
        "accuracy": accuracy(answers["truth"], predicted),
        **specialist.further_scores(answers, labels),
    }


def _seconds(folder: Path) -> float:
    return float(read_history(folder)["seconds"].sum())
