"""Where age bands are cut: in years, on the distribution an image was given, for macro F1 of the bands.

Not on the mean of the distribution: at 30 and 60 that scored less (docs/decisions.md), and it leaves no probabilities
of bands to be multiplied with those of mask and gender.

Which class to answer when macro F1 counts: weights that lift rare classes, and a price for answering in vain.

F1 of class c is 2 h / (s + a): h answered right, s of the class in truth, a answered so. One more image with
probability p of c changes it by about (2 p - F1) / (s + a). So the best answers are argmax of w_c p_c - o_c with
w_c = 2 / (s_c + a_c) and o_c = F1_c / (s_c + a_c), in which a and F1 are those of these very answers: a fixed point.
That the optimum has this form: Narasimhan et al., "Consistent Multiclass Algorithms for Complex Performance Measures",
ICML 2015. Expected counts stand for true ones: sums of calibrated probabilities vary less than counts of few persons.
"""

from itertools import product
from typing import NamedTuple

import numpy as np

from shared.fusion.intervals import count_by_person, draw_persons, weighted_macro_f1
from shared.fusion.metrics import Floats, Ints
from shared.labels import BAND_EDGES, BANDS

REACH = 6.0
"""So many years a threshold may lie from the label's own edge."""

STEP = 1.0
"""Years between two thresholds that are tried."""

_THRESHOLD_PENALTY = 0.3
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
    fee = _THRESHOLD_PENALTY * ((GRID - BAND_EDGES) ** 2).sum(axis=1) / people
    return weighted_macro_f1(draw_persons(people, _DRAWS), counts) - fee


def _answers(years: Floats) -> Ints:
    """The most probable band (G, N) under each pair of `GRID`."""
    below = np.pad(years.cumsum(axis=1), ((0, 0), (1, 0)))
    masses = {threshold: _at(below, threshold) for threshold in np.unique(GRID)}
    whole = below[:, -1]
    ways = [np.stack([masses[low], masses[high] - masses[low], whole - masses[high]]) for low, high in GRID]
    return np.stack([way.argmax(axis=0) for way in ways])


_SHRINKAGE_PERSONS = 30.0
"""With so many persons half of what was learnt is used, with many all of it (on the scale of log-weights)."""

_ROUNDS = 60
_STRIDE = 0.3
"""How far each round goes towards the new weights: a full step would swing to and fro."""


class ClassRule(NamedTuple):
    """Answer the class of the largest `weights * probability - offsets`, (C,) each."""

    weights: Floats
    offsets: Floats

    def predict(self, joint: Floats) -> Ints:
        """The classes (N,) to answer for probabilities (N, C); the first of equals."""
        chosen: Ints = (joint * self.weights - self.offsets).argmax(axis=1)
        return chosen


def fit_class_rule(joint: Floats, persons: int) -> ClassRule:
    """The rule of the largest expected macro F1 on calibrated probabilities (N, C), held near argmax for few persons.

    Truth is not asked for: probabilities that mean what they say tell how often each class is to be expected.
    """
    rule = _best_rule(joint)
    return _shrunk(rule, persons / (persons + _SHRINKAGE_PERSONS))


def expected_macro_f1(joint: Floats, answers: Ints) -> float:
    """Macro F1 of expected counts: of hits, and of images of each class, as probabilities (N, C) have them."""
    return float(_expected_f1(joint, answers)[0].mean())


def _best_rule(joint: Floats) -> ClassRule:
    classes = joint.shape[1]
    rule = best = ClassRule(np.ones(classes), np.zeros(classes))
    top = -1.0
    for _ in range(_ROUNDS):
        f1, whole = _expected_f1(joint, rule.predict(joint))
        if f1.mean() > top:
            top, best = f1.mean(), rule
        weights, offsets = 1 / whole, f1 / 2 / whole
        scale = np.exp(-np.log(weights).mean())
        rule = ClassRule(
            rule.weights + _STRIDE * (scale * weights - rule.weights),
            rule.offsets + _STRIDE * (scale * offsets - rule.offsets),
        )
    return best


def _expected_f1(joint: Floats, answers: Ints) -> tuple[Floats, Floats]:
    """F1 of each class (C,), and its denominator: expected images of the class and those answered so."""
    classes = joint.shape[1]
    whole = joint.sum(axis=0) + np.bincount(answers, minlength=classes)
    hits = np.bincount(answers, joint[np.arange(len(answers)), answers], minlength=classes)
    # A class that nobody is likely to be of must not get a boundless weight.
    whole = np.maximum(whole, 1.0)
    return 2 * hits / whole, whole


def _shrunk(rule: ClassRule, share: float) -> ClassRule:
    """Log-weights and offsets times `share`; weights have a geometric mean of one before and after."""
    scale = np.exp(-np.log(rule.weights).mean())
    return ClassRule((rule.weights * scale) ** share, rule.offsets * scale * share)
