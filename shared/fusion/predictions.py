"""Names of the files of a run folder that others read: what was run, held-out answers, answers for eval images.

The file that passes from a specialist to `combine.py`: one row per image, a column of probability per class.

    eval.csv   image, <classes>, [details]
    oof.csv    image, person, fold, truth, <classes>, [details]

`oof` holds the answers of the fold that had not seen the person; truth is the index of the right class. Details are
further numbers of a specialist (age: `age`, the median in years, and the distribution over years).

What the specialists say of the images that are to be answered.

What the specialists say of persons they had not seen, put side by side: the ground for scores and decisions.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from shared.files import replacing
from shared.folds import assign_folds, check_folds
from shared.fusion.fusion import SPECIALISTS, average_runs, common_index, equal_weights, learn_weights
from shared.fusion.metrics import Floats, Ints
from shared.labels import BAND_EDGES
from shared.manifest import list_images, split_folder
from shared.messages import UserError, counted, first_of

RUN, OOF, EVAL = "run.json", "oof.csv", "eval.csv"


HELD_OUT = ("person", "fold", "truth")
"""What a file of held-out predictions has besides."""

TOLERANCE = 1e-3
"""How far probabilities may be from summing to one: rounding and half precision pass, a wrong column does not."""


def write_predictions(path: Path, table: pd.DataFrame) -> None:
    """Write one row per image, numbers with seven digits; the image is a column, or the index of that name.

    Raises `UserError` where the disk refuses; the file is then what it was before.
    """
    with replacing(path) as temporary:
        named = table.index.name == "image"
        table.to_csv(temporary, index=named, float_format="%.7g", lineterminator="\n")


def read_predictions(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """The predictions of a file, indexed by image; the columns `classes` are float64 and sum to one, others follow.

    Raises `UserError` naming the file, how many images are wrong and the first of them: where a column is missing,
    an image is there twice, a probability is no number of 0-1, or those of an image are not one in sum.
    """
    table = _read(path)
    _require_columns(path, table, classes)
    _refuse(path, table, table.index == "", "have no name")
    _refuse(path, table, table.index.duplicated(), "are there twice")
    numbers = _numbers(table, classes)
    total = numbers.sum(axis=1)
    _refuse(path, table, ~numbers.ge(0).all(axis=1), "have a probability that is missing or below zero")
    _refuse(path, table, (total - 1).abs() > TOLERANCE, "have probabilities that do not sum to one")
    table[list(classes)] = numbers.div(total, axis=0)
    return table


def read_held_out(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """As `read_predictions`, with the columns `HELD_OUT` checked too; fold and truth are int64.

    Raises `UserError` also where there is no person, fold or class of that sort, or a person is in two folds.
    """
    table = read_predictions(path, classes)
    _require_columns(path, table, HELD_OUT)
    numbers = _numbers(table, ("fold", "truth"))
    whole = numbers.ge(0) & (numbers % 1 == 0)
    wrong = ~whole["truth"] | (numbers["truth"] >= len(classes))
    _refuse(path, table, table["person"] == "", "have no person")
    _refuse(path, table, ~whole["fold"], "have no fold")
    _refuse(path, table, wrong, f"have a truth that is none of 0-{len(classes) - 1}")
    table[["fold", "truth"]] = numbers.astype(np.int64)
    try:
        check_folds(table["person"], table["fold"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return table


def _read(path: Path) -> pd.DataFrame:
    """Text stays text: a person `000020` keeps its zeros and an image called `NA` its name."""
    if not path.is_file():
        raise UserError(f"{path} is missing: training and predicting write such files")
    try:
        with warnings.catch_warnings():
            # Rows longer than the header: pandas would drop what is too much.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                dtype={"image": str, "person": str},
                index_col=False,
                keep_default_na=False,
                encoding="utf-8-sig",
                low_memory=False,
            )
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise UserError(f"{path} is not a prediction file: {error}. Make it again") from error
    if table.empty:
        raise UserError(f"{path} holds no predictions. Make it again")
    _require_columns(path, table, ("image",))
    return table.set_index("image")


def _require_columns(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(
            f"{path} lacks the columns {', '.join(missing)}; it has {first_of(table.columns)}. Make it again"
        )


def _numbers(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns as float64, NaN where there is no number."""
    return table[list(columns)].apply(pd.to_numeric, errors="coerce").astype(np.float64)


