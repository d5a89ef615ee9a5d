"""Names of the arrays that answers, scores and decisions are made of.

Scores of class predictions, in numpy; truth and predicted are (N,) integers, 0 to `classes` - 1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class ClassScores(NamedTuple):
    """Per class, (C,) each; 0 where a score is 0 / 0."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Ints
    """How many of N are of the class in truth."""


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int) -> Ints:
    """Counts (C, C): a row for each true class, a column for each predicted one.

    Raises `ValueError` where the two differ in length, hold nothing, or hold a class out of range.
    """
    true, guess = np.asarray(truth), np.asarray(predicted)
    if true.shape != guess.shape or true.ndim != 1 or not len(true):
        raise ValueError(f"truth and predictions must be as many, and some: not {true.shape} and {guess.shape}")
    for labels in (true, guess):
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"classes must be 0-{classes - 1}, not {labels.min()} to {labels.max()}")
    return np.bincount(true * classes + guess, minlength=classes**2).reshape(classes, classes)


def class_scores(confusion: Ints) -> ClassScores:
    """Precision, recall, F1 and support of each class of a confusion matrix."""
    hits = np.diagonal(confusion)
    support, answers = confusion.sum(1), confusion.sum(0)
    return ClassScores(
        precision=hits / np.maximum(answers, 1),
        recall=hits / np.maximum(support, 1),
        f1=2 * hits / np.maximum(support + answers, 1),
        support=support,
    )


def macro_f1(truth: ArrayLike, predicted: ArrayLike, classes: int) -> float:
    """Mean F1 of all classes, 0-1, bigger is better.

    A class that is neither in truth nor predicted counts as 0, as with scikit-learn's
    `f1_score(truth, predicted, labels=range(classes), average="macro", zero_division=0)`: a score then never rises
    because a class is missing, and scores of different folds are means over the same classes.
    """
    return float(class_scores(confusion_matrix(truth, predicted, classes)).f1.mean())


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Share of right answers, 0-1."""
    return float(np.mean(np.asarray(truth) == np.asarray(predicted)))
