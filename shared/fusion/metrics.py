"""Scores of class predictions, and their 95 % intervals over persons.

`truth` and `predicted` are (N,) integers from 0 to `classes` - 1. Images of one person are not independent, so
intervals resample persons, not images: a bootstrap for macro F1 and means, Wilson's interval for shares.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class ClassScores(NamedTuple):
    """Scores of each class, (C,) each; 0 where a score is 0 / 0."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Ints
    """Number of images of the class in truth."""


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int) -> Ints:
    """Return counts (C, C): a row for each true class, a column for each predicted one.

    Raises `ValueError` if the two differ in shape, are empty, or hold a class out of range.

    >>> confusion_matrix([0, 0, 1], [1, 1, 1], 2).tolist()
    [[0, 2], [0, 1]]
    """
    true, guess = np.asarray(truth), np.asarray(predicted)
    if true.shape != guess.shape or true.ndim != 1 or not len(true):
        raise ValueError(f"truth and predictions must be (N,) with the same N > 0: not {true.shape} and {guess.shape}")
    for labels in (true, guess):
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"classes must be 0-{classes - 1}, not {labels.min()} to {labels.max()}")
    return np.bincount(true * classes + guess, minlength=classes**2).reshape(classes, classes)


def class_scores(confusion: Ints) -> ClassScores:
    """Return precision, recall, F1 and support of each class of a confusion matrix (C, C)."""
    hits = np.diagonal(confusion)
    support, predicted = confusion.sum(1), confusion.sum(0)
    return ClassScores(
        precision=hits / np.maximum(predicted, 1),
        recall=hits / np.maximum(support, 1),
        f1=2 * hits / np.maximum(support + predicted, 1),
        support=support,
    )


def macro_f1(truth: ArrayLike, predicted: ArrayLike, classes: int) -> float:
    """Return the mean F1 of all classes, 0-1, bigger is better.

    A class that is neither in truth nor predicted counts as 0, as in scikit-learn's
    `f1_score(truth, predicted, labels=range(classes), average="macro", zero_division=0)`. So a score never rises
    because a class is missing, and scores of different folds are means over the same classes.

    >>> round(macro_f1([0, 0, 1], [0, 1, 1], 2), 3)
    0.667
    """
    return float(class_scores(confusion_matrix(truth, predicted, classes)).f1.mean())


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of correct predictions, 0-1.

    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 0])
    0.75
    """
    return float(np.mean(np.asarray(truth) == np.asarray(predicted)))


DRAWS = 1000
"""Bootstrap samples of persons; each end of a 95 % interval then rests on 25 of them."""

Z = 1.96
"""Standard deviations that hold 95 % of a normal distribution."""


class Interval(NamedTuple):
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    @property
    def error(self) -> float:
        """One standard error, if the figure is normally distributed."""
        return (self.high - self.low) / (2 * Z)


def format_interval(interval: Interval, digits: int = 3) -> str:
    """Return an interval as text, without signs.

    >>> format_interval(Interval(0.812, 0.79, 0.8333))
    '0.812 [0.790, 0.833]'
    """
    value, low, high = (f"{number:.{digits}f}" for number in interval)
    return f"{value} [{low}, {high}]"


def person_codes(persons: ArrayLike) -> Ints:
    """Return the person of each image (N,) as a number, 0 to P - 1, in the order of their names.

    >>> person_codes(["b", "a", "b"]).tolist()
    [1, 0, 1]
    """
    return np.unique(np.asarray(persons).astype(str), return_inverse=True)[1].astype(np.int64)


@lru_cache(maxsize=4)
def draw_persons(count: int, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Return how often each of `count` persons is in each bootstrap sample: (draws, count)."""
    drawn = np.random.default_rng(seed).integers(0, count, (draws, count))
    return np.stack([np.bincount(sample, minlength=count) for sample in drawn]).astype(np.float64)


class Counts(NamedTuple):
    """Counts of images that macro F1 is made of, for P persons, G sets of predictions and C classes."""

    hits: Floats
    """(P, G, C) predicted correctly."""
    predicted: Floats
    """(P, G, C) predicted, correctly or not."""
    support: Floats
    """(P, C) in truth."""


