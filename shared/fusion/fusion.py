"""Age read off a distribution over years: the columns that hold one, its quantiles, and the age that is answered.

How much each run of a specialist counts where several answer together: learnt on held-out persons.

The runs' probabilities are mixed, p = sum of w_r p_r, with the weights under which the right classes were most likely:
a linear opinion pool (Stone, "The Opinion Pool", 1961), stacked as Yao et al., "Using Stacking to Average Bayesian
Predictive Distributions", 2018, have it. Equal weights are what few persons leave.

From the probabilities of three specialists to the 18 classes.

The specialists are taken to be independent given the image, so the probability of a class is the product of its
three. What is decided from these probabilities is another matter: `most_probable` is the plain way.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from shared.fusion.metrics import Floats, Ints
from shared.labels import BAND_EDGES, BANDS, GENDERS, MASKS


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


def median_age(years: Floats) -> Floats:
    """The median (N,) of distributions (N, Y): no other number is expected to be fewer years off.

    (The mean is expected to be off by the smallest square, and so leans towards what is far away but unlikely.)
    """
    return quantiles(years, (0.5,))[0]


def with_median_age(answers: pd.DataFrame) -> pd.DataFrame:
    """The table with the age of its own distribution over years, where it has both."""
    years = year_columns(answers)
    if years and "age" in answers:
        return answers.assign(age=median_age(answers[years].to_numpy()))
    return answers


def age_error(answered: Floats, ages: Floats, top_coded: pd.Series | None = None) -> Floats:
    """Answered less true age (N,), in years.

    Where a label stands for "this or older" (`top_coded`, 1 or 0), whatever is above it counts as right.
    """
    error = np.asarray(answered, np.float64) - np.asarray(ages, np.float64)
    return error if top_coded is None else np.where(np.asarray(top_coded) > 0.5, np.minimum(error, 0), error)


_CAUTION = 10.0
"""Every run counts as if so many persons more had been answered best by it."""

_LEAST = 1e-7
"""Files hold seven digits; a probability of 0 there is one below that."""

_ROUNDS, _CLOSE = 1000, 1e-6


def equal_weights(runs: int) -> Floats:
    """For the mean of so many runs, (R,)."""
    return np.full(runs, 1 / runs)


def learn_weights(chances: Floats, persons: int) -> Floats:
    """Weights (R,), none below 0 and one in sum, from the probability that each run gave to each right class (N, R).

    `persons` are seen in the N images. Expectation maximisation, which climbs to the one maximum there is: of what a
    mixture says of an image, each run is due its share, and the shares are the next weights.
    """
    chances = np.maximum(chances, _LEAST)
    weights = equal_weights(chances.shape[1])
    for _ in range(_ROUNDS):
        shares = chances * weights
        due = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0) * persons + _CAUTION
        before, weights = weights, due / due.sum()
        if np.abs(weights - before).max() < _CLOSE:
            break
    return weights


SPECIALISTS = {"mask": MASKS, "gender": GENDERS, "age": BANDS}
"""The classes of each, in the order in which they make up one of the 18."""

Predictions = Mapping[str, pd.DataFrame]
"""A table of the same N images for each specialist: class probabilities and details."""


def average_runs(runs: Sequence[pd.DataFrame], weights: Floats | None = None) -> pd.DataFrame:
    """The mean of what several runs of a specialist say, over the images that all of them speak of.

    Takes tables indexed by image, as `predictions.read_predictions` gives them, and returns one with the columns of
    numbers that all of them have; an age is that of the averaged distribution over years. Order of images and columns
    is that of the first. `weights` (R,) sum to one; all runs count alike without.
    """
    images = common_index([run.index for run in runs])
    columns = common_index([run.select_dtypes("number").columns for run in runs])
    tables = [run.loc[images, columns].to_numpy(np.float64) for run in runs]
    if weights is None:
        mean = sum(tables) / len(runs)
    else:
        mean = sum(weight * table for weight, table in zip(weights, tables, strict=True))
    return with_median_age(pd.DataFrame(mean, index=images, columns=columns))


def common_index(indices: Sequence[pd.Index]) -> pd.Index:
    """What all of them hold, in the order of the first."""
    shared = indices[0]
    for index in indices[1:]:
        shared = shared[shared.isin(index)]
    return shared


def fuse(answers: Predictions) -> Floats:
    """Probabilities of the 18 classes (N, 18) from a table of the same N images for each of `SPECIALISTS`."""
    return joint_probabilities(*(answers[task][list(classes)].to_numpy() for task, classes in SPECIALISTS.items()))


def joint_probabilities(mask: Floats, gender: Floats, band: Floats) -> Floats:
    """Probabilities of the 18 classes (N, 18), columns as in `labels.encode_class`, from (N, 3), (N, 2) and (N, 3).

    Rows sum to one where those of the three do.
    """
    return np.einsum("nm,ng,nb->nmgb", mask, gender, band).reshape(len(mask), -1)


def true_classes(truth: Mapping[str, Ints]) -> Ints:
    """The right one of the 18 classes (N,), of the right ones of each specialist."""
    classes: Ints = 6 * truth["mask"] + 3 * truth["gender"] + truth["age"]
    return classes


def most_probable(joint: Floats) -> Ints:
    """The most probable class (N,) of probabilities (N, C); the first of equals."""
    return joint.argmax(axis=1)
