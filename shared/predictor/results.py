"""Predictions: decided from probabilities as `combine.py` decides, and the same as a table, JSON or CSV."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shared.files import csv_text
from shared.fusion.age_intervals import AgeIntervals
from shared.fusion.ages import median_age
from shared.fusion.fusion import joint_probabilities
from shared.fusion.metrics import Floats
from shared.fusion.rules import FittedRule, mean_of_networks, temper
from shared.labels import BANDS, CLASS_COUNT, GENDERS, MASKS, class_name, decode_class
from shared.messages import counted
from shared.predictor.detect import AlignedFace

DIGITS = 4
"""Decimals of probabilities in JSON and CSV; pixels and years have one."""

Point = tuple[float, float]
"""x and y in pixels of the upright full-size photograph; (0, 0) is the centre of the first pixel."""


@dataclass(frozen=True)
class Choice:
    """The predicted one of several classes.

    >>> mask = Choice("worn", {"worn": 0.9, "incorrect": 0.06, "none": 0.04})
    >>> mask.name, mask.probability
    ('worn', 0.9)
    """

    name: str
    """The predicted class."""
    probabilities: Mapping[str, float]
    """Calibrated probability of each class; they sum to one."""

    @property
    def probability(self) -> float:
        """Probability of the predicted class."""
        return self.probabilities[self.name]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"name": self.name, "probabilities": {name: _share(value) for name, value in self.probabilities.items()}}


@dataclass(frozen=True)
class Age:
    """A predicted age in years, with an 80 % interval; as text it is in completed years.

    >>> print(Age(34.2, low=27.9, high=41.0), "or", Age(58.4, low=49.0, high=66.0, top_code=60))
    34 (27-41) or 58 (49-60+)
    """

    years: float
    """Median of the predicted distribution over years."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    top_code: int | None = None
    """Age that stood for "this or older" in the training labels; None if all labels were exact."""

    @property
    def open_above(self) -> bool:
        """Whether the interval reaches the top code, above which training knew no ages."""
        return self.top_code is not None and self.high >= self.top_code

    def __str__(self) -> str:
        upper = f"{self.top_code}+" if self.open_above else f"{int(self.high)}"
        return f"{int(self.years)} ({int(self.low)}-{upper})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        years = {"years": _tenths(self.years), "low": _tenths(self.low), "high": _tenths(self.high)}
        return {**years, "open_above": self.open_above}


@dataclass(frozen=True)
class Face:
    """One face with its predictions; `mask`, `gender` and `band` are the parts of `class_number`.

    A decision that was tuned for macro F1 need not choose the most probable class: see docs/training.md.
    """

    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels of the upright full-size photograph; may reach beyond its edge."""
    probability: float
    """Probability of being a face, from the detector."""
    landmarks: tuple[Point, Point, Point, Point, Point]
    """Eyes, nose, corners of the mouth; of each pair the one on the left of the image first."""
    mask: Choice
    gender: Choice
    age: Age
    band: Choice
    """Age band."""
    class_number: int
    """0-17: 6 * mask + 3 * gender + band."""
    class_probabilities: tuple[float, ...]
    """Probability of each of the 18 classes, by number."""
    main: bool = True
    """Whether it is the main face of the photograph, the one that the crop stage would choose."""
    track: int | None = None
    """In a video, the number of the person that is followed, from 1."""

    @property
    def class_name(self) -> str:
        """The predicted class in words: mask, gender, age band, such as "worn, male, <30"."""
        return class_name(self.class_number)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `track` only for a face in a video."""
        return {
            "box": [*map(_tenths, self.box)],
            "probability": _share(self.probability),
            "landmarks": [[*map(_tenths, point)] for point in self.landmarks],
            "mask": self.mask.to_dict(),
            "gender": self.gender.to_dict(),
            "age": self.age.to_dict(),
            "band": self.band.to_dict(),
            "class": self.class_number,
            "class_name": self.class_name,
            "class_probabilities": [*map(_share, self.class_probabilities)],
            "main": self.main,
            **({} if self.track is None else {"track": self.track}),
        }


