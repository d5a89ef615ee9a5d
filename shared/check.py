"""Check a competition folder, and print what is in it.

python -m shared.check --data data
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from shared.commands import run
from shared.folds import assign_folds
from shared.labels import BANDS, GENDERS, MASKS, age_band
from shared.manifest import load_evaluation, load_training, split_folders
from shared.messages import UserError


@dataclass(frozen=True)
class Options:
    """Check a competition folder, and say what is in it."""

    data: Path = Path("data")
    """The competition's folder, or one split of it."""

    folds: int = 5
    """How many folds to show: persons are dealt out by gender and age band."""

    fixes: tuple[Path, ...] = ()
    """Files of label corrections, such as shared/fixes/boostcamp.csv."""

    skip_bad: bool = False
    """Leave faulty rows and images out, and list them in rejected.csv."""

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UserError(f"--folds must be at least 2, not {self.folds}")


def main(options: Options) -> None:
    """Check every split there is, and print a summary of each."""
    for split, folder in split_folders(options.data).items():
        if split == "train":
            training = load_training(folder, options.fixes, options.skip_bad)
            print(summarise_training(folder, training, assign_folds(training, options.folds)), end="\n\n")
        else:
            print(summarise_evaluation(folder, load_evaluation(folder, options.skip_bad)))


def summarise_training(folder: Path, table: pd.DataFrame, folds: pd.Series) -> str:
    """Images by mask state, and persons by gender and age band, over all and in each fold.

    Takes the table of `manifest.load_training` and the fold of every person (`folds.assign_folds`).
    """
    persons = table.drop_duplicates("person").set_index("person")
    youngest, oldest = persons["age"].agg(["min", "max"])
    title = f"{folder}: {len(table):,} images of {len(persons):,} persons, {youngest:g} to {oldest:g} years old"
    images = [(name, [int((table["mask"] == mask).sum())]) for mask, name in enumerate(MASKS)]
    numbers = range(folds.max() + 1)
    head = _line("persons", ["all", *(f"fold {number}" for number in numbers)])
    cells = [
        (name, [len(cell), *(int((cell == number).sum()) for number in numbers)])
        for name, cell in _cells(persons, folds)
    ]
    return "\n".join([title, "", _line("images", ["all"]), *_lines(images), "", head, *_lines(cells)])


def summarise_evaluation(folder: Path, table: pd.DataFrame) -> str:
    """How many images there are to answer, and of how many persons where that is known."""
    persons = f" of {table['person'].nunique():,} persons" if "person" in table else ""
    return f"{folder}: {len(table):,} images{persons} to answer"


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


if __name__ == "__main__":
    run(main, Options())
