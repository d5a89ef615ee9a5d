"""What the specialists say of persons they had not seen, put side by side: the ground for scores and decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shared.answers.fusion import SPECIALISTS, average_runs, common
from shared.answers.predictions import read_held_out
from shared.errors import UserError
from shared.scores.metrics import Counts
from shared.wording import first_of


@dataclass(frozen=True)
class HeldOut:
    """N pictures that all runs of all specialists hold out."""

    answers: dict[str, pd.DataFrame]
    """For each specialist a table of N rows, indexed by picture: its class probabilities and details."""

    truth: dict[str, Counts]
    """For each specialist the right classes, (N,)."""

    persons: pd.Series
    """Who is seen, (N,) text."""

    folds: pd.Series
    """The fold that held the picture out, (N,) int64; the same for all specialists."""


def join_held_out(files: Mapping[str, Sequence[Path]]) -> HeldOut:
    """Read and join the oof.csv files of each specialist; those of several runs are averaged.

    Raises `UserError` where a file is unusable, where two of them disagree about the person, the fold or the truth of
    a picture, or where no picture is in all of them.
    """
    tables = {task: [read_held_out(file, SPECIALISTS[task]) for file in runs] for task, runs in files.items()}
    named = [(file, table) for task, runs in files.items() for file, table in zip(runs, tables[task], strict=True)]
    for file, table in named[1:]:
        _check_agreement(*named[0], file, table, ("person", "fold"))
    for task, runs in files.items():
        for file, table in zip(runs[1:], tables[task][1:], strict=True):
            _check_agreement(runs[0], tables[task][0], file, table, ("truth",))
    pictures = common([table.index for _, table in named])
    if pictures.empty:
        raise UserError(
            f"no picture is held out in all of {', '.join(str(file) for file, _ in named)}: "
            "train the same folds of every specialist (--only-fold), or all of them"
        )
    known = named[0][1].loc[pictures]
    return HeldOut(
        answers={
            task: average_runs(runs).drop(columns=["fold", "truth"]).loc[pictures] for task, runs in tables.items()
        },
        truth={task: runs[0].loc[pictures, "truth"].to_numpy() for task, runs in tables.items()},
        persons=known["person"],
        folds=known["fold"],
    )


def _check_agreement(
    first: Path, first_table: pd.DataFrame, file: Path, table: pd.DataFrame, columns: Sequence[str]
) -> None:
    pictures = common([first_table.index, table.index])
    for column in columns:
        differs = first_table.loc[pictures, column] != table.loc[pictures, column]
        if differs.any():
            raise UserError(
                f"{file} and {first} disagree about the {column} of {differs.sum():,} pictures: "
                f"{first_of(pictures[differs])}. Train them with the same --data, --fixes and --folds, "
                f"or move one of the oof.csv away to combine without held-out scores"
            )
