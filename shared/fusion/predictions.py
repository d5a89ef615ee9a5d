"""Prediction files, which pass from a specialist to `combine.py`, and the sets of predictions read from them.

One row per image, one column of probability per class, then further columns of a specialist (age: `age`, the median in
years, and the distribution over years).

    eval.csv        image, <classes>, [further]                       eval images, by the mean of all networks
    fold0/eval.csv  image, <classes>, [further]                       eval images, by the network of one fold
    eval.parquet/   instead of eval.csv, a folder of Parquet files    more eval images than fit into memory
    oof.csv         image, person, fold, truth, <classes>, [further]  held-out images, by the network that did not train
                                                                      on them

`EvalSet` joins the eval.csv of all runs of all specialists, `HeldOut` their oof.csv.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from shared.files import table_csv, write_text
from shared.folds import assign_folds, check_folds
from shared.fusion.fusion import SPECIALISTS, average_persons, average_runs, common_index
from shared.fusion.metrics import Ints
from shared.labels import BAND_EDGES
from shared.manifest import list_images, split_folder
from shared.messages import UserError, counted, first_of

OOF, EVAL, EVAL_PARTS = "oof.csv", "eval.csv", "eval.parquet"
"""The files of a run folder that others read."""

HELD_OUT = ("person", "fold", "truth")
"""The columns that oof.csv has besides; `truth` is the index of the true class."""

TOLERANCE = 1e-3
"""How far probabilities may be from summing to one: rounding and half precision pass, a wrong column does not."""


def write_predictions(path: Path, table: pd.DataFrame) -> None:
    """Write one row per image, numbers with seven digits; the image is a column or the index, named `image`.

    Raises `UserError` if the disk refuses; the file is then unchanged.
    """
    write_text(path, table_csv(table, index=table.index.name == "image", float_format="%.7g"))


def read_predictions(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """Return the predictions of a file, indexed by image; the columns `classes` are float64 and sum to one.

    Raises `UserError` naming the file, the number of bad images and the first of them, if a column is missing, an
    image appears twice, or the probabilities of an image are not numbers of 0-1 that sum to one.
    """
    return _checked(path, _read(path), classes)


def _checked(path: Path, table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
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
    """Return held-out predictions, read as in `read_predictions`; fold and truth are int64.

    Raises `UserError` also if a person, fold or truth is missing or impossible, or a person is in two folds.
    """
    table = read_predictions(path, classes)
    _require_columns(path, table, HELD_OUT)
    numbers = _numbers(table, ("fold", "truth"))
    whole = numbers.ge(0) & (numbers % 1 == 0)
    _refuse(path, table, table["person"] == "", "have no person")
    _refuse(path, table, ~whole["fold"], "have no fold")
    out_of_range = ~whole["truth"] | (numbers["truth"] >= len(classes))
    _refuse(path, table, out_of_range, f"have a truth that is not one of 0-{len(classes) - 1}")
    table[["fold", "truth"]] = numbers.astype(np.int64)
    try:
        check_folds(table["person"], table["fold"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return table


def _read(path: Path) -> pd.DataFrame:
    """Text stays text: person `000020` keeps its zeros and an image called `NA` its name."""
    if not path.is_file():
        raise UserError(f"{path} is missing: training and predicting write such files")
    try:
        with warnings.catch_warnings():
            # Rows longer than the header: pandas would drop the surplus.
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
    """Return columns as float64, NaN for what is not a number."""
    return table[list(columns)].apply(pd.to_numeric, errors="coerce").astype(np.float64)


def _refuse(path: Path, table: pd.DataFrame, wrong: ArrayLike, what: str) -> None:
    names = table.index[np.asarray(wrong)].tolist()
    if names:
        raise UserError(f"{path}: {len(names):,} of {len(table):,} images {what}: {first_of(names)}. Make it again")


Persons = Literal["average", "ignore"]
"""Whether gender and age are averaged over the images of a person whom info.csv names."""


@dataclass(frozen=True)
class RunPredictions:
    """The predictions of a run for eval images."""

    mean: pd.DataFrame
    folds: Mapping[int, pd.DataFrame]
    """Those of the network of each fold; empty if the run keeps only their mean."""


@dataclass(frozen=True)
class EvalSet:
    """The N images that info.csv names and all runs predicted, in the order of info.csv."""

    predictions: dict[str, pd.DataFrame]
    """For each specialist the mean of its runs: a table of N rows, indexed by image."""

    networks: Mapping[str, Sequence[pd.DataFrame]]
    """For each specialist one table per fold, the mean of the runs' networks of that fold. A single table, the mean of
    all, if the runs differ in their folds or keep only their mean."""

    persons: pd.Series | None
    """The person of each image, (N,) text indexed by image; None if info.csv has no such column."""

    @property
    def images(self) -> pd.Index:
        return self.predictions["mask"].index

    def averaged(self, persons: pd.Series) -> "EvalSet":
        """Return the same images with gender and age averaged over persons (N,)."""
        networks = {
            task: [average_persons({task: table}, persons)[task] for table in tables]
            for task, tables in self.networks.items()
        }
        return replace(self, predictions=average_persons(self.predictions, persons), networks=networks)


def read_eval_set(data: Path, runs: Mapping[str, Sequence[Path]], skip_bad: bool, rejected: Path) -> EvalSet:
    """Read and average eval.csv of the run folders of each specialist.

    Raises `UserError` if a run is missing or unusable, or does not predict exactly the images that info.csv names;
    with `skip_bad` only the images that all runs predicted are kept.
    """
    split = split_folder(data, "eval")
    info = list_images(split, skip_bad, rejected).set_index("image")
    read: dict[str, list[RunPredictions]] = {}
    for task in SPECIALISTS:
        read[task] = [_read_run(task, folder) for folder in runs[task]]
        for folder, run in zip(runs[task], read[task], strict=True):
            check_images(folder / EVAL, run.mean.index, split / "info.csv", info.index, skip_bad)
    images = common_index([info.index, *(run.mean.index for several in read.values() for run in several)])
    if images.empty:
        raise UserError(
            f"no image of {split}/info.csv was predicted by all runs: predict with the --data that is given here"
        )
    return _average(images, info.loc[images, "person"] if "person" in info else None, read)


BATCH = 1 << 17
"""Images of eval.parquet that are in memory at a time."""


def stream_eval_set(runs: Mapping[str, Sequence[Path]]) -> Iterator[EvalSet]:
    """Yield the eval.parquet of the run folders of each specialist, some images at a time; no info.csv is read.

    Raises `UserError` if one is missing or unusable, or they do not hold the same images in the same order.
    """
    folders = {
        task: [[run / EVAL_PARTS, *sorted(run.glob(f"fold[0-9]*/{EVAL_PARTS}"))] for run in several]
        for task, several in runs.items()
    }
    streams = {
        folder: _read_parts(folder, SPECIALISTS[task]) for task in folders for run in folders[task] for folder in run
    }
    first = next(iter(streams))
    for tables in zip_longest(*streams.values(), fillvalue=pd.DataFrame()):
        batch = dict(zip(streams, tables, strict=True))
        images = batch[first].index
        for folder, table in batch.items():
            if not table.index.equals(images):
                raise UserError(f"{folder} and {first} hold different images, or in another order: sort both alike")
        read = {
            task: [
                RunPredictions(batch[mean], {int(fold.parent.name.removeprefix("fold")): batch[fold] for fold in folds})
                for mean, *folds in several
            ]
            for task, several in folders.items()
        }
        yield _average(images, None, read)


def _read_parts(folder: Path, classes: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield what `read_predictions` returns for the next `BATCH` images; the files are read in the order of names."""
    try:
        import pyarrow as pa
        from pyarrow.dataset import dataset
    except ImportError as error:
        raise UserError(f"{folder} needs pyarrow: pip install 'face18[cluster]'") from error
    try:
        rest = None
        for batch in dataset(folder, format="parquet").to_batches(
            batch_size=BATCH, batch_readahead=1, fragment_readahead=1
        ):
            table = pa.Table.from_batches([batch])
            rest = pa.concat_tables([rest, table]) if rest else table
            while len(rest) >= BATCH:
                yield _from_arrow(folder, rest[:BATCH], classes)
                rest = rest[BATCH:]
        if rest:
            yield _from_arrow(folder, rest, classes)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{folder} is no folder of Parquet files with predictions: {error}") from error


