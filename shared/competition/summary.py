"""What is in a competition folder, as short tables for a terminal."""

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import pandas as pd

from shared.labels import BANDS, GENDERS, MASKS, age_band


def summarise_training(folder: Path, table: pd.DataFrame, folds: pd.Series) -> str:
    """Pictures by mask state, and persons by gender and age band, over all and in each fold.

    Takes the table of `manifest.load_training` and the fold of every person (`folds.assign_folds`).
    """
    persons = table.drop_duplicates("person").set_index("person")
    youngest, oldest = persons["age"].agg(["min", "max"])
    title = f"{folder}: {len(table):,} pictures of {len(persons):,} persons, {youngest:g} to {oldest:g} years old"
    pictures = [(name, [int((table["mask"] == mask).sum())]) for mask, name in enumerate(MASKS)]
    numbers = range(folds.max() + 1)
    head = _line("persons", ["all", *(f"fold {number}" for number in numbers)])
    cells = [
        (name, [len(cell), *(int((cell == number).sum()) for number in numbers)])
        for name, cell in _cells(persons, folds)
    ]
    return "\n".join([title, "", _line("pictures", ["all"]), *_lines(pictures), "", head, *_lines(cells)])


def summarise_evaluation(folder: Path, table: pd.DataFrame) -> str:
    """How many pictures there are to answer, and of how many persons where that is known."""
    persons = f" of {table['person'].nunique():,} persons" if "person" in table else ""
    return f"{folder}: {len(table):,} pictures{persons} to answer"


def _cells(persons: pd.DataFrame, folds: pd.Series) -> Iterable[tuple[str, pd.Series]]:
    """The folds of the persons in each cell of gender and age band, then of all."""
    bands = persons["age"].map(age_band)
    for (gender, gender_name), (band, band_name) in product(enumerate(GENDERS), enumerate(BANDS)):
        inside = persons.index[(persons["gender"] == gender) & (bands == band)]
        yield f"{gender_name}, {band_name}", folds.loc[inside]
    yield "together", folds


def _lines(rows: Iterable[tuple[str, Sequence[int]]]) -> list[str]:
    return [_line(name, [f"{count:,}" for count in counts]) for name, counts in rows]


def _line(name: str, values: Sequence[str]) -> str:
    return f"{name:<16}" + "".join(f"{value:>9}" for value in values)
