"""Answers as text: a table for people, JSON and CSV for programs. All of them one photograph after another."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

from shared.labels import BANDS, CLASS_COUNT, GENDERS, MASKS
from shared.predictor.results import DIGITS, Choice, Face, Photograph, tenths
from shared.wording import counted

COLUMNS = (
    *("photograph", "face", "x0", "y0", "x1", "y1", "face_probability"),
    *("mask", *(f"mask_{name}" for name in MASKS)),
    *("gender", *(f"gender_{name}" for name in GENDERS)),
    *("age", "age_low", "age_high", "age_open_above"),
    *("band", *(f"band_{name}" for name in BANDS)),
    *("class", *(f"class_{number}" for number in range(CLASS_COUNT)), "problem"),
)
"""Of the CSV: a row for each face; one with nothing but `photograph` and `problem` where there is none."""

_HEAD = ("face", "box x0 y0 x1 y1", "mask", "gender", "age (80 %)", "band", "class")
_WIDTHS = (4, 23, 16, 13, 16, 13, 26)


def as_table(photographs: Iterable[Photograph]) -> Iterator[str]:
    """Lines for a terminal: the photograph, then a line for each face."""
    for photograph in photographs:
        if photograph.problem:
            yield f"{photograph.source}: {photograph.problem}"
            continue
        count = len(photograph.faces)
        found = counted(count, "face") if count else "no face found"
        yield f"{photograph.source}: {photograph.width} x {photograph.height}, {found}"
        if count:
            yield _line(_HEAD)
        for number, face in enumerate(photograph.faces, 1):
            yield _line(_cells(number, face))


def _cells(number: int, face: Face) -> Sequence[str]:
    box = " ".join(str(round(value)) for value in face.box)
    choices = [_chosen(choice) for choice in (face.mask, face.gender)]
    return (str(number), box, *choices, str(face.age), _chosen(face.band), f"{face.class_number} ({face.class_name})")


def _chosen(choice: Choice) -> str:
    return f"{choice.name} {choice.probability:.2f}"


def _line(cells: Sequence[str]) -> str:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    return "  " + "  ".join(padded).rstrip()


def as_json(photographs: Iterable[Photograph]) -> Iterator[str]:
    """Lines of one JSON array, an object for each photograph (`Photograph.to_dict`) on a line of its own."""
    before = "["
    for photograph in photographs:
        yield before + json.dumps(photograph.to_dict(), ensure_ascii=False)
        before = ","
    yield "]" if before == "," else "[]"


def as_csv(photographs: Iterable[Photograph]) -> Iterator[str]:
    """Lines of CSV with the columns `COLUMNS`."""
    yield _joined(COLUMNS)
    for photograph in photographs:
        for number, face in enumerate(photograph.faces, 1):
            yield _joined([photograph.source, number, *_numbers(face), ""])
        if not photograph.faces:
            problem = photograph.problem or "no face found"
            yield _joined([photograph.source, *[""] * (len(COLUMNS) - 2), problem])


def _numbers(face: Face) -> Iterator[object]:
    yield from map(tenths, face.box)
    yield round(face.probability, DIGITS)
    yield from _choice(face.mask)
    yield from _choice(face.gender)
    yield from face.age.to_dict().values()
    yield from _choice(face.band)
    yield face.class_number
    yield from (round(value, DIGITS) for value in face.class_probabilities)


def _choice(choice: Choice) -> Iterator[object]:
    yield choice.name
    yield from (round(value, DIGITS) for value in choice.probabilities.values())


def _joined(cells: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
