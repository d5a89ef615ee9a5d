"""The file that passes from a specialist to `combine.py`: one row per picture, a column of probability per class.

    eval.csv   picture, <classes>, [details]
    oof.csv    picture, person, fold, truth, <classes>, [details]

`oof` holds the answers of the fold that had not seen the person; truth is the index of the right class. Details are
further numbers of a specialist (age: `age`, the median in years, and the distribution over years).
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from shared.atomic import replacing
from shared.errors import UserError
from shared.folds import check_folds
from shared.wording import first_of

HELD_OUT = ("person", "fold", "truth")
"""What a file of held-out predictions has besides."""

TOLERANCE = 1e-3
"""How far probabilities may be from summing to one: rounding and half precision pass, a wrong column does not."""


def write_predictions(path: Path, table: pd.DataFrame) -> None:
    """Write one row per picture, numbers with seven digits; the picture is a column, or the index of that name.

    Raises `UserError` where the disk refuses; the file is then what it was before.
    """
    with replacing(path) as temporary:
        named = table.index.name == "picture"
        table.to_csv(temporary, index=named, float_format="%.7g", lineterminator="\n")


def read_predictions(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """The predictions of a file, indexed by picture; the columns `classes` are float64 and sum to one, others follow.

    Raises `UserError` naming the file, how many pictures are wrong and the first of them: where a column is missing,
    a picture is there twice, a probability is no number of 0-1, or those of a picture are not one in sum.
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
    """Text stays text: a person `000020` keeps its zeros and a picture called `NA` its name."""
    if not path.is_file():
        raise UserError(f"{path} is missing: training and predicting write such files")
    try:
        with warnings.catch_warnings():
            # Rows longer than the header: pandas would drop what is too much.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                dtype={"picture": str, "person": str},
                index_col=False,
                keep_default_na=False,
                encoding="utf-8-sig",
                low_memory=False,
            )
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise UserError(f"{path} is not a prediction file: {error}. Make it again") from error
    if table.empty:
        raise UserError(f"{path} holds no predictions. Make it again")
    _require_columns(path, table, ("picture",))
    return table.set_index("picture")


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
        raise UserError(f"{path}: {len(names):,} of {len(table):,} pictures {what}: {first_of(names)}. Make it again")
