"""Temperatures: probabilities made to mean what they say, by one number per specialist.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. A temperature above 1 takes confidence back, one
below adds some; which class is most probable stays the same (but for age, where years and not bands are tempered).
"""

from collections.abc import Callable

import numpy as np

from shared.fusion.metrics import Floats, Ints

RANGE = (0.2, 5.0)
"""Temperatures beyond that are not looked for."""

_CAUTION = 3.0
"""Against fitting few persons too well: squared logarithm of T, counted like the loss of so many persons."""

_LEAST = 1e-7
"""Files hold seven digits; a probability of 0 there is one below that."""


def temper(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities (N, C) whose logarithms are divided by the temperature, summing to one again."""
    return _softmax(_logs(probabilities) / temperature)


def _logs(probabilities: Floats) -> Floats:
    """Logarithms (N, C), of which the largest of each row is 0."""
    logs: Floats = np.log(np.maximum(probabilities, _LEAST))
    return logs - logs.max(axis=1, keepdims=True)


def _softmax(logs: Floats) -> Floats:
    powers: Floats = np.exp(logs)
    return powers / powers.sum(axis=1, keepdims=True)


def negative_log_likelihood(probabilities: Floats, truth: Ints) -> float:
    """Mean over images, in nats, of probabilities (N, C) and right classes (N,)."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], _LEAST)).mean())


def fit_temperature(
    probabilities: Floats, truth: Ints, persons: int, classes: Callable[[Floats], Floats] = lambda tempered: tempered
) -> float:
    """The temperature of the least negative log-likelihood, held near 1 where there are few persons.

    `classes` makes class probabilities of tempered ones: what is tempered need not be what is right or wrong.
    """

    logs = _logs(probabilities)

    def loss(log_temperature: float) -> float:
        tempered = classes(_softmax(logs / np.exp(log_temperature)))
        return negative_log_likelihood(tempered, truth) + _CAUTION * log_temperature**2 / persons

    return float(np.exp(_golden_section(loss, *np.log(RANGE))))


def _golden_section(function: Callable[[float], float], low: float, high: float, tolerance: float = 1e-2) -> float:
    """Where a function with one valley between two ends is least."""
    ratio = (np.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > tolerance:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2


def calibration_error(probabilities: Floats, truth: Ints, bins: int = 15) -> float:
    """Expected calibration error, 0-1: mean distance of confidence from accuracy over bins of equal width.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015, on the most probable
    class as in Guo et al. 2017. Takes probabilities (N, C) and right classes (N,).
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    places = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(places, confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))
