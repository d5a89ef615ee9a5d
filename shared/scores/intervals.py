"""Scores with 95 % intervals over persons: pictures of a person are not independent.

Macro F1 has its own, `shared.decisions.persons.bootstrap_score`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.arrays import Ints
from shared.decisions.persons import Interval, draw_persons

Z = 1.96
"""Standard deviations that 95 % of a normal distribution lie within."""


def share_interval(right: NDArray[np.bool_], persons: ArrayLike) -> Interval:
    """The share that is right of pictures (N,) of persons (N,): Wilson's interval (1927), with a person as one trial.

    Unlike drawn persons it stays wide where there are few of them, or all are right. Where pictures of a person go
    right and wrong independently of one another, it is wider than need be.
    """
    share, z2 = float(np.mean(right)), Z**2 / len(np.unique(np.asarray(persons)))
    middle = (share + z2 / 2) / (1 + z2)
    reach = float(np.sqrt(share * (1 - share) * z2 + z2**2 / 4)) / (1 + z2)
    # Rounding must not put an end on the wrong side.
    return Interval(share, min(max(middle - reach, 0.0), share), max(min(middle + reach, 1.0), share))


def mean_interval(values: NDArray[np.float64], persons: Ints) -> Interval:
    """The mean of a number (N,) for each picture, such as years off, by drawn persons."""
    total, count = np.bincount(persons, values), np.bincount(persons).astype(np.float64)
    draws = draw_persons(len(count))
    ends = np.quantile((draws @ total) / (draws @ count), [0.025, 0.975])
    return Interval(float(total.sum() / count.sum()), *(float(end) for end in ends))


def told(interval: Interval, digits: int = 3) -> str:
    """For example "0.812 [0.790, 0.833]"."""
    value, low, high = (f"{number:.{digits}f}" for number in interval)
    return f"{value} [{low}, {high}]"