def _refuse(path: Path, table: pd.DataFrame, wrong: ArrayLike, what: str) -> None:
    names = table.index[np.asarray(wrong)].tolist()
    if names:
        raise UserError(f"{path}: {len(names):,} of {len(table):,} images {what}: {first_of(names)}. Make it again")


Persons = Literal["average", "folder", "ignore"]
"""Who is seen: as info.csv says, as the folders of the images say, or not to be asked."""


@dataclass(frozen=True)
class EvalSet:
    """N images that info.csv names and all runs answer, in the order of info.csv."""

    predictions: dict[str, pd.DataFrame]
    """For each specialist a table of N rows, indexed by image: its class probabilities and details."""

    persons: pd.Series | None
    """Who is seen, (N,) text indexed by image; None where info.csv does not say."""

    runs: Mapping[str, Sequence[pd.DataFrame]]
    """For each specialist the tables of its runs, which may hold further images; `predictions` are their means."""

    @property
    def images(self) -> pd.Index:
        return self.predictions["mask"].index

    def weighted(self, weights: Mapping[str, Floats]) -> "EvalSet":
        """Answered by means in which each run of a specialist counts as `weights` (R,) say."""
        answers = {task: average_runs(runs, weights[task]).loc[self.images] for task, runs in self.runs.items()}
        return replace(self, predictions=answers)


def read_eval_set(data: Path, runs: Mapping[str, Sequence[Path]], skip_bad: bool, rejected: Path) -> EvalSet:
    """Read eval.csv of the run folders of each specialist; several are averaged.

    Raises `UserError` where a run is missing or unusable, or does not speak of just the images that info.csv names;
    with `skip_bad` only the images that all of them answer are kept.
    """
    split = split_folder(data, "eval")
    info = list_images(split, skip_bad, rejected).set_index("image")
    answers, said = {}, {}
    for task in SPECIALISTS:
        tables = {folder: _read_run(task, folder) for folder in runs[task]}
        for folder, table in tables.items():
            check_images(folder / EVAL, table.index, split / "info.csv", info.index, skip_bad)
        said[task] = [*tables.values()]
        answers[task] = average_runs(said[task])
    answered = common_index([info.index, *(table.index for table in answers.values())])
    if answered.empty:
        raise UserError(
            f"no image of {split}/info.csv is answered by all runs: predict with the --data that is given here"
        )
    persons = info.loc[answered, "person"] if "person" in info else None
    return EvalSet({task: table.loc[answered] for task, table in answers.items()}, persons, said)


def persons_of(asked: EvalSet, choice: Persons) -> pd.Series | None:
    """Who is seen (N,), or None where that is not told or not to be asked, or nobody is seen twice.

    Raises `UserError` where folders are to tell and an image lies in none.
    """
    persons = {"average": asked.persons, "ignore": None}[choice] if choice != "folder" else _folders(asked.images)
    return None if persons is None or persons.is_unique else persons


def _folders(images: pd.Index) -> pd.Series:
    folders = [str(PurePosixPath(image).parent) for image in images]
    bare = images[[folder == "." for folder in folders]]
    if len(bare):
        raise UserError(
            f"--persons folder: {counted(len(bare), 'image')} in no folder of a person: {first_of(bare)}. "
            "--persons average goes by a column `person` of info.csv, --persons ignore by each image alone"
        )
    return pd.Series(folders, images)


def _read_run(task: str, folder: Path) -> pd.DataFrame:
    if not (folder / EVAL).is_file():
        raise UserError(
            f"{folder / EVAL} is missing: python -m pipelines.{task}.train makes it (or .predict, from a trained run); "
            f"--{task} FOLDER names runs elsewhere"
        )
    return read_predictions(folder / EVAL, SPECIALISTS[task])


def check_images(file: Path, images: pd.Index, other: Path, asked: pd.Index, skip_bad: bool) -> None:
    """Raises `UserError` where `file` has images that `other` has not, or, unless `skip_bad`, lacks some of it."""
    surplus, lacking = images.difference(asked, sort=False), asked.difference(images, sort=False)
    if len(surplus):
        raise UserError(
            f"{file} has {counted(len(surplus), 'image')} that {other} has not: {first_of(surplus)}. "
            "Both must be of the same --data"
        )
    if len(lacking) and not skip_bad:
        raise UserError(
            f"{file} lacks {counted(len(lacking), 'image')} of {other}: {first_of(lacking)}. "
            "Make it again, or leave them out with --skip-bad"
        )


PARTS = 5
"""Persons are split into so many parts where the specialists' own folds do not do it."""


