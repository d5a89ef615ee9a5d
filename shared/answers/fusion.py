"""From the probabilities of three specialists to the 18 classes.

The specialists are taken to be independent given the picture, so the probability of a class is the product of its
three. What is decided from these probabilities is another matter: `most_probable` is the plain way.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from shared.answers.years import with_answered_age
from shared.arrays import Floats, Ints
from shared.labels import BANDS, GENDERS, MASKS

SPECIALISTS = {"mask": MASKS, "gender": GENDERS, "age": BANDS}
"""The classes of each, in the order in which they make up one of the 18."""

Answers = Mapping[str, pd.DataFrame]
"""A table of the same N pictures for each specialist: class probabilities and details."""


def average_runs(runs: Sequence[pd.DataFrame], weights: Floats | None = None) -> pd.DataFrame:
    """The mean of what several runs of a specialist say, over the pictures that all of them speak of.

    Takes tables indexed by picture, as `predictions.read_predictions` gives them, and returns one with the columns of
    numbers that all of them have; an age is that of the averaged distribution over years. Order of pictures and columns
    is that of the first. `weights` (R,) sum to one; all runs count alike without.
    """
    pictures = common([run.index for run in runs])
    columns = common([run.select_dtypes("number").columns for run in runs])
    tables = [run.loc[pictures, columns].to_numpy(np.float64) for run in runs]
    if weights is None:
        mean = sum(tables) / len(runs)
    else:
        mean = sum(weight * table for weight, table in zip(weights, tables, strict=True))
    return with_answered_age(pd.DataFrame(mean, index=pictures, columns=columns))


def common(indices: Sequence[pd.Index]) -> pd.Index:
    """What all of them hold, in the order of the first."""
    shared = indices[0]
    for index in indices[1:]:
        shared = shared[shared.isin(index)]
    return shared


def fuse(answers: Answers) -> Floats:
    """Probabilities of the 18 classes (N, 18) from a table of the same N pictures for each of `SPECIALISTS`."""
    return joint_probabilities(*(answers[task][list(classes)].to_numpy() for task, classes in SPECIALISTS.items()))


def joint_probabilities(mask: Floats, gender: Floats, band: Floats) -> Floats:
    """Probabilities of the 18 classes (N, 18), columns as in `labels.encode_class`, from (N, 3), (N, 2) and (N, 3).

    Rows sum to one where those of the three do.
    """
    return np.einsum("nm,ng,nb->nmgb", mask, gender, band).reshape(len(mask), -1)


def right_classes(truth: Mapping[str, Ints]) -> Ints:
    """The right one of the 18 classes (N,), of the right ones of each specialist."""
    classes: Ints = 6 * truth["mask"] + 3 * truth["gender"] + truth["age"]
    return classes


def most_probable(joint: Floats) -> Ints:
    """The most probable class (N,) of probabilities (N, C); the first of equals."""
    return joint.argmax(axis=1)
