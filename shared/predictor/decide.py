"""From the probabilities of the specialists to predictions, decided as `combine.py` decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.fusion.age_intervals import AgeIntervals
from shared.fusion.ages import median_age
from shared.fusion.fusion import joint_probabilities
from shared.fusion.metrics import Floats
from shared.fusion.rules import FittedRule, mean_of_networks, temper
from shared.labels import BANDS, GENDERS, MASKS, decode_class
from shared.predictor.detect import AlignedFace
from shared.predictor.results import Age, Choice, Face


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
