"""Where age bands are cut: in years, on the distribution a picture was given, for macro F1 of the bands.

Not on the mean of the distribution: at 30 and 60 that scored less (docs/decisions.md), and it leaves no probabilities
of bands to be multiplied with those of mask and gender.
"""

from itertools import product
from typing import NamedTuple

import numpy as np

from shared.arrays import Floats, Ints
from shared.decisions.persons import count_by_person, draw_persons, weighted_macro_f1
from shared.labels import BAND_EDGES, BANDS

REACH = 6.0
"""So many years a threshold may lie from the label's own edge."""

STEP = 1.0
"""Years between two thresholds that are tried."""

_CAUTION = 0.3
"""Macro F1 that a threshold must gain over all persons, per squared year of its way."""

_DRAWS = 200

GRID = np.array([*product(*(np.arange(edge - REACH, edge + REACH + STEP, STEP) for edge in BAND_EDGES))])
"""Pairs of thresholds that are tried (G, 2)."""


class Thresholds(NamedTuple):
    """Years at which the second and the third band begin."""

    low: float = BAND_EDGES[0]
    high: float = BAND_EDGES[1]


FIXED = Thresholds()
"""What the labels say."""


def band_masses(years: Floats, thresholds: Thresholds) -> Floats:
    """Probabilities of the three bands (N, 3) from those of years (N, Y), cut at thresholds that may be fractional.

    A year's probability is spread evenly from its birthday to the next: half of that of 30 lies below 30.5.
    """
    below = np.pad(years.cumsum(axis=1), ((0, 0), (1, 0)))
    low, high = (_at(below, threshold) for threshold in thresholds)
    return np.stack([low, high - low, below[:, -1] - high], axis=1)


def _at(below: Floats, threshold: float) -> Floats:
    """The mass below a threshold (N,), linear between whole years."""
    whole = int(threshold)
    share = threshold - whole
    mass: Floats = (1 - share) * below[:, whole] + share * below[:, min(whole + 1, below.shape[1] - 1)]
    return mass


def fit_thresholds(years: Floats, truth: Ints, persons: Ints) -> Thresholds:
    """The thresholds of the best macro F1 of the bands, in the mean over bootstrap draws of persons.

    Takes distributions over years (N, Y), right bands (N,) and numbered persons (N,). A mean over draws does not fall
    for a lucky spike; and a way from 30 and 60 has to be worth a fee, which is less the more persons there are.
    """
    return _pair(GRID[_scores(years, truth, persons).mean(axis=0).argmax()])


def threshold_intervals(years: Floats, truth: Ints, persons: Ints) -> tuple[Thresholds, Thresholds]:
    """The lower and the upper ends of 95 % intervals: where the best thresholds of bootstrap draws of persons lie."""
    low, high = np.quantile(GRID[_scores(years, truth, persons).argmax(axis=1)], [0.025, 0.975], axis=0)
    return _pair(low), _pair(high)


def _pair(years: Floats) -> Thresholds:
    return Thresholds(*map(float, years))


def _scores(years: Floats, truth: Ints, persons: Ints) -> Floats:
    """Macro F1 of the bands less the fee, for each draw of persons and each pair of `GRID`."""
    counts = count_by_person(truth, _answers(years), persons, len(BANDS))
    people = len(counts.support)
    fee = _CAUTION * ((GRID - BAND_EDGES) ** 2).sum(axis=1) / people
    return weighted_macro_f1(draw_persons(people, _DRAWS), counts) - fee


def _answers(years: Floats) -> Ints:
    """The most probable band (G, N) under each pair of `GRID`."""
    below = np.pad(years.cumsum(axis=1), ((0, 0), (1, 0)))
    masses = {threshold: _at(below, threshold) for threshold in np.unique(GRID)}
    whole = below[:, -1]
    ways = [np.stack([masses[low], masses[high] - masses[low], whole - masses[high]]) for low, high in GRID]
    return np.stack([way.argmax(axis=0) for way in ways])