def count_by_person(truth: Ints, predicted: Ints, persons: Ints, classes: int) -> Counts:
    """Count by person: truth (N,), predictions (N,) or G sets of them (G, N), persons (N,) from `person_codes`."""
    count, sets = int(persons.max()) + 1, np.atleast_2d(predicted)
    # One cell per person, set and class, numbered row by row.
    cells = (persons * len(sets) + np.arange(len(sets))[:, None]) * classes + sets
    shape = (count, len(sets), classes)

    def counted(numbers: Ints, shape: tuple[int, ...]) -> Floats:
        return np.bincount(numbers, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)

    return Counts(
        hits=counted(cells[sets == truth], shape),
        predicted=counted(cells.ravel(), shape),
        support=counted(persons * classes + truth, (count, classes)),
    )


def weighted_macro_f1(weights: Floats, counts: Counts) -> Floats:
    """Return macro F1 (B, G) of each set of predictions, each person counted `weights` (B, P) times."""
    persons, sets, classes = counts.hits.shape
    hits, predicted = (
        (weights @ part.reshape(persons, -1)).reshape(-1, sets, classes) for part in (counts.hits, counts.predicted)
    )
    whole = (weights @ counts.support)[:, None] + predicted
    f1: Floats = np.divide(2 * hits, whole, out=np.zeros_like(hits), where=whole > 0)
    return f1.mean(axis=2)


def bootstrap_scores(truth: Ints, predicted: Ints, persons: Ints, classes: int) -> tuple[Floats, Floats]:
    """Return macro F1 of G sets of predictions (G, N), (G,), and that of each bootstrap sample of persons (B, G)."""
    counts = count_by_person(truth, predicted, persons, classes)
    people = len(counts.support)
    return weighted_macro_f1(np.ones((1, people)), counts)[0], weighted_macro_f1(draw_persons(people), counts)


def bootstrap_score(truth: Ints, predicted: Ints, persons: Ints, classes: int) -> Interval:
    """Return macro F1 of predictions (N,) with its interval over persons.

    >>> truth, predicted, persons = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), np.array([0, 0, 1, 2])
    >>> format_interval(bootstrap_score(truth, predicted, persons, 2))
    '0.733 [0.000, 1.000]'
    """
    value, drawn = bootstrap_scores(truth, predicted, persons, classes)
    return _interval(value[0], drawn[:, 0])


def bootstrap_gain(truth: Ints, before: Ints, after: Ints, persons: Ints, classes: int) -> Interval:
    """Return macro F1 of `after` minus that of `before`, with its interval; both see the same samples of persons."""
    value, drawn = bootstrap_scores(truth, np.stack([before, after]), persons, classes)
    return _interval(value[1] - value[0], drawn[:, 1] - drawn[:, 0])


def mean_interval(values: Floats, persons: Ints) -> Interval:
    """Return the mean over images of a number (N,), such as an age error, with its interval over persons."""
    total, count = np.bincount(persons, values), np.bincount(persons).astype(np.float64)
    draws = draw_persons(len(count))
    return _interval(total.sum() / count.sum(), (draws @ total) / (draws @ count))


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def share_interval(correct: NDArray[np.bool_], persons: ArrayLike) -> Interval:
    """Return the share of correct images (N,), with Wilson's interval (1927) that takes a person as one trial.

    Unlike the bootstrap it stays wide if there are few persons, or if all images are correct. It is too wide if the
    images of a person are correct independently of one another.

    >>> format_interval(share_interval(np.ones(7, bool), ["p"] * 7))
    '1.000 [0.207, 1.000]'
    """
    share, z2 = float(np.mean(correct)), Z**2 / len(np.unique(np.asarray(persons)))
    middle = (share + z2 / 2) / (1 + z2)
    reach = float(np.sqrt(share * (1 - share) * z2 + z2**2 / 4)) / (1 + z2)
    # Rounding must not put an end on the wrong side of the share.
    return Interval(share, min(max(middle - reach, 0.0), share), max(min(middle + reach, 1.0), share))
