"""What the specialists say of the pictures that are to be answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from shared.answers.files import EVAL
from shared.answers.fusion import SPECIALISTS, average_runs, common
from shared.answers.predictions import read_predictions
from shared.arrays import Floats
from shared.errors import UserError
from shared.manifest import list_pictures, split_folder
from shared.wording import counted, first_of

Persons = Literal["average", "folder", "ignore"]
"""Who is seen: as info.csv says, as the folders of the pictures say, or not to be asked."""


@dataclass(frozen=True)
class Asked:
    """N pictures that info.csv names and all runs answer, in the order of info.csv."""

    answers: dict[str, pd.DataFrame]
    """For each specialist a table of N rows, indexed by picture: its class probabilities and details."""

    persons: pd.Series | None
    """Who is seen, (N,) text indexed by picture; None where info.csv does not say."""

    runs: Mapping[str, Sequence[pd.DataFrame]]
    """For each specialist the tables of its runs, which may hold further pictures; `answers` are their means."""

    @property
    def pictures(self) -> pd.Index:
        return self.answers["mask"].index

    def weighted(self, weights: Mapping[str, Floats]) -> "Asked":
        """Answered by means in which each run of a specialist counts as `weights` (R,) say."""
        answers = {task: average_runs(runs, weights[task]).loc[self.pictures] for task, runs in self.runs.items()}
        return replace(self, answers=answers)


def read_asked(data: Path, runs: Mapping[str, Sequence[Path]], skip_bad: bool, rejected: Path) -> Asked:
    """Read eval.csv of the run folders of each specialist; several are averaged.

    Raises `UserError` where a run is missing or unusable, or does not speak of just the pictures that info.csv names;
    with `skip_bad` only the pictures that all of them answer are kept.
    """
    split = split_folder(data, "eval")
    info = list_pictures(split, skip_bad, rejected).set_index("picture")
    answers, said = {}, {}
    for task in SPECIALISTS:
        tables = {folder: _read_run(task, folder) for folder in runs[task]}
        for folder, table in tables.items():
            check_pictures(folder / EVAL, table.index, split / "info.csv", info.index, skip_bad)
        said[task] = [*tables.values()]
        answers[task] = average_runs(said[task])
    answered = common([info.index, *(table.index for table in answers.values())])
    if answered.empty:
        raise UserError(
            f"no picture of {split}/info.csv is answered by all runs: predict with the --data that is given here"
        )
    persons = info.loc[answered, "person"] if "person" in info else None
    return Asked({task: table.loc[answered] for task, table in answers.items()}, persons, said)


def persons_of(asked: Asked, choice: Persons) -> pd.Series | None:
    """Who is seen (N,), or None where that is not told or not to be asked, or nobody is seen twice.

    Raises `UserError` where folders are to tell and a picture lies in none.
    """
    persons = {"average": asked.persons, "ignore": None}[choice] if choice != "folder" else _folders(asked.pictures)
    return None if persons is None or persons.is_unique else persons


def _folders(pictures: pd.Index) -> pd.Series:
    folders = [str(PurePosixPath(picture).parent) for picture in pictures]
    bare = pictures[[folder == "." for folder in folders]]
    if len(bare):
        raise UserError(
            f"--persons folder: {counted(len(bare), 'picture')} in no folder of a person: {first_of(bare)}. "
            "--persons average goes by a column `person` of info.csv, --persons ignore by each picture alone"
        )
    return pd.Series(folders, pictures)


def _read_run(task: str, folder: Path) -> pd.DataFrame:
    if not (folder / EVAL).is_file():
        raise UserError(
            f"{folder / EVAL} is missing: python -m pipelines.{task}.train makes it (or .predict, from a trained run); "
            f"--{task} FOLDER names runs elsewhere"
        )
    return read_predictions(folder / EVAL, SPECIALISTS[task])


def check_pictures(file: Path, pictures: pd.Index, other: Path, asked: pd.Index, skip_bad: bool) -> None:
    """Raises `UserError` where `file` has pictures that `other` has not, or, unless `skip_bad`, lacks some of it."""
    surplus, lacking = pictures.difference(asked, sort=False), asked.difference(pictures, sort=False)
    if len(surplus):
        raise UserError(
            f"{file} has {counted(len(surplus), 'picture')} that {other} has not: {first_of(surplus)}. "
            "Both must be of the same --data"
        )
    if len(lacking) and not skip_bad:
        raise UserError(
            f"{file} lacks {counted(len(lacking), 'picture')} of {other}: {first_of(lacking)}. "
            "Make it again, or leave them out with --skip-bad"
        )
