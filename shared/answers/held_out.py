"""What the specialists say of persons they had not seen, put side by side: the ground for scores and decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.answers.fusion import SPECIALISTS, average_runs, common
from shared.answers.predictions import read_held_out
from shared.answers.run_weights import equal_weights, learn_weights
from shared.arrays import Floats, Ints
from shared.errors import UserError
from shared.folds import assign_folds
from shared.labels import BAND_EDGES
from shared.wording import first_of

PARTS = 5
"""Persons are split into so many parts where the specialists' own folds do not do it."""


@dataclass(frozen=True)
class HeldOut:
    """N pictures that all runs of all specialists hold out."""

    answers: dict[str, pd.DataFrame]
    """For each specialist a table of N rows, indexed by picture: its class probabilities and details."""

    truth: dict[str, Ints]
    """For each specialist the right classes, (N,)."""

    persons: pd.Series
    """Who is seen, (N,) text."""

    folds: pd.Series
    """The fold that held the picture out, (N,) int64; the same for all specialists."""

    def parts(self) -> Ints:
        """The fold of each picture (N,) or, where only one was trained, a part that its person is dealt to."""
        persons = self.persons.nunique()
        if len(self.folds.unique()) > 1 or persons == 1:
            return self.folds.to_numpy(np.int64)
        ages = np.array([0, *BAND_EDGES])[self.truth["age"]]
        table = pd.DataFrame({"person": self.persons, "gender": self.truth["gender"], "age": ages})
        return self.persons.map(assign_folds(table, min(PARTS, persons))).to_numpy(np.int64)


@dataclass(frozen=True)
class HeldOutRuns:
    """What each run of each specialist says of N pictures that all of them hold out."""

    tables: Mapping[str, Sequence[pd.DataFrame]]
    """For each specialist a table of N rows for each of its runs, indexed by picture, in one order."""
    averaged: HeldOut
    """Answered by their means."""

    def weighted(self) -> tuple[HeldOut, dict[str, Floats]]:
        """Answered by runs weighted as those of other folds ask for; and for each specialist the weights (R,) that
        all pictures ask for."""
        parts = self.averaged.parts()
        answers, weights = {}, {}
        for task, tables in self.tables.items():
            chances = self._chances(task)
            weights[task] = self._learnt(chances, np.ones(len(parts), np.bool_))
            pieces = [
                average_runs([table[parts == part] for table in tables], self._learnt(chances, parts != part))
                for part in np.unique(parts)
            ]
            answers[task] = pd.concat(pieces).loc[self.averaged.persons.index]
        return replace(self.averaged, answers=answers), weights

    def _chances(self, task: str) -> Floats:
        """The probability that each run gave to the right class, (N, R)."""
        truth, rows = self.averaged.truth[task], np.arange(len(self.averaged.persons))
        classes = list(SPECIALISTS[task])
        return np.stack([table[classes].to_numpy()[rows, truth] for table in self.tables[task]], axis=1)

    def _learnt(self, chances: Floats, of: NDArray[np.bool_]) -> Floats:
        """Weights (R,) by the pictures `of` (N,); equal ones where there are none."""
        if not of.any() or chances.shape[1] == 1:
            return equal_weights(chances.shape[1])
        return learn_weights(chances[of], self.averaged.persons[of].nunique())


def join_held_out(files: Mapping[str, Sequence[Path]]) -> HeldOut:
    """As `read_held_out_runs`; those of several runs are averaged."""
    return read_held_out_runs(files).averaged


def read_held_out_runs(files: Mapping[str, Sequence[Path]]) -> HeldOutRuns:
    """Read and join the oof.csv files of each specialist.

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
    said = {
        task: [table.drop(columns=["fold", "truth"]).loc[pictures] for table in runs] for task, runs in tables.items()
    }
    averaged = HeldOut(
        answers={task: average_runs(runs) for task, runs in said.items()},
        truth={task: runs[0].loc[pictures, "truth"].to_numpy() for task, runs in tables.items()},
        persons=known["person"],
        folds=known["fold"],
    )
    return HeldOutRuns(said, averaged)


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
