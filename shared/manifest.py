"""The competition folder as a checked table, one row per image.

    data/train/train.csv    id, gender, age (34, 20-29, 60+ or unknown), path (a folder below images/), and others
    data/train/images/      a folder for each person: mask1 ... mask5, incorrect_mask, normal as .jpg, .png, ...
    data/eval/info.csv      ImageID (a file below images/), and person if it is known
    data/eval/images/

`python -m shared.check --data data` checks a folder and prints what is in it.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shared.files import IMAGE_SUFFIXES
from shared.label_fixes import apply_fixes
from shared.labels import IMAGE_KINDS, UNKNOWN, age_band, mask_of
from shared.messages import UserError
from shared.tables import (
    MAX_AGE,
    REJECTED,
    UNKNOWN_LABEL,
    Fault,
    Row,
    below,
    claim,
    read_age_range,
    read_gender,
    read_rows,
    refuse_or_leave_out,
    visible_files,
)

TABLES = {"train": "train.csv", "eval": "info.csv"}
"""The table of each split."""

SOURCE = "SOURCE.json"
"""File beside a train.csv that says what its photographs are: source, licence, credit, where they are had."""

PERSON_COLUMNS = ("id", "gender", "age", "path")
"""Columns of every train.csv; those of `AGE_RANGE` may take the place of `age`."""

AGE_RANGE = ("age_low", "age_high")
"""First and last age in years, where a label is an interval."""

OTHER_FORMATS = (".cr2", ".dng", ".jp2", ".jxl", ".nef", ".psd")
"""Suffixes of images that cannot be read. They are faults: skipped silently, a person's image could be lost."""

EXPECTED = f"{', '.join(IMAGE_KINDS)} with the suffix {', '.join(IMAGE_SUFFIXES)}"


def split_folders(data: Path) -> dict[str, Path]:
    """The split folders of `data` by name ("train", "eval"); `data` may itself be one of them.

    Raises `UserError` if there is neither, with the ways to get data.
    """
    own = {split: data for split, table in TABLES.items() if (data / table).is_file()}
    if len(own) > 1:
        raise UserError(f"{data} holds both train.csv and info.csv: keep each in a folder of its own")
    found = own or {split: data / split for split, table in TABLES.items() if (data / split / table).is_file()}
    if not found:
        raise UserError(
            f"no portraits in {data}: neither {data}/train/train.csv nor {data}/eval/info.csv is there.\n"
            "  --data FOLDER   names your own: train/train.csv + train/images, eval/info.csv + eval/images\n"
            f"  face18 sample   draws sample portraits to try things out (face18 sample --out {data})"
        )
    return found


def split_folder(data: Path, split: str) -> Path:
    """The folder of one split ("train" or "eval"); raises `UserError` if `data` has none."""
    folders = split_folders(data)
    if split not in folders:
        raise UserError(f"no {split} images in --data {data}: {data}/{split}/{TABLES[split]} is missing")
    return folders[split]


def read_source(data: Path) -> dict[str, str]:
    """Return what the training data of a folder are: source, licence and credit, from its SOURCE.json.

    Without such a file the source is the folder's name, and licence and credit are "unknown".
    """
    folder = split_folder(data, "train").resolve()
    name = folder.parent.name if folder.name in TABLES else folder.name
    unknown = {"source": f"folder {name}", "licence": "unknown", "credit": "unknown"}
    with suppress(OSError, ValueError, TypeError):
        return unknown | {str(k): str(v) for k, v in dict(json.loads((folder / SOURCE).read_text("utf-8"))).items()}
    return unknown


