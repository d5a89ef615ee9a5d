"""What is said of a photograph, and of each face in it.

Answers as text: a table for people, JSON and CSV for programs. All of them one photograph after another.

Photographs with their faces boxed and answered for.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.labels import BANDS, CLASS_COUNT, GENDERS, MASKS, class_name
from shared.messages import counted

DIGITS = 4
"""Decimals of probabilities in JSON; lengths in pixels and ages have one."""

Point = tuple[float, float]
"""x and y in pixels of the upright full-size photograph; (0, 0) is the centre of its first pixel."""


def tenths(value: float) -> float:
    """Rounded; never -0.0, which a box that begins a hair beyond the edge would show."""
    return round(value, 1) + 0.0


@dataclass(frozen=True)
class Choice:
    """One of some classes, and the probability of each."""

    name: str
    probabilities: Mapping[str, float]
    """Of all classes, calibrated; they sum to one."""

    @property
    def probability(self) -> float:
        """Of the class that is answered."""
        return self.probabilities[self.name]

    def to_dict(self) -> dict[str, Any]:
        probabilities = {name: round(value, DIGITS) for name, value in self.probabilities.items()}
        return {"name": self.name, "probabilities": probabilities}


@dataclass(frozen=True)
class Age:
    """In years."""

    years: float
    """The median of the distribution over years."""
    low: float
    """The 80 % interval begins here."""
    high: float
    """And ends here."""
    top_code: int | None = None
    """Labels of this age stood for "this or older": what is said of years beyond it was never learnt."""

    @property
    def open_above(self) -> bool:
        """Whether the interval reaches ages that training did not tell apart."""
        return self.top_code is not None and self.high >= self.top_code

    def __str__(self) -> str:
        return f"{self.years:.0f} ({self.low:.0f}-{f'{self.top_code}+' if self.open_above else f'{self.high:.0f}'})"

    def to_dict(self) -> dict[str, Any]:
        years = {"years": tenths(self.years), "low": tenths(self.low), "high": tenths(self.high)}
        return {**years, "open_above": self.open_above}


@dataclass(frozen=True)
class Face:
    """One face. `mask`, `gender` and `band` are what `class_number` stands for.

    Where a bundle decides for macro F1, that need not be the most probable of each: see docs/decisions.md.
    """

    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels of the upright full-size photograph; may reach beyond its edge."""
    probability: float
    """That this is a face, as the detector says."""
    landmarks: tuple[Point, Point, Point, Point, Point]
    """Eyes, nose, corners of the mouth; of each pair the left one first, as seen."""
    mask: Choice
    gender: Choice
    age: Age
    band: Choice
    class_number: int
    """0-17, 6 * mask + 3 * gender + band."""
    class_probabilities: tuple[float, ...]
    """Of the 18 classes, by number."""

    @property
    def class_name(self) -> str:
        """For people: "worn, male, <30"."""
        return class_name(self.class_number)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON knows them."""
        return {
            "box": [*map(tenths, self.box)],
            "probability": round(self.probability, DIGITS),
            "landmarks": [[*map(tenths, point)] for point in self.landmarks],
            "mask": self.mask.to_dict(),
            "gender": self.gender.to_dict(),
            "age": self.age.to_dict(),
            "band": self.band.to_dict(),
            "class": self.class_number,
            "class_name": self.class_name,
            "class_probabilities": [round(value, DIGITS) for value in self.class_probabilities],
        }


@dataclass(frozen=True)
class Photograph:
    """What is said of one photograph."""

    source: str
    """The path as it was given; "bytes" or "pixels" for what came without a name."""
    width: int
    """Of the upright photograph, in pixels; 0 where it could not be read."""
    height: int
    faces: tuple[Face, ...]
    """The main one first, as the crop stage would choose it, then from left to right."""
    problem: str | None = None
    """Why it could not be read, in a few words; None where it could."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON knows them."""
        return {
            "source": self.source,
            "width": self.width,
            "height": self.height,
            "faces": [face.to_dict() for face in self.faces],
            "problem": self.problem,
        }


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


Pixels = NDArray[np.uint8]

COLOURS = {"worn": (34, 139, 34), "incorrect": (230, 130, 0), "none": (200, 30, 30)}
"""RGB of the box by mask state."""

INK = (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(pixels: Pixels, photograph: Photograph) -> Pixels:
    """A copy of the photograph, uint8 RGB at any size, with a box and a caption for each face."""
    drawn = np.ascontiguousarray(pixels).copy()
    share = max(drawn.shape[:2]) / max(photograph.width, photograph.height)
    for number, face in enumerate(photograph.faces, 1):
        _draw_face(drawn, face, number, share)
    return drawn


def caption(face: Face, number: int) -> tuple[str, ...]:
    """The lines below a face."""
    return (
        f"{number}: mask {face.mask.name}",
        f"{face.gender.name}, {face.band.name}",
        f"age {face.age}",
    )


def _draw_face(pixels: Pixels, face: Face, number: int, share: float) -> None:
    x0, y0, x1, y1 = (round((value + 0.5) * share - 0.5) for value in face.box)
    colour = COLOURS[face.mask.name]
    thick = max(1, round(max(pixels.shape[:2]) / 500))
    cv2.rectangle(pixels, (x0, y0), (x1, y1), colour, thick)
    lines = caption(face, number)
    # As wide as the face, but readable and no larger than a headline.
    scale = float(np.clip((x1 - x0) / 190, 0.3, 1.2))
    sizes = [cv2.getTextSize(line, FONT, scale, 1) for line in lines]
    height = max(size[1] + base for size, base in sizes) + 2
    width = max(size[0] for size, _ in sizes) + 4
    # Below the box, or inside it where the photograph ends.
    top = min(y1, pixels.shape[0] - height * len(lines))
    left = int(np.clip(x0, 0, max(0, pixels.shape[1] - width)))
    cv2.rectangle(pixels, (left, top), (left + width, top + height * len(lines)), colour, cv2.FILLED)
    for row, line in enumerate(lines, 1):
        cv2.putText(pixels, line, (left + 2, top + row * height - height // 4), FONT, scale, INK, 1, cv2.LINE_AA)
