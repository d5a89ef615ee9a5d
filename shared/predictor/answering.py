"""What the specialists say of faces, decided as `combine.py` decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.answers.fusion import SPECIALISTS, joint_probabilities
from shared.answers.years import answered_age
from shared.arrays import Floats
from shared.decisions.calibration import temper
from shared.decisions.chain import Decider, bands_of
from shared.labels import BANDS, GENDERS, MASKS, decode_class
from shared.predictor.finding import FoundFace
from shared.predictor.intervals import AgeIntervals
from shared.predictor.results import Age, Choice, Face


@dataclass(frozen=True)
class Decisions:
    """What was learnt on held-out persons."""

    decider: Decider
    intervals: AgeIntervals
    years: bool = True
    """Whether age was decided from its distribution over years; from bands where not."""

    def answer(self, faces: Sequence[FoundFace], said: Mapping[str, Floats]) -> list[Face]:
        """Answers for N faces, of each specialist's distribution over its outputs (N, K)."""
        years = said["age"] / said["age"].sum(axis=1, keepdims=True)
        given = {**said, "age": years if self.years else bands_of(years)}
        given = {task: given[task] for task in SPECIALISTS}
        numbers, tempered = self.decider.decide(given), self.decider.tempered(given)
        joint = joint_probabilities(*tempered.values())
        ages = self._ages(years)
        return [
            _face(face, int(numbers[at]), {task: table[at] for task, table in tempered.items()}, joint[at], ages[at])
            for at, face in enumerate(faces)
        ]

    def _ages(self, years: Floats) -> list[Age]:
        """The median as in the prediction files; the interval of the tempered distribution."""
        middles = answered_age(years)
        low, high = self.intervals.ends(temper(years, self.decider.temperatures["age"]) if self.years else years)
        ends = zip(middles, np.minimum(low, middles), np.maximum(high, middles), strict=True)
        top_code = self.intervals.top_code
        return [Age(float(middle), float(start), float(end), top_code) for middle, start, end in ends]


def _face(found: FoundFace, number: int, said: Mapping[str, Floats], joint: Floats, age: Age) -> Face:
    mask, gender, band = decode_class(number)
    eyes_nose_mouth = [(float(x), float(y)) for x, y in found.landmarks]
    x0, y0, x1, y1 = map(float, found.box)
    return Face(
        box=(x0, y0, x1, y1),
        probability=found.probability,
        landmarks=(*eyes_nose_mouth,),  # type: ignore[arg-type] # five of them
        mask=_choice(MASKS, mask, said["mask"]),
        gender=_choice(GENDERS, gender, said["gender"]),
        age=age,
        band=_choice(BANDS, band, said["age"]),
        class_number=number,
        class_probabilities=tuple(joint.tolist()),
    )


def _choice(classes: tuple[str, ...], index: int, probabilities: Floats) -> Choice:
    return Choice(classes[index], dict(zip(classes, probabilities.tolist(), strict=True)))
