"""Age read off a distribution over years: the columns that hold one, its quantiles, and the age that is answered."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from shared.arrays import Floats
from shared.labels import BAND_EDGES


def year_columns(table: pd.DataFrame) -> list[str]:
    """The columns of the distribution over years, year_0 to the last, or none."""
    names: list[str] = []
    while f"year_{len(names)}" in table:
        names.append(f"year_{len(names)}")
    return names if len(names) > BAND_EDGES[-1] else []


def quantiles(years: Floats, shares: Sequence[float]) -> Floats:
    """Ages (len(shares), N) that the `shares` of distributions (N, Y) lie below.

    The probability of a year is spread evenly over half a year before and after it.
    """
    below = np.pad(years.cumsum(axis=1), ((0, 0), (1, 0)))
    edges = np.arange(below.shape[1]) - 0.5
    return np.array([np.interp(shares, row / row[-1], edges) for row in below]).reshape(-1, len(shares)).T


def answered_age(years: Floats) -> Floats:
    """The median (N,) of distributions (N, Y): no other number is expected to be fewer years off.

    (The mean is expected to be off by the smallest square, and so leans towards what is far away but unlikely.)
    """
    return quantiles(years, (0.5,))[0]


def with_answered_age(answers: pd.DataFrame) -> pd.DataFrame:
    """The table with the age of its own distribution over years, where it has both."""
    years = year_columns(answers)
    if years and "age" in answers:
        return answers.assign(age=answered_age(answers[years].to_numpy()))
    return answers


def years_off(answered: Floats, ages: Floats, top_coded: pd.Series | None = None) -> Floats:
    """Answered less true age (N,), in years.

    Where a label stands for "this or older" (`top_coded`, 1 or 0), whatever is above it counts as right.
    """
    error = np.asarray(answered, np.float64) - np.asarray(ages, np.float64)
    return error if top_coded is None else np.where(np.asarray(top_coded) > 0.5, np.minimum(error, 0), error)
