"""info.csv and the files it names: the images to answer.

train.csv and the folders it names: who is seen, and in which images.

What is in a competition folder, as short tables for a terminal.

The competition folder as a checked table, one row per image.

    python -m shared.check --data data

checks a folder before anything else is done with it, and prints what is in it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shared.label_fixes import apply_fixes
from shared.labels import IMAGE_KINDS, mask_of
from shared.messages import UserError
from shared.tables import (
    REJECTED,
    Fault,
    Row,
    below,
    claim,
    read_age,
    read_gender,
    read_rows,
    refuse_or_leave_out,
    visible_files,
)


def named_images(source: Path) -> tuple[list[Row], list[Fault]]:
    """The rows of an info.csv that name an image of their own, and what is wrong with the others."""
    rows, faults = read_rows(source, ("ImageID",))
    usable = []
    taken: dict[str, int] = {}
    for row in rows:
        try:
            _check_named(row)
            claim("ImageID", row.text["ImageID"], taken, row.number)
            usable.append(row)
        except ValueError as error:
            faults.append(Fault(row.number, row.text["ImageID"], str(error)))
    return usable, faults


def _check_named(row: Row) -> None:
    """Raises `ValueError` saying what is wrong with the row."""
    name = row.text["ImageID"]
    if not name or below(name) != name:
        raise ValueError(f"ImageID {name!r} is no plain path below images/")
    if not row.text.get("person", "some"):
        raise ValueError("the person is blank")


def on_disk(images: Path, rows: Sequence[Row], faults: list[Fault]) -> list[Row]:
    """The rows whose image is there. Folders are listed once: a question per image is slow over a network."""
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
            faults.append(Fault(row.number, name, "there is no such file below images/"))
    return present


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(visible_files(folder))
    except (OSError, ValueError):
        return frozenset()


SUFFIXES = (".jpg", ".jpeg", ".png")
OTHER_IMAGES = (".bmp", ".gif", ".heic", ".tif", ".tiff", ".webp")
"""Not read, but not passed over in silence either: that could lose a person's image unnoticed."""


COLUMNS = ("id", "gender", "age", "path")
"""What every train.csv has."""
KNOWN = f"{', '.join(IMAGE_KINDS)} as jpg, jpeg or png"


@dataclass(frozen=True)
class Person:
    """A usable row of train.csv."""

    row: int
    """As a spreadsheet counts."""
    id: str
    gender: int
    """An index into `labels.GENDERS`."""
    age: float
    """Years, 0-120."""
    path: str
    """Folder below images/, in posix form."""
    further: dict[str, str]
    """What train.csv says besides, as text by column."""


def read_persons(rows: Sequence[Row], faults: list[Fault]) -> list[Person]:
    """The rows with usable labels; what is wrong with the others is added to `faults`."""
    persons = []
    ids: dict[str, int] = {}
    paths: dict[str, int] = {}
    for row in rows:
        try:
            person = _read_person(row)
            claim("id", person.id, ids, row.number)
            claim("path", person.path, paths, row.number)
            persons.append(person)
        except ValueError as error:
            faults.append(Fault(row.number, row.text["id"], str(error)))
    return persons


def _read_person(row: Row) -> Person:
    """Raises `ValueError` saying what is wrong with the row."""
    path = below(row.text["path"])
    if not row.text["id"]:
        raise ValueError("the id is blank")
    if not path:
        raise ValueError(f"path {row.text['path']!r} names no folder below images/")
    gender, age = read_gender(row.text["gender"]), read_age(row.text["age"])
    further = {name: text for name, text in row.text.items() if name and name not in COLUMNS}
    return Person(row.number, row.text["id"], gender, age, path, further)


