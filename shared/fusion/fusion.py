"""From the probabilities of three specialists to those of the 18 classes.

The specialists are taken as independent given the image, so the probability of a class is the product of three.
Several runs of a specialist are averaged first. Their weights are equal, or learned on held-out persons: the weights
under which the true classes were most likely, a linear opinion pool (Stone, "The Opinion Pool", 1961), stacked as in
Yao et al., "Using Stacking to Average Bayesian Predictive Distributions", 2018.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.fusion.ages import with_median_age
from shared.fusion.metrics import Floats, Ints
from shared.labels import BANDS, GENDERS, MASKS

SPECIALISTS = {"mask": MASKS, "gender": GENDERS, "age": BANDS}
"""The classes of each specialist; `labels.encode_class` takes their indices in this order."""

Predictions = Mapping[str, pd.DataFrame]
"""A table of the same N images for each specialist: class probabilities and further columns."""

Networks = Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]]
"""For each specialist a table of the same N images, or one table for the network of each fold."""

CONSTANT = ("gender", "age")
"""The specialists for attributes that do not change between two images of a person; how the mask is worn does."""

SMALLEST = 1e-7
"""Prediction files hold seven digits, so a probability of 0 stands for anything below that."""


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Return the probabilities (..., C) of logits (..., C), as float64.

    >>> softmax(np.log([[1.0, 3.0]])).tolist()
    [[0.25, 0.75]]
    """
    powers: Floats = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def joint_probabilities(mask: Floats, gender: Floats, band: Floats) -> Floats:
    """Return the probabilities of the 18 classes (N, 18) from (N, 3), (N, 2) and (N, 3).

    The columns are numbered as in `labels.encode_class`.

    >>> joint = joint_probabilities(np.array([[0.5, 0.3, 0.2]]), np.array([[0.4, 0.6]]), np.array([[0.1, 0.2, 0.7]]))
    >>> round(float(joint[0, 6 * 1 + 3 * 1 + 2]), 3)  # 0.3 * 0.6 * 0.7
    0.126
    """
    return np.einsum("nm,ng,nb->nmgb", mask, gender, band).reshape(len(mask), -1)


def fuse(predictions: Predictions) -> Floats:
    """Return the probabilities of the 18 classes (N, 18)."""
    return joint_probabilities(*(predictions[task][list(classes)].to_numpy() for task, classes in SPECIALISTS.items()))


def most_probable(joint: Floats) -> Ints:
    """Return the most probable class (N,) of probabilities (N, C), the first one of equals."""
    return joint.argmax(axis=1)


def true_classes(truth: Mapping[str, Ints]) -> Ints:
    """Return the true class, 0-17, of each image (N,) from the true classes of each specialist.

    >>> true_classes({"mask": np.array([2]), "gender": np.array([1]), "age": np.array([0])}).tolist()
    [15]
    """
    classes: Ints = 6 * truth["mask"] + 3 * truth["gender"] + truth["age"]
    return classes


def average_runs(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the mean of the predictions of several runs of a specialist.

    Takes tables indexed by image and returns one, with the images and the numeric columns that all of them have, in the
    order of the first. If there is a distribution over years, `age` is the median of the mean distribution.

    >>> runs = [pd.DataFrame({"male": [p], "female": [1 - p]}, index=["a.jpg"]) for p in (0.5, 1.0)]
    >>> average_runs(runs).to_dict("records")
    [{'male': 0.75, 'female': 0.25}]
    """
    images = common_index([run.index for run in runs])
    columns = common_index([run.select_dtypes("number").columns for run in runs])
    tables = [run.loc[images, columns].to_numpy(np.float64) for run in runs]
    return with_median_age(pd.DataFrame(np.mean(tables, axis=0), index=images, columns=columns))


def average_persons(predictions: Predictions, persons: pd.Series) -> dict[str, pd.DataFrame]:
    """Return predictions in which the numbers of gender and age are means over all images of a person.

    `persons` (N,) names the person of each image, in the order of the tables.
    """

    def averaged(table: pd.DataFrame) -> pd.DataFrame:
        mean = table.select_dtypes("number").groupby(persons.to_numpy()).transform("mean")
        return with_median_age(mean)

    return {task: averaged(table) if task in CONSTANT else table for task, table in predictions.items()}


def common_index(indices: Sequence[pd.Index]) -> pd.Index:
    """Return the entries that all indices have, in the order of the first."""
    shared = indices[0]
    for index in indices[1:]:
        shared = shared[shared.isin(index)]
    return shared