def load_training(
    folder: Path, fixes: Sequence[Path] = (), skip_bad: bool = False, rejected: Path = REJECTED
) -> pd.DataFrame:
    """Load the labelled images of a split folder, in the order of train.csv and then of `labels.IMAGE_KINDS`.

    Columns: image (its posix path below images/), person (the id), path (absolute file), kind (the file's stem, one of
    `IMAGE_KINDS`), mask, gender (indices as in `labels`, -1 for unknown), age (years, 0-120, NaN if the band is
    unknown), age_low and age_high (the interval of an age label, both the age if it is known), then all other columns
    of train.csv as text: labels of one's own. `fixes` are files of label corrections (see `shared.label_fixes`); they
    change mask, never kind.

    Raises `UserError` listing the first faults; with `skip_bad` those rows and images are left out and written to
    `rejected`. If two rows claim one id or one path, the first keeps it.
    """
    source, images = folder / TABLES["train"], _images(folder)
    rows, faults = read_rows(source, _columns(source))
    records = [
        _labelled(images, person, kind, name)
        for person in _read_persons(rows, faults)
        for kind, name in _images_of(images, person, faults)
    ]
    refuse_or_leave_out(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(records))
    return apply_fixes(pd.DataFrame(records), fixes)


def load_evaluation(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """Load the unlabelled images of a split folder, in the order of info.csv.

    Columns: image (the ImageID), path (absolute file), and person if info.csv has that column. Faults are treated as
    in `load_training`.
    """
    source, images = folder / TABLES["eval"], _images(folder)
    rows, faults = _named_images(source)
    present = _on_disk(images, rows, faults)
    refuse_or_leave_out(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(present))
    table = _named(present)
    table.insert(1, "path", [f"{images}{os.sep}{name}" for name in table["image"]])
    return table


def load_images(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """Load the images of a split folder of either kind; columns: image, path. Faults as in `load_training`."""
    if "train" in split_folders(folder):
        return load_training(folder, (), skip_bad, rejected)[["image", "path"]]
    return load_evaluation(folder, skip_bad, rejected)[["image", "path"]]


def list_images(folder: Path, skip_bad: bool = False, rejected: Path = REJECTED) -> pd.DataFrame:
    """List the rows of info.csv in its order without access to the images. Faults as in `load_training`.

    Columns: image (the ImageID), and person if info.csv has that column.
    """
    source = folder / TABLES["eval"]
    rows, faults = _named_images(source)
    refuse_or_leave_out(source, faults, skip_bad, rejected)
    _refuse_empty(source, len(rows))
    return _named(rows)


def _images(folder: Path) -> Path:
    images = folder / "images"
    if not images.is_dir():
        raise UserError(f"{images} is missing: the images belong there, beside the table of {folder}")
    return images.resolve()


def _refuse_empty(source: Path, count: int) -> None:
    if not count:
        raise UserError(f"{source}: no usable row is left; rejected.csv lists what was left out")


# train.csv


@dataclass(frozen=True)
class _Person:
    """A usable row of train.csv."""

    row: int
    """Number in a spreadsheet."""
    id: str
    gender: int
    """An index into `labels.GENDERS`."""
    ages: tuple[float, float]
    """First and last age that the label allows, in years, 0-120; equal where the age is known."""
    path: str
    """Folder below images/, in posix form."""
    further: dict[str, str]
    """All other columns, as text."""


def _columns(source: Path) -> tuple[str, ...]:
    """The columns that a train.csv must have: with `AGE_RANGE` in place of `age` if its header names them."""
    header = ""
    with suppress(OSError), source.open("rb") as file:
        header = file.readline().decode(errors="replace").casefold()
    own_range = AGE_RANGE[0] in header
    return (*(name for name in PERSON_COLUMNS if name != "age"), *AGE_RANGE) if own_range else PERSON_COLUMNS


def _read_persons(rows: Sequence[Row], faults: list[Fault]) -> list[_Person]:
    """The rows with usable labels; the others are added to `faults`."""
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


def _read_person(row: Row) -> _Person:
    """Raises `ValueError` with the reason if the row cannot be used."""
    path = below(row.text["path"])
    if not row.text["id"]:
        raise ValueError("the id is blank")
    if not path:
        raise ValueError(f"path {row.text['path']!r} names no folder below images/")
    unknown = row.text["gender"].lower() == UNKNOWN_LABEL
    gender = UNKNOWN if unknown else read_gender(row.text["gender"])
    known = (*PERSON_COLUMNS, *AGE_RANGE)
    further = {name: text for name, text in row.text.items() if name and name not in known}
    return _Person(row.number, row.text["id"], gender, _read_ages(row), path, further)


def _read_ages(row: Row) -> tuple[float, float]:
    if AGE_RANGE[0] in row.text:
        return read_age_range("-".join(row.text[name] for name in AGE_RANGE))
    return read_age_range(row.text["age"])


def age_of(low: float, high: float) -> float:
    """The age in years that stands for an interval: its middle, or its start if it is open above.

    NaN if the interval is in more than one age band: it can be learned from, and is not scored.
    """
    if age_band(low) != age_band(high):
        return float("nan")
    return low if high == MAX_AGE else (low + high) / 2


def _images_of(images: Path, person: _Person, faults: list[Fault]) -> list[tuple[str, str]]:
    """Kind and file name of a person's usable images, in the order of `IMAGE_KINDS`.

    Unexpected images, two of one kind, and a person without any are added to `faults`.
    """
    try:
        found, strays = _by_kind(visible_files(images / person.path))
    except (OSError, ValueError) as error:
        reason = f"{getattr(error, 'strerror', None) or error}: images/{person.path}"
        faults.append(Fault(person.row, person.id, reason))
        return []
    reasons = [f"{person.path}/{name}: an image here is one of {EXPECTED}" for name in strays]
    reasons += [f"{person.path}: {' and '.join(names)}, keep one" for names in found.values() if len(names) > 1]
    if not found:
        reasons.append(f"images/{person.path} has no image")
    faults += [Fault(person.row, person.id, reason) for reason in reasons]
    return [(kind, found[kind][0]) for kind in IMAGE_KINDS if len(found.get(kind, [])) == 1]


def _by_kind(names: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The expected images by kind, and the other images."""
    found: dict[str, list[str]] = {}
    strays = []
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - ten times as fast, and there are 20,000 of them
        if stem in IMAGE_KINDS and suffix.lower() in IMAGE_SUFFIXES:
            found.setdefault(stem, []).append(name)
        elif suffix.lower() in (*IMAGE_SUFFIXES, *OTHER_FORMATS):
            strays.append(name)
    return found, strays


def _labelled(images: Path, person: _Person, kind: str, name: str) -> dict[str, Any]:
    """A row of the training table; columns of train.csv with the name of one of the table's own give way to it."""
    image = f"{person.path}/{name}"
    names = {"image": image, "person": person.id, "path": f"{images}{os.sep}{image}", "kind": kind}
    own = {**names, "mask": mask_of(kind), "gender": person.gender, "age": age_of(*person.ages)}
    own |= dict(zip(AGE_RANGE, person.ages, strict=True))
    return own | {column: text for column, text in person.further.items() if column not in own}


# info.csv


def _named_images(source: Path) -> tuple[list[Row], list[Fault]]:
    """The rows of an info.csv that name an image, each another one, and the faults of the others."""
    rows, faults = read_rows(source, ("ImageID",), optional=("person",))
    usable = []
    taken: dict[str, int] = {}
    for row in rows:
        name = row.text["ImageID"]
        try:
            if not name or below(name) != name:
                raise ValueError(f"ImageID {name!r} is no plain path below images/")
            if not row.text.get("person", "known"):
                raise ValueError("the person is blank")
            claim("ImageID", name, taken, row.number)
            usable.append(row)
        except ValueError as error:
            faults.append(Fault(row.number, name, str(error)))
    return usable, faults


def _on_disk(images: Path, rows: Sequence[Row], faults: list[Fault]) -> list[Row]:
    """The rows with an existing image. Folders are listed once: single look-ups are slow over a network."""
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


def _named(rows: Sequence[Row]) -> pd.DataFrame:
    table = pd.DataFrame({"image": [row.text["ImageID"] for row in rows]})
    return table.assign(person=[row.text["person"] for row in rows]) if "person" in rows[0].text else table
