import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from shared.fusion.rules import calibration_error, fit_temperature, negative_log_likelihood, temper


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 3) that are meant as they are said, and classes drawn by them."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([0.7, 0.7, 0.7], count)
    return probabilities, (probabilities.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)


@given(st.integers(0, 1000), st.floats(0.3, 4))
def test_tempered_probabilities_are_those_of_divided_logits(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (6, 4))
    plain, divided = (np.exp(part) / np.exp(part).sum(axis=1, keepdims=True) for part in (logits, logits / temperature))
    np.testing.assert_allclose(temper(plain, temperature), divided, rtol=1e-4)
    np.testing.assert_array_equal(temper(plain, temperature).argmax(axis=1), plain.argmax(axis=1))


def test_certainty_survives_tempering() -> None:
    np.testing.assert_allclose(temper(np.array([[1.0, 0.0, 0.0]]), 1.0), [[1, 0, 0]], atol=1e-6)
    assert temper(np.array([[1.0, 0.0]]), 2.0)[0, 0] == pytest.approx(1, abs=1e-3)


def test_the_likelihood_is_that_of_scikit_learn() -> None:
    probabilities, truth = drawn(50)
    assert negative_log_likelihood(probabilities, truth) == pytest.approx(log_loss(truth, probabilities))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_that_was_put_in_is_found_again(temperature: float) -> None:
    probabilities, truth = drawn(20_000)
    found = fit_temperature(temper(probabilities, 1 / temperature), truth, 20_000)
    assert found == pytest.approx(temperature, rel=0.05)


def test_the_temperature_found_is_better_than_any_of_a_grid() -> None:
    probabilities, truth = drawn(300)
    sure = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    found = negative_log_likelihood(temper(sure, fit_temperature(sure, truth, 10**9)), truth)
    assert found <= min(negative_log_likelihood(temper(sure, t), truth) for t in np.geomspace(0.2, 5, 60)) + 1e-6


def test_few_persons_who_were_all_answered_right_do_not_make_probabilities_certain() -> None:
    probabilities = np.array([[0.8, 0.2]] * 12)
    assert 0.6 < fit_temperature(probabilities, np.zeros(12, np.int64), 12) < 1
    assert fit_temperature(probabilities, np.zeros(12, np.int64), 10**6) < 0.3


def test_what_is_tempered_may_be_finer_than_what_is_right() -> None:
    probabilities, _ = drawn(5_000)
    truth = (probabilities[:, 2] > np.random.default_rng(0).random(5_000)).astype(np.int64)
    sure = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    found = fit_temperature(sure, truth, 5_000, lambda p: np.stack([p[:, 0] + p[:, 1], p[:, 2]], axis=1))
    assert found == pytest.approx(2, rel=0.1)


def test_the_calibration_error_by_hand() -> None:
    # In the bin of .8 three of four are right: off by .05. In that of .6 none of one: off by .6.
    probabilities = np.array([[0.8, 0.2]] * 4 + [[0.4, 0.6]])
    truth = np.array([0, 0, 0, 1, 0])
    assert calibration_error(probabilities, truth, 10) == pytest.approx((4 * 0.05 + 0.6) / 5)


def test_certain_and_right_is_no_error() -> None:
    assert calibration_error(np.eye(3), np.arange(3)) == 0


def test_probabilities_that_are_meant_as_they_are_said_have_little_error() -> None:
    probabilities, truth = drawn(20_000)
    assert calibration_error(probabilities, truth) < 0.01
    assert calibration_error(temper(probabilities, 0.4), truth) > 0.1