@dataclass(frozen=True)
class HeldOut:
    """N images that all runs of all specialists hold out."""

    predictions: dict[str, pd.DataFrame]
    """For each specialist a table of N rows, indexed by image: its class probabilities and details."""

    truth: dict[str, Ints]
    """For each specialist the right classes, (N,)."""

    persons: pd.Series
    """Who is seen, (N,) text."""

    folds: pd.Series
    """The fold that held the image out, (N,) int64; the same for all specialists."""

    def parts(self) -> Ints:
        """The fold of each image (N,) or, where only one was trained, a part that its person is dealt to."""
        persons = self.persons.nunique()
        if len(self.folds.unique()) > 1 or persons == 1:
            return self.folds.to_numpy(np.int64)
        ages = np.array([0, *BAND_EDGES])[self.truth["age"]]
        table = pd.DataFrame({"person": self.persons, "gender": self.truth["gender"], "age": ages})
        return self.persons.map(assign_folds(table, min(PARTS, persons))).to_numpy(np.int64)


@dataclass(frozen=True)
class HeldOutRuns:
    """What each run of each specialist says of N images that all of them hold out."""

    tables: Mapping[str, Sequence[pd.DataFrame]]
    """For each specialist a table of N rows for each of its runs, indexed by image, in one order."""
    averaged: HeldOut
    """Answered by their means."""

    def weighted(self) -> tuple[HeldOut, dict[str, Floats]]:
        """Answered by runs weighted as those of other folds ask for; and for each specialist the weights (R,) that
        all images ask for."""
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
        return replace(self.averaged, predictions=answers), weights

    def _chances(self, task: str) -> Floats:
        """The probability that each run gave to the right class, (N, R)."""
        truth, rows = self.averaged.truth[task], np.arange(len(self.averaged.persons))
        classes = list(SPECIALISTS[task])
        return np.stack([table[classes].to_numpy()[rows, truth] for table in self.tables[task]], axis=1)

    def _learnt(self, chances: Floats, of: NDArray[np.bool_]) -> Floats:
        """Weights (R,) by the images `of` (N,); equal ones where there are none."""
        if not of.any() or chances.shape[1] == 1:
            return equal_weights(chances.shape[1])
        return learn_weights(chances[of], self.averaged.persons[of].nunique())


def join_held_out(files: Mapping[str, Sequence[Path]]) -> HeldOut:
    """As `read_held_out_runs`; those of several runs are averaged."""
    return read_held_out_runs(files).averaged


def read_held_out_runs(files: Mapping[str, Sequence[Path]]) -> HeldOutRuns:
    """Read and join the oof.csv files of each specialist.

    Raises `UserError` where a file is unusable, where two of them disagree about the person, the fold or the truth of
    an image, or where no image is in all of them.
    """
    tables = {task: [read_held_out(file, SPECIALISTS[task]) for file in runs] for task, runs in files.items()}
    named = [(file, table) for task, runs in files.items() for file, table in zip(runs, tables[task], strict=True)]
    for file, table in named[1:]:
        _check_agreement(*named[0], file, table, ("person", "fold"))
    for task, runs in files.items():
        for file, table in zip(runs[1:], tables[task][1:], strict=True):
            _check_agreement(runs[0], tables[task][0], file, table, ("truth",))
    images = common_index([table.index for _, table in named])
    if images.empty:
        raise UserError(
            f"no image is held out in all of {', '.join(str(file) for file, _ in named)}: "
            "train the same folds of every specialist (--only-fold), or all of them"
        )
    known = named[0][1].loc[images]
    said = {
        task: [table.drop(columns=["fold", "truth"]).loc[images] for table in runs] for task, runs in tables.items()
    }
    averaged = HeldOut(
        predictions={task: average_runs(runs) for task, runs in said.items()},
        truth={task: runs[0].loc[images, "truth"].to_numpy() for task, runs in tables.items()},
        persons=known["person"],
        folds=known["fold"],
    )
    return HeldOutRuns(said, averaged)


def _check_agreement(
    first: Path, first_table: pd.DataFrame, file: Path, table: pd.DataFrame, columns: Sequence[str]
) -> None:
    images = common_index([first_table.index, table.index])
    for column in columns:
        differs = first_table.loc[images, column] != table.loc[images, column]
        if differs.any():
            raise UserError(
                f"{file} and {first} disagree about the {column} of {differs.sum():,} images: "
                f"{first_of(images[differs])}. Train them with the same --data, --fixes and --folds, "
                f"or move one of the oof.csv away to combine without held-out scores"
            )
