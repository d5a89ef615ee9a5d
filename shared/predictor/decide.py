"""How old at least and at most: intervals that hold the age of four persons in five, learnt on held-out persons.

The 10 % and 90 % quantiles of a distribution over years, moved by what held-out persons ask for: conformalised quantile
regression (Romano, Patterson and Candes, NeurIPS 2019), each end by itself. Persons count, not images: seven
images of a person weigh as much as one. A top-coded label ("60 or older") is taken at its word: its age lies in
every interval that reaches the code, for nothing more is known of it.

From the probabilities of the specialists to predictions, decided as `combine.py` decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.fusion.calibration import temper
from shared.fusion.decision import DecisionRule, FittedRule, parts, probabilities
from shared.fusion.fusion import joint_probabilities, median_age, quantiles, year_columns
from shared.fusion.intervals import person_codes
from shared.fusion.metrics import Floats
from shared.fusion.predictions import HeldOut
from shared.labels import BANDS, GENDERS, MASKS, age_band, decode_class
from shared.predictor.detect import AlignedFace
from shared.predictor.results import Age, Choice, Face

TAILS = (0.1, 0.9)
"""What lies below the lower and below the upper end."""

LABELS = ("true_age", "top_coded")
"""Columns of a held-out file of the age specialist."""


@dataclass(frozen=True)
class Coverage:
    """How often intervals held the age of persons they were not learnt on."""

    share: float
    """Mean over persons of the share of their images whose interval holds their age."""
    low: float
    """The 95 % interval of that share begins here (bootstrap over persons)."""
    high: float
    width: float
    """Years, in the mean."""
    error: float
    """Years that the answered age is off, in the mean over images whose label is not top-coded."""
    persons: int
    top_coded: float
    """Share of persons whose label is top-coded."""
    by_band: dict[str, float]
    """Share for the persons of each age band that has any."""


@dataclass(frozen=True)
class AgeIntervals:
    """How the quantiles of a tempered distribution over years become the ends of an interval."""

    below: float = 0.0
    """Years that the lower end lies below its quantile."""
    above: float = 0.0
    """Years that the upper end lies above its quantile."""
    top_code: int | None = None
    coverage: Coverage | None = None
    """None where nobody was held out whose age is known; the quantiles are then taken as they are."""

    def ends(self, years: Floats) -> tuple[Floats, Floats]:
        """The lower and the upper ends (N,) for distributions over years (N, Y)."""
        low, high = quantiles(years, TAILS)
        last = years.shape[1] - 1
        return (low - self.below).clip(0, last), (high + self.above).clip(0, last)


def learn_intervals(held_out: HeldOut, temperature: float) -> AgeIntervals:
    """The ends as all held-out persons ask for, and how well such ends did on persons they were not learnt on.

    Where the held-out file does not tell ages in years, nothing is learnt.
    """
    age = held_out.predictions["age"]
    if not (set(LABELS) <= set(age.columns) and year_columns(age)):
        return AgeIntervals()
    persons = person_codes(held_out.persons)
    years = temper(probabilities(held_out.predictions)["age"], temperature)
    codes = age.loc[age["top_coded"] > 0, "true_age"]
    top_code = None if codes.empty else int(codes.min())
    return AgeIntervals(*_moves(age, years, persons), top_code, _measure(held_out, persons))


def _moves(labels: pd.DataFrame, years: Floats, persons: NDArray[np.int64]) -> tuple[float, float]:
    """How far the lower and the upper ends have to move outwards."""
    low, high = quantiles(years, TAILS)
    ages = labels["true_age"].to_numpy()
    weights = 1 / np.bincount(persons)[persons]
    people = len(np.unique(persons))
    level = min(1.0, TAILS[1] * (1 + 1 / people))
    return _weighted_quantile(low - ages, weights, level), _weighted_quantile(ages - high, weights, level)


def _weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    order = values.argsort()
    reached = weights[order].cumsum() / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level - 1e-9)), len(values) - 1)])


def _measure(held_out: HeldOut, persons: NDArray[np.int64]) -> Coverage | None:
    """None where there is but one person."""
    if persons.max() == 0:
        return None
    way, age = DecisionRule(calibrated=True), held_out.predictions["age"]
    given = probabilities(held_out.predictions)
    low, high = np.zeros(len(age)), np.zeros(len(age))
    for inside, asked, deciders in parts(held_out, given, [way]):
        temperature = deciders[way].temperatures["age"]
        moves = _moves(age[~inside], temper(given["age"][~inside], temperature), persons[~inside])
        low[inside], high[inside] = AgeIntervals(*moves).ends(temper(asked["age"], temperature))
    ages, censored = age["true_age"].to_numpy(), age["top_coded"].to_numpy() > 0
    covered = (ages <= high) & (censored | (low <= ages))
    table = pd.DataFrame({"covered": covered, "coded": censored, "band": [BANDS[age_band(a)] for a in ages]})
    people = table.groupby(persons).agg({"covered": "mean", "coded": "max", "band": "first"})
    drawn = np.random.default_rng(0).integers(0, len(people), (1000, len(people)))
    ends = np.quantile(people["covered"].to_numpy()[drawn].mean(axis=1), [0.025, 0.975])
    return Coverage(
        share=float(people["covered"].mean()),
        low=float(ends[0]),
        high=float(ends[1]),
        width=float((high - low).mean()),
        error=float(np.abs(age["age"].to_numpy() - ages)[~censored].mean()) if not censored.all() else 0.0,
        persons=len(people),
        top_coded=float(people["coded"].mean()),
        by_band={str(band): float(share) for band, share in people.groupby("band")["covered"].mean().items()},
    )


@dataclass(frozen=True)
class Decisions:
    """What was fitted on held-out persons to turn probabilities into predictions."""

    fitted_rule: FittedRule
    intervals: AgeIntervals

    def decide(self, faces: Sequence[AlignedFace], probabilities: Mapping[str, Floats]) -> list[Face]:
        """Return a prediction for each of N faces from the probabilities (N, K) of each specialist's outputs."""
        years = probabilities["age"] / probabilities["age"].sum(axis=1, keepdims=True)
        given = {**probabilities, "age": years}
        classes, tempered = self.fitted_rule.decide(given), self.fitted_rule.tempered(given)
        joint = joint_probabilities(*tempered.values())
        medians = median_age(years)
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
    )


def _choice(classes: tuple[str, ...], index: int, probabilities: Floats) -> Choice:
    return Choice(classes[index], dict(zip(classes, probabilities.tolist(), strict=True)))
