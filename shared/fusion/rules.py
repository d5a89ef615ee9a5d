"""Decision rules: what turns probabilities into one of the 18 classes, and how it is fitted on held-out persons.

Temperatures make probabilities match frequencies, one number per specialist (Guo et al., "On Calibration of Modern
Neural Networks", ICML 2017).

Thresholds cut the distribution over years into bands, for the best macro F1 of the bands. Cutting the mean of the
distribution scored less (docs/experiments.md), and would leave no probabilities of bands to multiply.

Class weights raise the macro F1 of the 18 classes. F1 of class c is 2 h / (s + a): h hits, s images of the class, a
predicted. One more image with probability p of c changes it by about (2 p - F1) / (s + a). So the best predictions are
argmax of w_c p_c - o_c with w_c = 2 / (s_c + a_c) and o_c = F1_c / (s_c + a_c), in which a and F1 are those of these
very predictions: a fixed point. That the optimum has this form: Narasimhan et al., "Consistent Multiclass Algorithms
for Complex Performance Measures", ICML 2015. Expected counts stand for true ones: sums of calibrated probabilities vary
less than counts of few persons.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from shared.fusion.ages import FIXED, Thresholds, band_masses, share_below, year_columns
from shared.fusion.fusion import SMALLEST, SPECIALISTS, Networks, joint_probabilities, most_probable, softmax
from shared.fusion.metrics import Floats, Ints, bootstrap_scores, person_codes
from shared.fusion.predictions import TOLERANCE
from shared.labels import BAND_EDGES, BANDS
from shared.messages import UserError, first_of

Probabilities = Mapping[str, Floats]
"""What is tempered, for each specialist: the classes of mask and gender, the years (or bands) of age.

(N, C) if each image was predicted by a single network, as held-out images are; (F, N, C) if by those of F folds.
"""


def probabilities(predictions: Networks, years: bool = True) -> dict[str, Floats]:
    """Return what is tempered: (N, C) for a table, (F, N, C) for a list of tables.

    Of age that is the distribution over years if there is one, else the bands; without `years`, always the bands.
    Raises `UserError` if the bands are not the sums of their years.
    """
    return {
        task: _read(task, table, years)
        if isinstance(table, pd.DataFrame)
        else np.stack([_read(task, each, years) for each in table])
        for task, table in predictions.items()
    }


def _read(task: str, table: pd.DataFrame, years: bool) -> Floats:
    classes = table[list(SPECIALISTS[task])].to_numpy(np.float64)
    names = year_columns(table) if task == "age" and years else []
    if not names:
        return classes
    distribution = table[names].to_numpy(np.float64)
    close = np.abs(band_masses(distribution) - classes).max(axis=1) <= TOLERANCE
    wrong = ~close | (distribution < 0).any(axis=1)
    if wrong.any():
        raise UserError(
            f"{names[0]} to {names[-1]} of {wrong.sum():,} images do not sum to the bands of age: "
            f"{first_of(table.index[wrong])}. Make the age run's oof.csv and eval.csv again"
        )
    return distribution / distribution.sum(axis=1, keepdims=True)


def bands_of(age: Floats, thresholds: Thresholds = FIXED) -> Floats:
    """Return the probabilities of the three bands (..., 3) from those of years, or, unchanged, of bands."""
    return age if age.shape[-1] == len(BANDS) else band_masses(age, thresholds)


# Temperatures.

TEMPERATURES = (0.2, 5.0)
"""The range that is searched."""

_TEMPERATURE_PENALTY = 3.0
"""Squared logarithm of T, counted like the loss of this many persons: few persons keep T near 1."""


def temper(probabilities: Floats, temperature: float) -> Floats:
    """Return probabilities (..., C) with their logarithms divided by the temperature, normalised again.

    Above 1 confidence is lowered, below 1 raised; which class is most probable stays the same.

    >>> temper(np.array([[0.9, 0.1]]), 2.0).round(3).tolist()
    [[0.75, 0.25]]
    """
    return softmax(np.log(np.maximum(probabilities, SMALLEST)) / temperature)


def negative_log_likelihood(probabilities: Floats, truth: Ints) -> float:
    """Return the mean over images, in nats, for probabilities (N, C) and true classes (N,)."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], SMALLEST)).mean())


