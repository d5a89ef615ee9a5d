"""The competition folder as a checked table, one row per picture.

    python -m shared.manifest --data data

checks a folder before anything else is done with it, and prints what is in it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from shared.errors import UserError
from shared.faults import REJECTED, Fault, settle
from shared.label_fixes import apply_fixes
from shared.label_values import read_age, read_gender
from shared.labels import PICTURE_KINDS, mask_of
from shared.text_rows import Row, read_rows

TABLES = {"train": "train.csv", "eval": "info.csv"}
SUFFIXES = (".jpg", ".jpeg", ".png")
OTHER_PICTURES = (".bmp", ".gif", ".heic", ".tif", ".tiff", ".webp")
"""Not read, but not passed over in silence either: that could lose a person's picture unnoticed."""


@dataclass(frozen=True)
class _Person:
    row: int
    id: str
    gender: int
    age: float
    path: str


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
    called, one of `PICTURE_KINDS`), mask, gender (indices as in `labels`), age (years, 0-120). `fixes` are files
    of label corrections (see `shared.label_fixes`); they change mask, never kind.

    Raises `UserError` listing the first faults; with `skip_bad` those rows and pictures are left out and written
    to `rejected`. Where two rows claim one id or one path, the first keeps it.
    """
    source, images = folder / "train.csv", _images(folder)
    rows, faults = read_rows(source, ("id", "gender", "age", "path"))
    records = []
    for person in _persons(rows, faults):
        for kind, name in _pictures(images, person, faults):
            picture = f"{person.path}/{name}"
            file = f"{images}{os.sep}{picture}"
            records.append((picture, person.id, file, kind, mask_of(kind), person.gender, person.age))
    settle(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(records))
    table = pd.DataFrame(records, columns=["picture", "person", "path", "kind", "mask", "gender", "age"])
    return apply_fixes(table, fixes)


def load_evaluation(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """The unlabelled pictures of a split folder, in the order of info.csv.

    Columns: picture (the ImageID), path (absolute file), and person where info.csv has that column. Faults are
    dealt with as in `load_training`.
    """
    source, images = folder / "info.csv", _images(folder)
    rows, faults = _named_pictures(source)
    present = _on_disk(images, rows, faults)
    settle(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(present))
    names = [row.text["ImageID"] for row in present]
    table = pd.DataFrame({"picture": names, "path": [f"{images}{os.sep}{name}" for name in names]})
    if "person" in present[0].text:
        table["person"] = [row.text["person"] for row in present]
    return table


def load_pictures(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """The pictures of a split folder of either kind; columns: picture, path. Faults as in `load_training`."""
    if "train" in split_folders(folder):
        return load_training(folder, (), skip_bad, rejected)[["picture", "path"]]
    return load_evaluation(folder, skip_bad, rejected)[["picture", "path"]]


def list_pictures(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> list[str]:
    """The ImageIDs of info.csv in its order, without a look at the pictures. Faults as in `load_training`."""
    source = folder / "info.csv"
    rows, faults = _named_pictures(source)
    settle(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(rows))
    return [row.text["ImageID"] for row in rows]


def _images(folder: Path) -> Path:
    images = folder / "images"
    if not images.is_dir():
        raise UserError(f"{images} is missing: the pictures belong there, beside the table of {folder}")
    return images.resolve()


def _refuse_empty(source: Path, count: int) -> None:
    if not count:
        raise UserError(f"{source}: no row is left to work with")


def _persons(rows: Sequence[Row], faults: list[Fault]) -> list[_Person]:
    """The rows with usable labels; what is wrong with the others is added to `faults`."""
    persons = []
    ids: dict[str, int] = {}
    paths: dict[str, int] = {}
    for row in rows:
        try:
            person = _read_person(row)
            _claim("id", person.id, ids, row.number)
            _claim("path", person.path, paths, row.number)
            persons.append(person)
        except ValueError as error:
            faults.append(Fault(row.number, row.text["id"], str(error)))
    return persons


def _read_person(row: Row) -> _Person:
    """Raises `ValueError` saying what is wrong with the row."""
    path = _below(row.text["path"])
    if not row.text["id"]:
        raise ValueError("the id is blank")
    if not path:
        raise ValueError(f"path {row.text['path']!r} names no folder below images/")
    return _Person(row.number, row.text["id"], read_gender(row.text["gender"]), read_age(row.text["age"]), path)


def _claim(column: str, value: str, taken: dict[str, int], row: int) -> None:
    """Note that `row` has this value; raises `ValueError` where an earlier row has it."""
    if taken.setdefault(value, row) != row:
        raise ValueError(f"{column} {value} is that of row {taken[value]} already")


def _below(path: str) -> str:
    """`path` as a posix path below some folder; "" where it is blank or leads out of it."""
    pure = PurePosixPath(path)
    return "" if not pure.parts or pure.is_absolute() or ".." in pure.parts else str(pure)


def _pictures(images: Path, person: _Person, faults: list[Fault]) -> list[tuple[str, str]]:
    """Kind and file name of a person's usable pictures, in the order of `PICTURE_KINDS`."""

    def blame(reason: str) -> None:
        faults.append(Fault(person.row, person.id, reason))

    try:
        names = _visible_files(images / person.path)
    except (OSError, ValueError) as error:
        blame(f"folder images/{person.path}: {getattr(error, 'strerror', None) or error}")
        return []
    found: dict[str, list[str]] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - ten times as fast, and there are 20,000
        if stem in PICTURE_KINDS and suffix.lower() in SUFFIXES:
            found.setdefault(stem, []).append(name)
        elif suffix.lower() in SUFFIXES + OTHER_PICTURES:
            blame(f"stray picture {person.path}/{name}: {', '.join(PICTURE_KINDS)} are known, as jpg, jpeg or png")
    for kind, twins in found.items():
        if len(twins) > 1:
            blame(f"{' and '.join(sorted(twins))} are both {kind} of {person.path}: keep one")
    if not found:
        blame(f"no picture in images/{person.path}")
    return [(kind, found[kind][0]) for kind in PICTURE_KINDS if len(found.get(kind, [])) == 1]


def _visible_files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()]


def _named_pictures(source: Path) -> tuple[list[Row], list[Fault]]:
    """The rows of an info.csv that name a picture of their own, and what is wrong with the others."""
    rows, faults = read_rows(source, ("ImageID",))
    usable = []
    taken: dict[str, int] = {}
    for row in rows:
        try:
            _check_named(row)
            _claim("ImageID", row.text["ImageID"], taken, row.number)
            usable.append(row)
        except ValueError as error:
            faults.append(Fault(row.number, row.text["ImageID"], str(error)))
    return usable, faults


def _check_named(row: Row) -> None:
    """Raises `ValueError` saying what is wrong with the row."""
    name = row.text["ImageID"]
    if not name or _below(name) != name:
        raise ValueError(f"ImageID {name!r} is no plain path below images/")
    if not row.text.get("person", "some"):
        raise ValueError("the person is blank")


def _on_disk(images: Path, rows: Sequence[Row], faults: list[Fault]) -> list[Row]:
    """The rows whose picture is there. Folders are listed once: a question per picture is slow over a network."""
    listings: dict[Path, frozenset[str]] = {}
    present = []
    for row in rows:
        name = row.text["ImageID"]
        file = images / name
        if file.parent not in listings:
            listings[file.parent] = _names(file.parent)
        if file.name in listings[file.parent]:
            present.append(row)
        else:
            faults.append(Fault(row.number, name, f"images/{name} is not there"))
    return present


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(_visible_files(folder))
    except (OSError, ValueError):
        return frozenset()