@dataclass(frozen=True)
class ModelDescription:
    """What people must know of a model wherever they see its predictions.

    >>> print(ModelDescription("demo.zip", "drawings", "0123456789abcdef"))
    demo.zip, trained on drawings
    """

    name: str
    """Name of the bundle, or of the folder with the trained runs."""
    trained_on: str
    """Its training data, and those of the network it started from, as part of a sentence."""
    fingerprint: str
    """16 hex digits that identify weights and decisions."""

    def __str__(self) -> str:
        return f"{self.name}, trained on {self.trained_on}"


@dataclass(frozen=True)
class Photograph:
    """One photograph with its faces."""

    source: str
    """Its path as given; "bytes" or "pixels" for an image without a name."""
    width: int
    """Pixels of the upright photograph; 0 if it could not be read."""
    height: int
    faces: tuple[Face, ...]
    """In reading order: from left to right, row by row."""
    problem: str | None = None
    """Why it could not be read, in a few words."""
    turned: int = 0
    """Degrees clockwise that it was turned to be upright, besides its EXIF orientation: 0, 90, 180 or 270."""
    remarks: tuple[str, ...] = ()
    """What may make its predictions unreliable, a sentence each."""
    drawn: str | None = None
    """Path of its annotated copy."""
    seconds: float | None = None
    """For a frame of a video, the time since its start."""
    model: ModelDescription | None = None
    """The model that predicted."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `drawn` only if there is an annotated copy, `seconds` only for a frame."""
        return {
            "source": self.source,
            "width": self.width,
            "height": self.height,
            "faces": [face.to_dict() for face in self.faces],
            "problem": self.problem,
            "upright": not self.turned,
            "turned": self.turned,
            "remarks": [*self.remarks],
            "model": self.model and asdict(self.model),
            **({} if self.drawn is None else {"drawn": self.drawn}),
            **({} if self.seconds is None else {"seconds": self.seconds}),
        }


def _tenths(value: float) -> float:
    return round(value, 1) + 0.0  # Adding zero turns -0.0 into 0.0.


def _share(value: float) -> float:
    return round(value, DIGITS)


@dataclass(frozen=True)
class Decisions:
    """What was fitted on held-out persons to turn probabilities into predictions."""

    fitted_rule: FittedRule
    intervals: AgeIntervals

    def decide(self, faces: Sequence[AlignedFace], probabilities: Mapping[str, Floats]) -> list[Face]:
        """Return a prediction for each of N faces from the probabilities (F, N, K) of each specialist's F networks."""
        years = probabilities["age"] / probabilities["age"].sum(axis=-1, keepdims=True)
        given = {**probabilities, "age": years}
        classes, tempered = self.fitted_rule.decide(given), self.fitted_rule.tempered(given)
        joint = joint_probabilities(*tempered.values())
        medians = median_age(mean_of_networks(years))
        # The interval holds the median also where temperature or shift would move an end past it.
        low, high = self.intervals.ends(temper(years, self.fitted_rule.temperatures["age"]))
        low, high = np.minimum(low, medians), np.maximum(high, medians)
        return [
            _face(
                face,
                int(classes[at]),
                {task: table[at] for task, table in tempered.items()},
                joint[at],
                Age(float(medians[at]), float(low[at]), float(high[at]), self.intervals.top_code),
            )
            for at, face in enumerate(faces)
        ]


def _face(face: AlignedFace, class_number: int, probabilities: Mapping[str, Floats], joint: Floats, age: Age) -> Face:
    mask, gender, band = decode_class(class_number)
    x0, y0, x1, y1 = map(float, face.box)
    return Face(
        box=(x0, y0, x1, y1),
        probability=face.probability,
        landmarks=(*((float(x), float(y)) for x, y in face.landmarks),),  # type: ignore[arg-type] # five of them
        mask=_choice(MASKS, mask, probabilities["mask"]),
        gender=_choice(GENDERS, gender, probabilities["gender"]),
        age=age,
        band=_choice(BANDS, band, probabilities["age"]),
        class_number=class_number,
        class_probabilities=tuple(joint.tolist()),
        main=face.main,
    )


def _choice(classes: tuple[str, ...], index: int, probabilities: Floats) -> Choice:
    return Choice(classes[index], dict(zip(classes, probabilities.tolist(), strict=True)))


_HEAD = ("face", "box x0 y0 x1 y1", "mask", "gender", "age (80 %)", "band", "class")
_WIDTHS = (8, 23, 16, 13, 16, 13, 26)


