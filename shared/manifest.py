"""The competition folder as a checked table, one row per picture.

    python -m shared.manifest --data data

checks a folder before anything else is done with it, and prints what is in it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shared.commands import run
from shared.competition.info_rows import named_pictures, on_disk
from shared.competition.label_fixes import apply_fixes
from shared.competition.rejected import REJECTED, refuse_or_leave_out
from shared.competition.summary import summarise_evaluation, summarise_training
from shared.competition.text_rows import Row, read_rows
from shared.competition.train_rows import COLUMNS, Person, pictures_of, read_persons
from shared.errors import UserError
from shared.folds import assign_folds
from shared.labels import mask_of

TABLES = {"train": "train.csv", "eval": "info.csv"}


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
    """Leave faulty rows and pictures out, and list them in rejected.csv."""

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UserError(f"--folds must be at least 2, not {self.folds}")


def split_folders(data: Path) -> dict[str, Path]:
    """The split folders of `data` by name ("train", "eval"); `data` may itself be one of them.

    Raises `UserError` where there is neither, saying how to come by data.
    """
    own = {split: data for split, table in TABLES.items() if (data / table).is_file()}
    if len(own) > 1:
        raise UserError(f"{data} holds both train.csv and info.csv: keep each in a folder of its own")
    found = own or {split: data / split for split, table in TABLES.items() if (data / split / table).is_file()}
    if not found:
        raise UserError(
            f"no portraits in {data}: neither {data}/train/train.csv nor {data}/eval/info.csv is there.\n"
            "  --data FOLDER                  your own: train/train.csv + train/images, eval/info.csv + eval/images\n"
            "  python shared/sample_data.py   draws sample portraits to try things out\n"
            "  make demo                      draws them and runs everything on them"
        )
    return found


def split_folder(data: Path, split: str) -> Path:
    """The folder of one split ("train" or "eval"); raises `UserError` where `data` has none."""
    folders = split_folders(data)
    if split not in folders:
        raise UserError(f"no {split} pictures in --data {data}: {data}/{split}/{TABLES[split]} is missing")
    return folders[split]


def load_training(
    folder: Path, fixes: Sequence[Path] = (), skip_bad: bool = False, rejected: Path = REJECTED
) -> pd.DataFrame:
    """The labelled pictures of a split folder, in the order of train.csv and then of `labels.PICTURE_KINDS`.

    Columns: picture (its posix path below images/), person (the id), path (absolute file), kind (what the file is
    called, one of `PICTURE_KINDS`), mask, gender (indices as in `labels`), age (years, 0-120), then whatever else
    train.csv says of a person, as text: labels of one's own. `fixes` are files of label corrections (see
    `shared.competition.label_fixes`); they change mask, never kind.

    Raises `UserError` listing the first faults; with `skip_bad` those rows and pictures are left out and written
    to `rejected`. Where two rows claim one id or one path, the first keeps it.
    """
    source, images = folder / "train.csv", _images(folder)
    rows, faults = read_rows(source, COLUMNS)
    records = [
        _labelled(images, person, kind, name)
        for person in read_persons(rows, faults)
        for kind, name in pictures_of(images, person, faults)
    ]
    refuse_or_leave_out(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(records))
    return apply_fixes(pd.DataFrame(records), fixes)


def _labelled(images: Path, person: Person, kind: str, name: str) -> dict[str, Any]:
    """A row of the training table; columns of train.csv that are called like one of the table's own give way to it."""
    picture = f"{person.path}/{name}"
    names = {"picture": picture, "person": person.id, "path": f"{images}{os.sep}{picture}", "kind": kind}
    own = {**names, "mask": mask_of(kind), "gender": person.gender, "age": person.age}
    return own | {column: text for column, text in person.further.items() if column not in own}


def load_evaluation(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """The unlabelled pictures of a split folder, in the order of info.csv.

    Columns: picture (the ImageID), path (absolute file), and person where info.csv has that column. Faults are
    dealt with as in `load_training`.
    """
    source, images = folder / "info.csv", _images(folder)
    rows, faults = named_pictures(source)
    present = on_disk(images, rows, faults)
    refuse_or_leave_out(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(present))
    table = _named(present)
    table.insert(1, "path", [f"{images}{os.sep}{name}" for name in table["picture"]])
    return table


def load_pictures(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """The pictures of a split folder of either kind; columns: picture, path. Faults as in `load_training`."""
    if "train" in split_folders(folder):
        return load_training(folder, (), skip_bad, rejected)[["picture", "path"]]
    return load_evaluation(folder, skip_bad, rejected)[["picture", "path"]]


def list_pictures(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """The rows of info.csv in its order, without a look at the pictures. Faults as in `load_training`.

    Columns: picture (the ImageID), and person where info.csv has that column.
    """
    source = folder / "info.csv"
    rows, faults = named_pictures(source)
    refuse_or_leave_out(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(rows))
    return _named(rows)


def _named(rows: Sequence[Row]) -> pd.DataFrame:
    table = pd.DataFrame({"picture": [row.text["ImageID"] for row in rows]})
    return table.assign(person=[row.text["person"] for row in rows]) if "person" in rows[0].text else table


def _images(folder: Path) -> Path:
    images = folder / "images"
    if not images.is_dir():
        raise UserError(f"{images} is missing: the pictures belong there, beside the table of {folder}")
    return images.resolve()


def _refuse_empty(source: Path, count: int) -> None:
    if not count:
        raise UserError(f"{source}: no row is left to work with; what was left out is in rejected.csv")


def main(options: Options) -> None:
    """Check every split there is, and print a summary of each."""
    for split, folder in split_folders(options.data).items():
        if split == "train":
            training = load_training(folder, options.fixes, options.skip_bad)
            print(summarise_training(folder, training, assign_folds(training, options.folds)), end="\n\n")
        else:
            print(summarise_evaluation(folder, load_evaluation(folder, options.skip_bad)))


if __name__ == "__main__":
    run(main, Options())