def fit_temperature(
    probabilities: Floats, truth: Ints, persons: int, classes: Callable[[Floats], Floats] = lambda p: p
) -> float:
    """Return the temperature of the smallest negative log-likelihood, pulled towards 1 if there are few persons.

    `classes` turns tempered probabilities into those of the classes: for age, years are tempered and bands are scored.
    """
    from scipy.optimize import minimize_scalar  # Slow to load, and only fitting needs it.

    def loss(log_temperature: float) -> float:
        tempered = classes(temper(probabilities, np.exp(log_temperature)))
        return negative_log_likelihood(tempered, truth) + _TEMPERATURE_PENALTY * log_temperature**2 / persons

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def calibration_error(probabilities: Floats, truth: Ints, bins: int = 15) -> float:
    """Return the expected calibration error, 0-1: mean distance of confidence from accuracy over bins of equal width.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015, on the most probable
    class as in Guo et al. 2017. Takes probabilities (N, C) and true classes (N,).

    >>> round(calibration_error(np.array([[0.8, 0.2]] * 4), np.array([0, 0, 0, 1])), 3)
    0.05
    """
    confidence, accuracy, counts = reliability_bins(probabilities, truth, bins)
    return float(np.abs(confidence - accuracy) @ counts / len(truth))


def reliability_bins(probabilities: Floats, truth: Ints, bins: int) -> tuple[Floats, Floats, Ints]:
    """Return mean confidence, accuracy and number of images of each non-empty bin of equal width."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    places = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    filled = counts > 0
    sums = (np.bincount(places, weights, minlength=bins)[filled] for weights in (confidence, correct))
    mean, accuracy = (total / counts[filled] for total in sums)
    return mean, accuracy, counts[filled]


# Thresholds of age.

_REACH, _STEP = 6.0, 1.0
"""Years that a threshold may move from the edge of the labels, and between two candidates."""

_THRESHOLD_PENALTY = 0.3
"""Macro F1, summed over persons, that moving a threshold must gain per squared year."""

_CANDIDATES = [np.arange(edge - _REACH, edge + _REACH + _STEP, _STEP) for edge in BAND_EDGES]

GRID = np.array([*product(*_CANDIDATES)])
"""Pairs of thresholds that are tried (G, 2)."""


def fit_thresholds(years: Floats, truth: Ints, persons: Ints) -> Thresholds:
    """Return the thresholds of the best macro F1 of the bands, in the mean over bootstrap samples of persons.

    Takes distributions over years (N, Y), true bands (N,) and person codes (N,). A mean over samples ignores lucky
    spikes, and a penalty for the distance from 30 and 60 fades with the number of persons.
    """
    penalty = _THRESHOLD_PENALTY * ((GRID - BAND_EDGES) ** 2).sum(axis=1) / (int(persons.max()) + 1)
    scores = bootstrap_scores(truth, _bands_under_grid(years), persons, len(BANDS))[1].mean(axis=0) - penalty
    return Thresholds(*map(float, GRID[scores.argmax()]))


def _bands_under_grid(years: Floats) -> Ints:
    """Return the most probable band (G, N) under each pair of `GRID`."""
    # The mass below each candidate is computed once, not once per pair.
    below = {edge: years @ share_below(years.shape[1], edge) for edge in np.unique(GRID)}
    whole = years.sum(axis=1)
    return np.stack(
        [np.stack([below[low], below[high] - below[low], whole - below[high]]).argmax(axis=0) for low, high in GRID]
    )


# Class weights for macro F1.

_SHRINKAGE_PERSONS = 30.0
"""With this many persons half of the learned log-weights is used, with many all."""

_ITERATIONS, _STRIDE = 60, 0.3
"""Steps towards the fixed point, each by this share of the distance: full steps would oscillate."""


class ClassRule(NamedTuple):
    """Predict the class of the largest `weights * probability - offsets`, (C,) each."""

    weights: Floats
    offsets: Floats

    def predict(self, joint: Floats) -> Ints:
        """Return the classes (N,) for probabilities (N, C), the first one of equals."""
        chosen: Ints = (joint * self.weights - self.offsets).argmax(axis=1)
        return chosen


def fit_class_rule(joint: Floats, persons: int) -> ClassRule:
    """Return the rule of the largest expected macro F1 on calibrated probabilities (N, C).

    No truth is needed: calibrated probabilities tell how often each class is to be expected. With few persons the rule
    stays near argmax.
    """
    classes = joint.shape[1]
    rule = best = ClassRule(np.ones(classes), np.zeros(classes))
    top = -1.0
    for _ in range(_ITERATIONS):
        f1, whole = expected_f1(joint, rule.predict(joint))
        if f1.mean() > top:
            top, best = f1.mean(), rule
        weights, offsets = 1 / whole, f1 / 2 / whole
        scale = _geometric_scale(weights)
        rule = ClassRule(
            rule.weights + _STRIDE * (scale * weights - rule.weights),
            rule.offsets + _STRIDE * (scale * offsets - rule.offsets),
        )
    share, scale = persons / (persons + _SHRINKAGE_PERSONS), _geometric_scale(best.weights)
    return ClassRule((best.weights * scale) ** share, best.offsets * scale * share)


def _geometric_scale(weights: Floats) -> float:
    """Return the factor that makes the geometric mean of weights (C,) one."""
    return float(np.exp(-np.log(weights).mean()))


def expected_f1(joint: Floats, predicted: Ints) -> tuple[Floats, Floats]:
    """Return F1 (C,) of expected counts, for probabilities (N, C) and predictions (N,), and its denominators.

    These are the expected images of each class plus those predicted.
    """
    classes = joint.shape[1]
    whole = joint.sum(axis=0) + np.bincount(predicted, minlength=classes)
    hits = np.bincount(predicted, joint[np.arange(len(predicted)), predicted], minlength=classes)
    # A class that is unlikely everywhere must not get a huge weight.
    whole = np.maximum(whole, 1.0)
    return 2 * hits / whole, whole


# Rules.


class DecisionRule(NamedTuple):
    """What a decision learns. All False: probabilities as they are, bands cut at 30 and 60, the most probable class."""

    calibrated: bool = False
    thresholds: bool = False
    f1: bool = False

    def __str__(self) -> str:
        parts = ("f1" if self.f1 else "argmax", "tuned thresholds" if self.thresholds else "30/60")
        return ", ".join((*parts, "calibrated") if self.calibrated else parts)


PLAIN, CALIBRATED = DecisionRule(), DecisionRule(calibrated=True)


@dataclass(frozen=True)
class FittedRule:
    """A decision rule with the numbers that were learned on held-out persons.

    Each network is tempered by itself, then the networks are averaged: temperatures are learned on held-out images, and
    those were predicted by single networks. The mean of calibrated networks has no larger log loss than they have on
    average (Jensen's inequality), while the mean of several networks is less confident than each, and a temperature of
    single networks would lower its confidence twice.
    """

    temperatures: Mapping[str, float]
    thresholds: Thresholds
    class_rule: ClassRule | None
    """None for the most probable class."""
    calibrated: bool = True
    """Whether classes are decided on tempered probabilities; if not, temperatures only serve to report them."""

    def decide(self, given: Probabilities) -> Ints:
        """Return the predicted classes, 0-17, (N,)."""
        tempered = self.tempered(given) if self.calibrated else self._tempered(given, dict.fromkeys(SPECIALISTS, 1.0))
        joint = joint_probabilities(*tempered.values())
        return self.class_rule.predict(joint) if self.class_rule else most_probable(joint)

    def tempered(self, given: Probabilities) -> dict[str, Floats]:
        """Return the calibrated class probabilities (N, C) of each specialist, those of age cut into bands."""
        return self._tempered(given, self.temperatures)

    def _tempered(self, given: Probabilities, temperatures: Mapping[str, float]) -> dict[str, Floats]:
        tempered = {task: mean_of_networks(temper(given[task], temperatures[task])) for task in SPECIALISTS}
        return {**tempered, "age": bands_of(tempered["age"], self.thresholds)}


def mean_of_networks(probabilities: Floats) -> Floats:
    """Return the mean (N, C) of the networks of several folds (F, N, C); (N, C) is returned unchanged."""
    return probabilities if probabilities.ndim == 2 else probabilities.mean(axis=0)


def fit_rules(
    rules: Sequence[DecisionRule], given: Probabilities, truth: Mapping[str, Ints], persons: ArrayLike
) -> dict[DecisionRule, FittedRule]:
    """Fit rules on the probabilities, true classes (N,) and persons (N,) of held-out images."""
    codes = person_codes(persons)
    people = int(codes.max()) + 1

    # Rules share their temperatures and thresholds: fit each once.
    @cache
    def temperatures(calibrated: bool) -> dict[str, float]:
        if not calibrated:
            return dict.fromkeys(SPECIALISTS, 1.0)
        fitted = {task: fit_temperature(given[task], truth[task], people) for task in ("mask", "gender")}
        return {**fitted, "age": fit_temperature(given["age"], truth["age"], people, bands_of)}

    @cache
    def thresholds(calibrated: bool, tuned: bool) -> Thresholds:
        if not tuned:
            return FIXED
        return fit_thresholds(temper(given["age"], temperatures(calibrated)["age"]), truth["age"], codes)

    def fit(rule: DecisionRule) -> FittedRule:
        fitted = FittedRule(temperatures(rule.calibrated), thresholds(rule.calibrated, rule.thresholds), None)
        if not rule.f1:
            return fitted
        joint = joint_probabilities(*fitted.tempered(given).values())
        return replace(fitted, class_rule=fit_class_rule(joint, people))

    return {rule: fit(rule) for rule in rules}