def as_table(photographs: Iterable[Photograph]) -> Iterator[str]:
    """Yield lines for a terminal: one for the model, then one for each photograph and one for each of its faces."""
    model = None
    for photograph in photographs:
        if photograph.model and photograph.model != model:
            model = photograph.model
            yield f"model: {model}"
        if photograph.problem:
            yield f"{photograph.source}: {photograph.problem}"
            continue
        count = len(photograph.faces)
        found = counted(count, "face") if count else NO_FACE
        moment = "" if photograph.seconds is None else f" at {photograph.seconds:.2f} s"
        yield f"{photograph.source}{moment}: {photograph.width} x {photograph.height}, {found}"
        yield from (f"  note: {remark}" for remark in photograph.remarks)
        if count:
            yield _aligned(_HEAD)
        for number, face in enumerate(photograph.faces, 1):
            label = f"{number} (main)" if face.main and count > 1 else str(number)
            label = label if face.track is None else f"track {face.track}"
            box = " ".join(str(round(value)) for value in face.box)
            mask, gender, band = (f"{part.name} {part.probability:.2f}" for part in (face.mask, face.gender, face.band))
            name = f"{face.class_number} ({face.class_name})"
            yield _aligned((label, box, mask, gender, str(face.age), band, name))


def _aligned(cells: Sequence[str]) -> str:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    return "  " + "  ".join(padded).rstrip()


def as_json_lines(photographs: Iterable[Photograph], ascii_only: bool = False) -> Iterator[str]:
    """Yield the `Photograph.to_dict` of each photograph as a line of JSON.

    `ascii_only` escapes all other characters of names, for an output that cannot express them.
    """
    for photograph in photographs:
        yield json.dumps(photograph.to_dict(), ensure_ascii=ascii_only)


def as_json(photographs: Iterable[Photograph], ascii_only: bool = False) -> Iterator[str]:
    """Yield lines of one JSON array, with each line of `as_json_lines` on its own line."""
    before = "["
    for line in as_json_lines(photographs, ascii_only):
        yield before + line
        before = ","
    yield "]" if before == "," else "[]"


COLUMNS = (
    *("source", "face", "main", "x0", "y0", "x1", "y1", "face_probability"),
    *("mask", *(f"mask_{name}" for name in MASKS)),
    *("gender", *(f"gender_{name}" for name in GENDERS)),
    *("age", "age_low", "age_high", "age_open_above"),
    *("band", *(f"band_{name}" for name in BANDS)),
    *("class", *(f"class_{number}" for number in range(CLASS_COUNT))),
    *("problem", "turned", "remarks", "drawn", "model", "trained_on", "seconds", "track"),
)
"""Columns of the CSV: one row for each face; a photograph without faces has one row with its `problem`. `seconds` and
`track` are empty for photographs that are no frames of a video."""

NO_FACE = "no face found"


def as_csv(photographs: Iterable[Photograph]) -> Iterator[str]:
    """Yield lines of CSV with the columns `COLUMNS`."""
    yield _csv_line(COLUMNS)
    yield from map(_csv_line, as_rows(photographs))


def as_rows(photographs: Iterable[Photograph]) -> Iterator[list[Any]]:
    """Yield the values of the columns `COLUMNS` for each face; None where there is none."""
    for photograph in photographs:
        model = [photograph.model.name, photograph.model.trained_on] if photograph.model else [None, None]
        about = [photograph.turned, "; ".join(photograph.remarks), photograph.drawn, *model, photograph.seconds]
        for number, face in enumerate(photograph.faces, 1):
            yield [photograph.source, number, *_cells(face.to_dict()), None, *about, face.track]
        if not photograph.faces:
            no_face = [None] * (len(COLUMNS) - 3 - len(about))
            yield [photograph.source, *no_face, photograph.problem or NO_FACE, *about, None]


def _cells(face: Mapping[str, Any]) -> Iterator[object]:
    """The values of `Face.to_dict` in the order of `COLUMNS`."""
    yield from (face["main"], *face["box"], face["probability"])
    yield from (face["mask"]["name"], *face["mask"]["probabilities"].values())
    yield from (face["gender"]["name"], *face["gender"]["probabilities"].values())
    yield from face["age"].values()
    yield from (face["band"]["name"], *face["band"]["probabilities"].values())
    yield from (face["class"], *face["class_probabilities"])


def _csv_line(cells: Sequence[object]) -> str:
    return csv_text([cells]).removesuffix("\n")
