from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fusion.metrics import macro_f1
from shared.fusion.rules import expected_macro_f1, fit_class_rule

MANY = 10**9
"""Persons enough for the rule to be used as it is."""


def rare_class(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 3) that are meant as they are said, the last class rare and never likely; classes drawn so."""
    random = np.random.default_rng(seed)
    joint = random.dirichlet([4, 3, 0.5], count)
    return joint, (joint.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)


@given(st.integers(0, 200))
def test_no_other_answers_are_much_better_than_those_of_the_rule(seed: int) -> None:
    joint = np.random.default_rng(seed).dirichlet([1.5, 1, 0.5], 7)
    best = max(expected_macro_f1(joint, np.array(answers)) for answers in product(range(3), repeat=7))
    found = expected_macro_f1(joint, fit_class_rule(joint, MANY).predict(joint))
    assert best - 0.05 <= found <= best


@given(st.integers(0, 500))
def test_the_rule_expects_no_less_than_the_most_probable_class_does(seed: int) -> None:
    joint = np.random.default_rng(seed).dirichlet(np.full(18, 0.3), 60)
    rule = fit_class_rule(joint, MANY)
    assert expected_macro_f1(joint, rule.predict(joint)) >= expected_macro_f1(joint, joint.argmax(axis=1)) - 1e-12


def test_the_expected_macro_f1_of_certain_probabilities_is_the_macro_f1() -> None:
    random = np.random.default_rng(0)
    truth, answers = random.integers(0, 4, (2, 200))
    assert expected_macro_f1(np.eye(4)[truth], answers) == pytest.approx(macro_f1(truth, answers, 4))


def test_a_rare_class_is_answered_more_often_and_macro_f1_gains_on_other_images() -> None:
    learnt_on, _ = rare_class(2_000, seed=0)
    joint, truth = rare_class(20_000, seed=1)
    answers = fit_class_rule(learnt_on, MANY).predict(joint)
    assert (answers == 2).sum() > (joint.argmax(axis=1) == 2).sum()
    assert macro_f1(truth, answers, 3) > macro_f1(truth, joint.argmax(axis=1), 3) + 0.02


def test_few_persons_leave_the_answers_near_the_most_probable() -> None:
    joint, _ = rare_class(500)
    changed = [(fit_class_rule(joint, persons).predict(joint) != joint.argmax(axis=1)).mean() for persons in (3, MANY)]
    assert 0 <= changed[0] < changed[1] / 2


def test_a_class_that_nobody_can_be_of_is_never_answered() -> None:
    joint, _ = rare_class(200)
    padded = np.column_stack([joint, np.zeros(len(joint))])
    assert 3 not in fit_class_rule(padded, MANY).predict(padded)
