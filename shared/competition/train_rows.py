"""train.csv and the folders it names: who is seen, and in which pictures."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.competition.faults import Fault
from shared.competition.label_values import read_age, read_gender
from shared.competition.places import below, claim, visible_files
from shared.competition.text_rows import Row
from shared.labels import PICTURE_KINDS

SUFFIXES = (".jpg", ".jpeg", ".png")
OTHER_PICTURES = (".bmp", ".gif", ".heic", ".tif", ".tiff", ".webp")
"""Not read, but not passed over in silence either: that could lose a person's picture unnoticed."""


COLUMNS = ("id", "gender", "age", "path")
"""What every train.csv has."""
KNOWN = f"{', '.join(PICTURE_KINDS)} as jpg, jpeg or png"


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


def pictures_of(images: Path, person: Person, faults: list[Fault]) -> list[tuple[str, str]]:
    """Kind and file name of a person's usable pictures, in the order of `PICTURE_KINDS`.

    Strange pictures, two of one kind, and a person without any are added to `faults`.
    """
    try:
        found, strays = _by_kind(visible_files(images / person.path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        faults.append(Fault(person.row, person.id, f"{reason}: images/{person.path}"))
        return []
    reasons = [f"{person.path}/{name}: a picture here is one of {KNOWN}" for name in strays]
    reasons += [f"{person.path}: {' and '.join(names)}, keep one" for names in found.values() if len(names) > 1]
    if not found:
        reasons.append(f"images/{person.path} has no picture")
    faults += [Fault(person.row, person.id, reason) for reason in reasons]
    return [(kind, found[kind][0]) for kind in PICTURE_KINDS if len(found.get(kind, [])) == 1]


def _by_kind(names: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The pictures among files, by kind, and those that are of none."""
    found: dict[str, list[str]] = {}
    strays = []
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - ten times as fast, and there are 20,000 of them
        if stem in PICTURE_KINDS and suffix.lower() in SUFFIXES:
            found.setdefault(stem, []).append(name)
        elif suffix.lower() in SUFFIXES + OTHER_PICTURES:
            strays.append(name)
    return found, strays