def images_of(images: Path, person: Person, faults: list[Fault]) -> list[tuple[str, str]]:
    """Kind and file name of a person's usable images, in the order of `IMAGE_KINDS`.

    Strange images, two of one kind, and a person without any are added to `faults`.
    """
    try:
        found, strays = _by_kind(visible_files(images / person.path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        faults.append(Fault(person.row, person.id, f"{reason}: images/{person.path}"))
        return []
    reasons = [f"{person.path}/{name}: an image here is one of {KNOWN}" for name in strays]
    reasons += [f"{person.path}: {' and '.join(names)}, keep one" for names in found.values() if len(names) > 1]
    if not found:
        reasons.append(f"images/{person.path} has no image")
    faults += [Fault(person.row, person.id, reason) for reason in reasons]
    return [(kind, found[kind][0]) for kind in IMAGE_KINDS if len(found.get(kind, [])) == 1]


def _by_kind(names: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The images among files, by kind, and those that are of none."""
    found: dict[str, list[str]] = {}
    strays = []
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - ten times as fast, and there are 20,000 of them
        if stem in IMAGE_KINDS and suffix.lower() in SUFFIXES:
            found.setdefault(stem, []).append(name)
        elif suffix.lower() in SUFFIXES + OTHER_IMAGES:
            strays.append(name)
    return found, strays


TABLES = {"train": "train.csv", "eval": "info.csv"}


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
        raise UserError(f"no {split} images in --data {data}: {data}/{split}/{TABLES[split]} is missing")
    return folders[split]


def load_training(
    folder: Path, fixes: Sequence[Path] = (), skip_bad: bool = False, rejected: Path = REJECTED
) -> pd.DataFrame:
    """The labelled images of a split folder, in the order of train.csv and then of `labels.IMAGE_KINDS`.

    Columns: image (its posix path below images/), person (the id), path (absolute file), kind (what the file is
    called, one of `IMAGE_KINDS`), mask, gender (indices as in `labels`), age (years, 0-120), then whatever else
    train.csv says of a person, as text: labels of one's own. `fixes` are files of label corrections (see
    `shared.label_fixes`); they change mask, never kind.

    Raises `UserError` listing the first faults; with `skip_bad` those rows and images are left out and written
    to `rejected`. Where two rows claim one id or one path, the first keeps it.
    """
    source, images = folder / "train.csv", _images(folder)
    rows, faults = read_rows(source, COLUMNS)
    records = [
        _labelled(images, person, kind, name)
        for person in read_persons(rows, faults)
        for kind, name in images_of(images, person, faults)
    ]
    refuse_or_leave_out(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(records))
    return apply_fixes(pd.DataFrame(records), fixes)


def _labelled(images: Path, person: Person, kind: str, name: str) -> dict[str, Any]:
    """A row of the training table; columns of train.csv that are called like one of the table's own give way to it."""
    image = f"{person.path}/{name}"
    names = {"image": image, "person": person.id, "path": f"{images}{os.sep}{image}", "kind": kind}
    own = {**names, "mask": mask_of(kind), "gender": person.gender, "age": person.age}
    return own | {column: text for column, text in person.further.items() if column not in own}


def load_evaluation(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """The unlabelled images of a split folder, in the order of info.csv.

    Columns: image (the ImageID), path (absolute file), and person where info.csv has that column. Faults are
    dealt with as in `load_training`.
    """
    source, images = folder / "info.csv", _images(folder)
    rows, faults = named_images(source)
    present = on_disk(images, rows, faults)
    refuse_or_leave_out(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(present))
    table = _named(present)
    table.insert(1, "path", [f"{images}{os.sep}{name}" for name in table["image"]])
    return table


def load_images(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """The images of a split folder of either kind; columns: image, path. Faults as in `load_training`."""
    if "train" in split_folders(folder):
        return load_training(folder, (), skip_bad, rejected)[["image", "path"]]
    return load_evaluation(folder, skip_bad, rejected)[["image", "path"]]


def list_images(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """The rows of info.csv in its order, without a look at the images. Faults as in `load_training`.

    Columns: image (the ImageID), and person where info.csv has that column.
    """
    source = folder / "info.csv"
    rows, faults = named_images(source)
    refuse_or_leave_out(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(rows))
    return _named(rows)


def _named(rows: Sequence[Row]) -> pd.DataFrame:
    table = pd.DataFrame({"image": [row.text["ImageID"] for row in rows]})
    return table.assign(person=[row.text["person"] for row in rows]) if "person" in rows[0].text else table


def _images(folder: Path) -> Path:
    images = folder / "images"
    if not images.is_dir():
        raise UserError(f"{images} is missing: the images belong there, beside the table of {folder}")
    return images.resolve()


def _refuse_empty(source: Path, count: int) -> None:
    if not count:
        raise UserError(f"{source}: no row is left to work with; what was left out is in rejected.csv")
