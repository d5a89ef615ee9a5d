"""Persons, not images, are independent: scores are counted, drawn and averaged by person.

Scores with 95 % intervals over persons: images of a person are not independent.

Macro F1 has its own, `shared.decisions.persons.bootstrap_score`.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from shared.fusion.fusion import Predictions, with_median_age
from shared.fusion.metrics import Floats, Ints

AVERAGED = ("gender", "age")
"""What does not change between two images of a person; how the mask is worn does."""

DRAWS = 1000
"""Bootstrap draws of persons; the ends of a 95 % interval then rest on 25 draws each."""


class Counts(NamedTuple):
    """What macro F1 is made of, for each of P persons, G ways of answering and C classes: numbers of images."""

    hits: Floats
    """(P, G, C) answered right."""
    answered: Floats
    """(P, G, C) answered so, right or not."""
    support: Floats
    """(P, C) of the class in truth."""


class Interval(NamedTuple):
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    @property
    def error(self) -> float:
        """One standard error, as far as the draws are normally distributed."""
        return (self.high - self.low) / (2 * 1.96)


def person_codes(persons: ArrayLike) -> Ints:
    """The person of each image (N,) as a number, 0 to P - 1, in the order of their names."""
    return np.unique(np.asarray(persons).astype(str), return_inverse=True)[1].astype(np.int64)


def count_by_person(truth: Ints, answers: Ints, persons: Ints, classes: int) -> Counts:
    """Counts of right classes (N,) and answers (N,) or, in G ways, (G, N); `persons` as `person_codes` gives them."""
    count, ways = int(persons.max()) + 1, np.atleast_2d(answers)
    right = ways == truth
    cells = (persons * len(ways) + np.arange(len(ways))[:, None]) * classes + ways
    shape, size = (count, len(ways), classes), count * len(ways) * classes
    return Counts(
        hits=np.bincount(cells[right], minlength=size).reshape(shape).astype(np.float64),
        answered=np.bincount(cells.ravel(), minlength=size).reshape(shape).astype(np.float64),
        support=np.bincount(persons * classes + truth, minlength=count * classes)
        .reshape(count, classes)
        .astype(np.float64),
    )


def weighted_macro_f1(weights: Floats, counts: Counts) -> Floats:
    """Macro F1 (B, G) of each way of answering, with every person counted as often as `weights` (B, P) say.

    A class that is nowhere counts as 0, as in `metrics.macro_f1`.
    """
    people, ways, classes = counts.hits.shape
    hits, answered = (
        (weights @ part.reshape(people, -1)).reshape(-1, ways, classes) for part in (counts.hits, counts.answered)
    )
    whole = (weights @ counts.support)[:, None] + answered
    f1: Floats = np.divide(2 * hits, whole, out=np.zeros_like(hits), where=whole > 0)
    return f1.mean(axis=2)


@lru_cache(maxsize=4)
def draw_persons(count: int, draws: int = DRAWS, seed: int = 0) -> Floats:
    """How often each of `count` persons is drawn, with replacement, in each of `draws` samples: (draws, count)."""
    drawn = np.random.default_rng(seed).integers(0, count, (draws, count))
    return np.stack([np.bincount(sample, minlength=count) for sample in drawn]).astype(np.float64)


def bootstrap_gain(truth: Ints, before: Ints, after: Ints, persons: Ints, classes: int) -> Interval:
    """Macro F1 of `after` less that of `before`, with its interval over drawn persons (both see the same draws)."""
    counts = count_by_person(truth, np.stack([before, after]), persons, classes)
    people = len(counts.support)
    value = np.diff(weighted_macro_f1(np.ones((1, people)), counts))
    drawn = np.diff(weighted_macro_f1(draw_persons(people), counts))
    return Interval(float(value.item()), *(float(end) for end in np.quantile(drawn, [0.025, 0.975])))


def bootstrap_score(truth: Ints, answers: Ints, persons: Ints, classes: int) -> Interval:
    """Macro F1 of answers (N,), with its interval over drawn persons."""
    counts = count_by_person(truth, answers, persons, classes)
    people = len(counts.support)
    drawn = weighted_macro_f1(draw_persons(people), counts)
    value = weighted_macro_f1(np.ones((1, people)), counts).item()
    return Interval(float(value), *(float(end) for end in np.quantile(drawn, [0.025, 0.975])))


def average_persons(answers: Predictions, persons: pd.Series) -> dict[str, pd.DataFrame]:
    """Answers in which the numbers of gender and age are the mean over all images of a person.

    An age is that of the averaged distribution over years. Takes a table of N images for each specialist, and who is
    seen (N,) in the same order.
    """

    def averaged(table: pd.DataFrame) -> pd.DataFrame:
        mean = table.select_dtypes("number").groupby(persons.to_numpy()).transform("mean")
        return with_median_age(mean)

    return {task: averaged(table) if task in AVERAGED else table for task, table in answers.items()}


Z = 1.96
"""Standard deviations that 95 % of a normal distribution lie within."""


def share_interval(right: NDArray[np.bool_], persons: ArrayLike) -> Interval:
    """The share that is right of images (N,) of persons (N,): Wilson's interval (1927), with a person as one trial.

    Unlike drawn persons it stays wide where there are few of them, or all are right. Where images of a person go
    right and wrong independently of one another, it is wider than need be.
    """
    share, z2 = float(np.mean(right)), Z**2 / len(np.unique(np.asarray(persons)))
    middle = (share + z2 / 2) / (1 + z2)
    reach = float(np.sqrt(share * (1 - share) * z2 + z2**2 / 4)) / (1 + z2)
    # Rounding must not put an end on the wrong side.
    return Interval(share, min(max(middle - reach, 0.0), share), max(min(middle + reach, 1.0), share))


def mean_interval(values: NDArray[np.float64], persons: Ints) -> Interval:
    """The mean of a number (N,) for each image, such as years off, by drawn persons."""
    total, count = np.bincount(persons, values), np.bincount(persons).astype(np.float64)
    draws = draw_persons(len(count))
    ends = np.quantile((draws @ total) / (draws @ count), [0.025, 0.975])
    return Interval(float(total.sum() / count.sum()), *(float(end) for end in ends))


def format_interval(interval: Interval, digits: int = 3) -> str:
    """For example "0.812 [0.790, 0.833]"."""
    value, low, high = (f"{number:.{digits}f}" for number in interval)
    return f"{value} [{low}, {high}]"
