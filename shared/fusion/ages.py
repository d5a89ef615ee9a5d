"""Age as a distribution over years: its columns in the prediction files, its quantiles, its bands, its error.

One convention everywhere: a year of age lasts from one birthday to the next. So the probability of 34 is spread evenly
over [34, 35), labels are rounded down to completed years, someone of 34 is 34.5 years old in the mean, and an age of
29.6 is below 30 as a label, as a prediction and as a band.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from shared.fusion.metrics import Floats
from shared.labels import BAND_EDGES


class Thresholds(NamedTuple):
    """Years at which the second and the third band begin."""

    low: float = BAND_EDGES[0]
    high: float = BAND_EDGES[1]


FIXED = Thresholds()
"""The edges of the labels, 30 and 60."""


def year_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of the distribution over years, year_0 to the last; none if there is no distribution.

    >>> year_columns(pd.DataFrame(columns=["image", *(f"year_{year}" for year in range(101))]))[::50]
    ['year_0', 'year_50', 'year_100']
    """
    names: list[str] = []
    while f"year_{len(names)}" in table:
        names.append(f"year_{len(names)}")
    return names if len(names) > BAND_EDGES[-1] else []


def quantiles(years: Floats, shares: Sequence[float]) -> Floats:
    """Return the ages (len(shares), N) below which `shares` (0-1) of distributions (N, Y) lie.

    The probability of a year is spread evenly from its birthday to the next.

    >>> quantiles(np.eye(101)[[34]], (0.1, 0.5, 0.9)).ravel().round(3).tolist()
    [34.1, 34.5, 34.9]
    """
    below = np.pad(years.cumsum(axis=1), ((0, 0), (1, 0)))
    edges = np.arange(below.shape[1])
    return np.array([np.interp(shares, row / row[-1], edges) for row in below]).reshape(-1, len(shares)).T


def median_age(years: Floats) -> Floats:
    """Return the median (N,) of distributions (N, Y), the age of the smallest expected absolute error.

    (The mean has the smallest expected square, so improbable years that are far away would move it.)

    >>> years = np.zeros((1, 101))
    >>> years[0, [30, 90]] = 0.9, 0.1
    >>> median_age(years).round(2).tolist()
    [30.56]
    """
    return quantiles(years, (0.5,))[0]


def with_median_age(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `age` as the median of its own distribution over years, if it has both."""
    years = year_columns(predictions)
    if years and "age" in predictions:
        return predictions.assign(age=median_age(predictions[years].to_numpy()))
    return predictions


def age_error(predicted: ArrayLike, ages: ArrayLike, top_coded: ArrayLike | None = None) -> Floats:
    """Return predicted minus true age (N,), in years; the true age is the middle of the labelled year.

    A label can stand for "this or older" (`top_coded`, 1 or 0); a prediction at or above it then has no error.

    >>> age_error([34.5, 72.0, 55.0], [34, 60, 60], [0, 1, 1]).tolist()
    [0.0, 0.0, -5.0]
    """
    given, labels = np.asarray(predicted, np.float64), np.asarray(ages, np.float64)
    error = given - middle_of_year(labels)
    return error if top_coded is None else np.where(np.asarray(top_coded) > 0.5, np.minimum(given - labels, 0), error)


def middle_of_year(ages: ArrayLike) -> Floats:
    """Return the middle of the year of age (N,) that labels are in.

    >>> middle_of_year([29, 29.6]).tolist()
    [29.5, 29.5]
    """
    return np.floor(np.asarray(ages, np.float64)) + 0.5


def band_masses(years: Floats, thresholds: Thresholds = FIXED) -> Floats:
    """Return the probabilities of the three bands (N, 3) from those of years (N, Y).

    The probability of a year is spread evenly from its birthday to the next: half of that of 30 lies below 30.5.

    >>> years = np.zeros((1, 101))
    >>> years[0, [20, 30, 70]] = 0.5, 0.4, 0.1
    >>> band_masses(years, Thresholds(30.25, 60)).round(3).tolist()
    [[0.6, 0.3, 0.1]]
    """
    below = np.stack([share_below(years.shape[1], threshold) for threshold in thresholds])
    parts = np.diff(below, axis=0, prepend=0, append=1)
    masses: Floats = years @ parts.T
    return masses


def share_below(years: int, threshold: float) -> Floats:
    """Return the share (Y,) of each year from its birthday to the next that lies below a threshold, 0-1.

    >>> share_below(4, 2.25).tolist()
    [1.0, 1.0, 0.25, 0.0]
    """
    return np.clip(threshold - np.arange(years), 0, 1)
