import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_predictions import held_out_predictions

from shared.fusion.ages import FIXED, Thresholds, band_masses
from shared.fusion.metrics import macro_f1, person_codes
from shared.fusion.predictions import HeldOut
from shared.fusion.rules import GRID, fit_thresholds, probabilities, threshold_intervals
from shared.labels import BANDS


def years_of(held_out: HeldOut) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distributions (N, 101), right bands and numbered persons (N,)."""
    return probabilities(held_out.predictions)["age"], held_out.truth["age"], person_codes(held_out.persons)


def score(years: np.ndarray, truth: np.ndarray, thresholds: Thresholds) -> float:
    return macro_f1(truth, band_masses(years, thresholds).argmax(axis=1), len(BANDS))


@given(st.integers(0, 1000), st.integers(1, 49), st.integers(51, 100))
def test_whole_years_cut_a_distribution_as_a_sum_does(seed: int, low: int, high: int) -> None:
    years = np.random.default_rng(seed).dirichlet(np.ones(101), 4)
    expected = np.stack([part.sum(axis=1) for part in np.split(years, (low, high), axis=1)], axis=1)
    np.testing.assert_allclose(band_masses(years, Thresholds(low, high)), expected, atol=1e-12)


def test_a_fractional_threshold_cuts_its_year() -> None:
    years = np.zeros((1, 101))
    years[0, [20, 30, 70]] = 0.5, 0.4, 0.1
    np.testing.assert_allclose(band_masses(years, Thresholds(30.25, 60)), [[0.5 + 0.1, 0.3, 0.1]])


def test_the_labels_own_edges_are_among_what_is_tried() -> None:
    assert tuple(FIXED) in set(map(tuple, GRID))


def test_thresholds_find_the_years_by_which_the_old_are_taken_for_younger() -> None:
    years, truth, persons = years_of(held_out_predictions(150, doubt=0.2, years_off=5))
    found = fit_thresholds(years, truth, persons)
    assert found.low == pytest.approx(30, abs=1.5)
    assert found.high == pytest.approx(55.5, abs=2)
    assert score(years, truth, found) > score(years, truth, FIXED) + 0.02
    low, high = threshold_intervals(years, truth, persons)
    assert low.high <= found.high <= high.high < 60


def test_thresholds_of_many_persons_are_nearly_the_best_of_the_whole_grid() -> None:
    years, truth, persons = years_of(held_out_predictions(150, doubt=0.3, years_off=4))
    best = max(score(years, truth, Thresholds(*pair)) for pair in GRID[::5])
    assert score(years, truth, fit_thresholds(years, truth, persons)) > best - 0.02


def test_few_persons_do_not_move_the_thresholds_far() -> None:
    for seed in range(5):
        found = fit_thresholds(*years_of(held_out_predictions(6, seed, doubt=0.5, folds=2)))
        assert abs(found.low - 30) + abs(found.high - 60) <= 3
