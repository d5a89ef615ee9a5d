"""Folds grouped by person: all images of a person are held out together."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from shared.labels import BANDS, GENDERS, age_band
from shared.messages import UserError, counted, first_of

CELLS = [f"{gender}, {band}" for gender in GENDERS for band in BANDS]
UNKNOWN_CELL = "gender or age band unknown"


def cell_names(table: pd.DataFrame) -> "pd.Series[str]":
    """The cell of gender and age band of each row: one of `CELLS`, or `UNKNOWN_CELL`."""
    bands = table["age"].map(age_band).map(dict(enumerate(BANDS)))
    return (table["gender"].map(dict(enumerate(GENDERS))) + ", " + bands).fillna(UNKNOWN_CELL)


def assign_folds(table: pd.DataFrame, folds: int, seed: int = 0, together: Iterable[tuple[str, str]] = ()) -> pd.Series:
    """Assign a fold, 0 to `folds` - 1, to every person of a training table; a series indexed by person.

    Stratified by gender and age band: within each of the six cells, and in total, the sizes of the folds differ by at
    most one person. The result depends on the persons and the seed, not on the order of the rows, so all specialists
    get the same folds.

    Pairs of ids in `together` are one person under two names. Connected ids get the fold of the first of them, which
    may make the folds less even; all other persons keep their fold.

    Raises `UserError` if there are fewer persons than folds, or a person has two genders or age bands.
    """
    cells = _cells(table)
    if folds > len(cells):
        raise UserError(f"{counted(len(cells), 'person')} cannot fill {folds} folds: lower --folds")
    random = np.random.default_rng(seed)
    # The cells one after another, shuffled within, then dealt out like cards: each cell is spread evenly.
    shuffled = [random.permutation(persons.index.to_numpy()) for _, persons in cells.groupby(cells)]
    dealt = pd.Index(np.concatenate(shuffled), name="person", dtype=cells.index.dtype)
    assigned = pd.Series(np.arange(len(dealt)) % folds, index=dealt, name="fold").sort_index()
    first = pd.Series(_first_of_each(together, assigned.index), dtype=object)
    assigned.loc[first.index] = assigned.loc[first].to_numpy()
    return assigned


def _first_of_each(pairs: Iterable[tuple[str, str]], persons: pd.Index) -> dict[str, str]:
    """The first id in order of each connected group, for each of `persons` that is in a pair."""
    known = set(persons)
    first: dict[str, str] = {}
    for pair in pairs:
        if known.issuperset(pair):
            ends = sorted(first.setdefault(person, person) for person in pair)
            first = {person: ends[0] if end == ends[1] else end for person, end in first.items()}
    return first


def check_folds(persons: pd.Series, folds: pd.Series) -> None:
    """Raise `UserError` if a person has images in two folds; takes the person and the fold of every image."""
    pairs = pd.DataFrame({"person": persons.to_numpy(), "fold": folds.to_numpy()}).drop_duplicates()
    torn = pairs["person"][pairs["person"].duplicated()].unique()
    if len(torn):
        raise UserError(
            f"{counted(len(torn), 'person')} in two folds, so not unseen when held out: {first_of(torn)}. Train again"
        )


def _cells(table: pd.DataFrame) -> pd.Series:
    """The cell of every person, a number for each pair of gender and age band (unknown ones too), by person."""
    numbers = (len(BANDS) + 1) * (table["gender"] + 1) + table["age"].map(age_band) + 1
    cells = pd.DataFrame({"person": table["person"], "cell": numbers})
    cells = cells.drop_duplicates().sort_values("person").set_index("person")
    torn = cells.index[cells.index.duplicated()].unique()
    if len(torn):
        raise UserError(
            f"{counted(len(torn), 'person')} of two genders or age bands: {first_of(torn)}. "
            "Correct train.csv, or the files of --fixes"
        )
    return cells["cell"]
