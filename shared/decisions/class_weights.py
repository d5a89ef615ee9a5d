"""Which class to answer when macro F1 counts: weights that lift rare classes, and a price for answering in vain.

F1 of class c is 2 h / (s + a): h answered right, s of the class in truth, a answered so. One more picture with
probability p of c changes it by about (2 p - F1) / (s + a). So the best answers are argmax of w_c p_c - o_c with
w_c = 2 / (s_c + a_c) and o_c = F1_c / (s_c + a_c), in which a and F1 are those of these very answers: a fixed point.
That the optimum has this form: Narasimhan et al., "Consistent Multiclass Algorithms for Complex Performance Measures",
ICML 2015. Expected counts stand for true ones: sums of calibrated probabilities vary less than counts of few persons.
"""

from typing import NamedTuple

import numpy as np

from shared.arrays import Floats, Ints

_CAUTION = 30.0
"""With so many persons half of what was learnt is used, with many all of it (on the scale of log-weights)."""

_ROUNDS = 60
_STRIDE = 0.3
"""How far each round goes towards the new weights: a full step would swing to and fro."""


class ClassRule(NamedTuple):
    """Answer the class of the largest `weights * probability - offsets`, (C,) each."""

    weights: Floats
    offsets: Floats

    def answers(self, joint: Floats) -> Ints:
        """The classes (N,) to answer for probabilities (N, C); the first of equals."""
        chosen: Ints = (joint * self.weights - self.offsets).argmax(axis=1)
        return chosen


def fit_class_rule(joint: Floats, persons: int) -> ClassRule:
    """The rule of the largest expected macro F1 on calibrated probabilities (N, C), held near argmax for few persons.

    Truth is not asked for: probabilities that mean what they say tell how often each class is to be expected.
    """
    rule = _best_rule(joint)
    return _shrunk(rule, persons / (persons + _CAUTION))


def expected_macro_f1(joint: Floats, answers: Ints) -> float:
    """Macro F1 of expected counts: of hits, and of pictures of each class, as probabilities (N, C) have them."""
    return float(_expected_f1(joint, answers)[0].mean())


def _best_rule(joint: Floats) -> ClassRule:
    classes = joint.shape[1]
    rule = best = ClassRule(np.ones(classes), np.zeros(classes))
    top = -1.0
    for _ in range(_ROUNDS):
        f1, whole = _expected_f1(joint, rule.answers(joint))
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
    """F1 of each class (C,), and its denominator: expected pictures of the class and those answered so."""
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