def _from_arrow(folder: Path, table: Any, classes: Sequence[str]) -> pd.DataFrame:
    frame = table.to_pandas()
    _require_columns(folder, frame, ("image",))
    return _checked(folder, frame.set_index("image"), classes)


def _average(images: pd.Index, persons: pd.Series | None, runs: Mapping[str, Sequence[RunPredictions]]) -> EvalSet:
    predictions, networks = {}, {}
    for task, several in runs.items():
        predictions[task] = average_runs([run.mean for run in several]).loc[images]
        folds = several[0].folds.keys()
        same = all(run.folds.keys() == folds for run in several)
        each = [average_runs([run.folds[fold] for run in several]).loc[images] for fold in folds if same]
        networks[task] = each or [predictions[task]]
    return EvalSet(predictions, networks, persons)


def _read_run(task: str, folder: Path) -> RunPredictions:
    if not (folder / EVAL).is_file():
        raise UserError(
            f"{folder / EVAL} is missing: python -m pipelines.{task}.train makes it (or .predict, from a trained run); "
            f"--{task} FOLDER names runs elsewhere"
        )
    classes = list(SPECIALISTS[task])
    mean = read_predictions(folder / EVAL, classes)
    files = {int(file.parent.name.removeprefix("fold")): file for file in folder.glob(f"fold[0-9]*/{EVAL}")}
    folds = {fold: read_predictions(files[fold], classes) for fold in sorted(files)}
    if folds:
        known = all(table.index.equals(mean.index) and table.columns.equals(mean.columns) for table in folds.values())
        if not known or not np.allclose(average_runs([*folds.values()])[classes], mean[classes], atol=1e-5):
            raise UserError(
                f"{folder / EVAL} is not the mean of the {counted(len(folds), 'file')} fold*/{EVAL} beside it: "
                f"python -m pipelines.{task}.predict makes them again"
            )
    return RunPredictions(mean, folds)


