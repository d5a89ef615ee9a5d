"""Intervals that hold the age of four persons in five, learned on held-out persons.

They start from the 10 % and 90 % quantiles of the distribution over years; each end is then moved until it is right on
held-out persons: conformalised quantile regression (Romano, Patterson and Candes, NeurIPS 2019). All persons count the
same, however many images they have.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from shared.fusion.ages import age_error, middle_of_year, quantiles, year_columns
from shared.fusion.decision import parts
from shared.fusion.metrics import Floats, Ints, mean_interval, person_codes
from shared.fusion.predictions import HeldOut
from shared.fusion.rules import DecisionRule, probabilities, temper
from shared.labels import BANDS, age_band

TAILS = (0.1, 0.9)
"""The shares that lie below the lower and below the upper end."""

LABELS = ("true_age", "top_coded")
"""Columns of the oof.csv of the age specialist: age in years, and 1 if that means "this or older"."""


@dataclass(frozen=True)
class Coverage:
    """How often intervals held the age of persons they were not fitted on."""

    share: float
    """Mean over persons of the share of their images with the age in the interval."""
    low: float
    """Lower end of the 95 % interval of that share, by bootstrap over persons."""
    high: float
    width: float
    """Mean width in years."""
    error: float
    """Mean absolute error of the predicted age, in years, over images with a label that is not top-coded."""
    persons: int
    top_coded: float
    """Share of persons with a top-coded label."""
    by_band: dict[str, float]
    """Share for the persons of each age band."""


@dataclass(frozen=True)
class AgeIntervals:
    """What turns the quantiles of a calibrated distribution over years into the ends of an interval."""

    below: float = 0.0
    """Years from the lower quantile down to the lower end."""
    above: float = 0.0
    """Years from the upper quantile up to the upper end."""
    top_code: int | None = None
    """The label that means "this or older", if there is one."""
    coverage: Coverage | None = None
    """None if no held-out age is known; the quantiles are then the ends."""

    def ends(self, years: Floats) -> tuple[Floats, Floats]:
        """Return the lower and the upper ends (N,) for distributions over years (N, Y) or, of F networks, (F, N, Y).

        The ends of several networks are averaged: what moves them is learned on single networks. The pinball loss of
        their mean is no larger than that of each end on average.

        >>> low, high = AgeIntervals(below=5, above=80).ends(np.eye(101)[[30]])
        >>> low.round(1).tolist(), high.tolist()
        ([25.1], [101.0])
        """
        networks, last = years.reshape(-1, *years.shape[-2:]), years.shape[-1]
        low, high = np.mean([quantiles(each, TAILS) for each in networks], axis=0)
        return (low - self.below).clip(0, last), (high + self.above).clip(0, last)


def learn_intervals(held_out: HeldOut, temperature: float | None) -> AgeIntervals:
    """Learn the ends on all held-out persons, and measure such ends by cross-fitting.

    `temperature` is that of the age specialist, None if its probabilities are not calibrated. Without true ages in the
    held-out files nothing is learned.
    """
    age = held_out.predictions["age"]
    if not (set(LABELS) <= set(age.columns) and year_columns(age)):
        return AgeIntervals()
    exact = age["true_age"].notna().to_numpy()
    if not exact.all():
        # Labels that are intervals say too little of where the age lies in it.
        if not exact.any():
            return AgeIntervals()
        held_out = held_out.part(exact)
        age = held_out.predictions["age"]
    persons = person_codes(held_out.persons)
    years = temper(probabilities(held_out.predictions)["age"], temperature or 1.0)
    codes = age.loc[age["top_coded"] > 0, "true_age"]
    top_code = None if codes.empty else int(codes.min())
    return AgeIntervals(*_moves(age, years, persons), top_code, _cross_fit(held_out, persons, temperature is not None))


def _moves(labels: pd.DataFrame, years: Floats, persons: Ints) -> tuple[float, float]:
    """Return the years by which the lower and the upper ends must move outwards.

    Of a top-coded age only a lower bound is known. It counts as above the lower end, wherever that is, and as below the
    upper end if that reaches the code.
    """
    low, high = quantiles(years, TAILS)
    censored = labels["top_coded"].to_numpy() > 0
    ages = np.where(censored, labels["true_age"], middle_of_year(labels["true_age"]))
    below = np.where(censored, -np.inf, low - ages)
    # Each person weighs one, spread over the images.
    weights = 1 / np.bincount(persons)[persons]
    people = len(np.unique(persons))
    # The finite-sample correction of conformal prediction.
    level = min(1.0, TAILS[1] * (1 + 1 / people))
    move = _weighted_quantile(below, weights, level)
    # If nearly all ages are coded, nothing is known of the lower end: it stays.
    return move if np.isfinite(move) else 0.0, _weighted_quantile(ages - high, weights, level)


def _weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    order = values.argsort()
    reached = weights[order].cumsum() / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level - 1e-9)), len(values) - 1)])


def _cross_fit(held_out: HeldOut, persons: Ints, calibrated: bool) -> Coverage | None:
    """Measure how often intervals hold the age of persons they were not fitted on; None with a single person.

    With `calibrated`, the probabilities are tempered first, as the intervals then expect.
    """
    if persons.max() == 0:
        return None
    rule, age = DecisionRule(calibrated), held_out.predictions["age"]
    given = probabilities(held_out.predictions)
    low, high = np.zeros(len(age)), np.zeros(len(age))
    for inside, here, fitted_rules in parts(held_out, given, [rule]):
        temperature = fitted_rules[rule].temperatures["age"]
        moves = _moves(age[~inside], temper(given["age"][~inside], temperature), persons[~inside])
        low[inside], high[inside] = AgeIntervals(*moves).ends(temper(here["age"], temperature))
    ages, censored = age["true_age"].to_numpy(), age["top_coded"].to_numpy() > 0
    middles = middle_of_year(ages)
    covered = np.where(censored, ages <= high, (low <= middles) & (middles <= high))
    table = pd.DataFrame({"covered": covered, "coded": censored, "band": [BANDS[age_band(a)] for a in ages]})
    people = table.groupby(persons).agg({"covered": "mean", "coded": "max", "band": "first"})
    share = mean_interval(people["covered"].to_numpy(), np.arange(len(people)))
    errors = np.abs(age_error(age["age"], ages))[~censored]
    return Coverage(
        *share,
        width=float((high - low).mean()),
        error=float(errors.mean()) if len(errors) else 0.0,
        persons=len(people),
        top_coded=float(people["coded"].mean()),
        by_band={str(band): float(part) for band, part in people.groupby("band")["covered"].mean().items()},
    )
