"""Temperatures, age thresholds and class weights, on probabilities of known faults and against scikit-learn."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_predictions import held_out_predictions

from shared.fusion.ages import FIXED, Thresholds, band_masses
from shared.fusion.metrics import macro_f1, person_codes
from shared.fusion.predictions import HeldOut
from shared.fusion.rules import (
    calibration_error,
    expected_f1,
    fit_class_rule,
    fit_temperature,
    fit_thresholds,
    probabilities,
    temper,
)
from shared.labels import BANDS

MANY = 10**9
"""Persons enough for what is learned to be used without caution."""


def calibrated(count: int, seed: int = 0, alpha: tuple[float, ...] = (0.7, 0.7, 0.7)) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C), and classes drawn from them."""
    random = np.random.default_rng(seed)
    drawn = random.dirichlet(alpha, count)
    return drawn, (drawn.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)


def rare_class(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The last of three classes is rare, and never the most likely one by far."""
    return calibrated(count, seed, (4, 3, 0.5))


@given(st.integers(0, 1000), st.floats(0.3, 4))
def test_tempered_probabilities_are_those_of_divided_logits(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (6, 4))
    plain, divided = (np.exp(part) / np.exp(part).sum(axis=1, keepdims=True) for part in (logits, logits / temperature))
    np.testing.assert_allclose(temper(plain, temperature), divided, rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_that_was_put_in_is_found_again(temperature: float) -> None:
    given_, truth = calibrated(20_000)
    assert fit_temperature(temper(given_, 1 / temperature), truth, 20_000) == pytest.approx(temperature, rel=0.05)


def test_few_persons_who_were_all_predicted_correctly_do_not_make_probabilities_certain() -> None:
    given_ = np.array([[0.8, 0.2]] * 12)
    assert 0.6 < fit_temperature(given_, np.zeros(12, np.int64), 12) < 1
    assert fit_temperature(given_, np.zeros(12, np.int64), 10**6) < 0.3


def test_what_is_tempered_may_be_finer_than_the_classes() -> None:
    given_, _ = calibrated(5_000)
    truth = (given_[:, 2] > np.random.default_rng(0).random(5_000)).astype(np.int64)
    found = fit_temperature(temper(given_, 0.5), truth, 5_000, lambda p: np.stack([p[:, 0] + p[:, 1], p[:, 2]], axis=1))
    assert found == pytest.approx(2, rel=0.1)


def test_the_calibration_error_by_hand() -> None:
    # In the bin of .8 three of four are correct: off by .05. In that of .6 none of one: off by .6.
    given_ = np.array([[0.8, 0.2]] * 4 + [[0.4, 0.6]])
    assert calibration_error(given_, np.array([0, 0, 0, 1, 0]), 10) == pytest.approx((4 * 0.05 + 0.6) / 5)
    assert calibration_error(np.eye(3), np.arange(3)) == 0
    given_, truth = calibrated(20_000)
    assert calibration_error(given_, truth) < 0.01 < 0.1 < calibration_error(temper(given_, 0.4), truth)


def years_of(held_out: HeldOut) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distributions (N, 101), true bands and person codes (N,)."""
    return probabilities(held_out.predictions)["age"], held_out.truth["age"], person_codes(held_out.persons)


def score(years: np.ndarray, truth: np.ndarray, thresholds: Thresholds) -> float:
    return macro_f1(truth, band_masses(years, thresholds).argmax(axis=1), len(BANDS))


def test_thresholds_find_the_years_by_which_the_old_are_taken_for_younger() -> None:
    years, truth, persons = years_of(held_out_predictions(150, doubt=0.2, years_off=5))
    found = fit_thresholds(years, truth, persons)
    assert found.low == pytest.approx(30, abs=1.5)
    assert found.high == pytest.approx(55.5, abs=2)
    assert score(years, truth, found) > score(years, truth, FIXED) + 0.02


def test_few_persons_do_not_move_the_thresholds_far() -> None:
    for seed in range(5):
        found = fit_thresholds(*years_of(held_out_predictions(6, seed, doubt=0.5, folds=2)))
        assert abs(found.low - 30) + abs(found.high - 60) <= 3


@given(st.integers(0, 200))
def test_no_other_predictions_are_much_better_than_those_of_the_class_rule(seed: int) -> None:
    joint = np.random.default_rng(seed).dirichlet([1.5, 1, 0.5], 7)
    best = max(expected_f1(joint, np.array(each))[0].mean() for each in product(range(3), repeat=7))
    found = expected_f1(joint, fit_class_rule(joint, MANY).predict(joint))[0].mean()
    assert best - 0.05 <= found <= best
    assert found >= expected_f1(joint, joint.argmax(axis=1))[0].mean() - 1e-12


def test_a_rare_class_is_predicted_more_often_and_macro_f1_gains_on_other_images() -> None:
    learned_on, _ = rare_class(2_000, seed=0)
    joint, truth = rare_class(20_000, seed=1)
    predicted = fit_class_rule(learned_on, MANY).predict(joint)
    assert (predicted == 2).sum() > (joint.argmax(axis=1) == 2).sum()
    assert macro_f1(truth, predicted, 3) > macro_f1(truth, joint.argmax(axis=1), 3) + 0.02


def test_few_persons_leave_predictions_near_the_most_probable_class() -> None:
    joint, _ = rare_class(500)
    changed = [(fit_class_rule(joint, persons).predict(joint) != joint.argmax(axis=1)).mean() for persons in (3, MANY)]
    assert 0 <= changed[0] < changed[1] / 2
