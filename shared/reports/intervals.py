"""Scores with 95 % intervals by bootstrap over persons: pictures of a person are not independent."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shared.decisions.persons import Floats, Interval, Ints, count_by_person, draw_persons, weighted_macro_f1


def macro_f1_interval(truth: Ints, answers: Ints, persons: Ints, classes: int) -> Interval:
    """Macro F1 of answers (N,) to right classes (N,); `persons` (N,) as `number_persons` gives them."""
    counts = count_by_person(truth, answers, persons, classes)
    return _interval(len(counts.support), lambda weights: weighted_macro_f1(weights, counts)[:, 0])


def mean_interval(values: NDArray[np.float64] | NDArray[np.bool_], persons: Ints) -> Interval:
    """The mean of a number (N,) for each picture: the share of right answers, years off."""
    total, count = np.bincount(persons, values), np.bincount(persons).astype(np.float64)
    return _interval(len(count), lambda weights: (weights @ total) / (weights @ count))


def _interval(people: int, score: Callable[[Floats], Floats]) -> Interval:
    ends = np.quantile(score(draw_persons(people)), [0.025, 0.975])
    return Interval(float(score(np.ones((1, people))).item()), *(float(end) for end in ends))


def told(interval: Interval, digits: int = 3) -> str:
    """For example "0.812 [0.790, 0.833]"."""
    value, low, high = (f"{number:.{digits}f}" for number in interval)
    return f"{value} [{low}, {high}]"
