"""What is said of a photograph, and of each face in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.labels import class_name

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