def check_images(file: Path, images: pd.Index, other: Path, expected: pd.Index, skip_bad: bool) -> None:
    """Raise `UserError` if `file` has images that `other` has not, or, unless `skip_bad`, lacks some of them."""
    surplus, lacking = images.difference(expected, sort=False), expected.difference(images, sort=False)
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


def persons_of(eval_set: EvalSet, choice: Persons) -> pd.Series | None:
    """Return the person of each image (N,), or None if that is unknown or not wanted, or no person has two images."""
    persons = eval_set.persons if choice == "average" else None
    return None if persons is None or persons.is_unique else persons


PARTS = 5
"""Parts that persons are split into if the specialists trained a single fold."""


@dataclass(frozen=True)
class HeldOut:
    """N images that all runs of all specialists hold out."""

    predictions: dict[str, pd.DataFrame]
    """For each specialist the mean of its runs: a table of N rows, indexed by image."""

    truth: dict[str, Ints]
    """For each specialist the true classes, (N,)."""

    persons: pd.Series
    """The person of each image, (N,) text."""

    folds: pd.Series
    """The fold that held the image out, (N,) int64, the same for all specialists."""

    def part(self, inside: NDArray[np.bool_]) -> "HeldOut":
        """Return the images `inside` (N,)."""
        return HeldOut(
            {task: table[inside] for task, table in self.predictions.items()},
            {task: classes[inside] for task, classes in self.truth.items()},
            self.persons[inside],
            self.folds[inside],
        )

    def parts(self) -> Ints:
        """Return the parts for cross-fitting, (N,): the folds or, if there is but one, a split of its persons."""
        persons = self.persons.nunique()
        if len(self.folds.unique()) > 1 or persons == 1:
            return self.folds.to_numpy(np.int64)
        ages = np.array([0, *BAND_EDGES])[self.truth["age"]]
        table = pd.DataFrame({"person": self.persons, "gender": self.truth["gender"], "age": ages})
        return self.persons.map(assign_folds(table, min(PARTS, persons))).to_numpy(np.int64)


def join_held_out(files: Mapping[str, Sequence[Path]]) -> HeldOut:
    """Read and join the oof.csv files of each specialist, averaged over its runs.

    Raises `UserError` if a file is unusable, if two of them disagree about the person, the fold or the truth of an
    image, or if no image is in all of them.
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
    common = {
        task: [table.drop(columns=["fold", "truth"]).loc[images] for table in runs] for task, runs in tables.items()
    }
    return HeldOut(
        predictions={task: average_runs(runs) for task, runs in common.items()},
        truth={task: runs[0].loc[images, "truth"].to_numpy() for task, runs in tables.items()},
        persons=known["person"],
        folds=known["fold"],
    )


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
