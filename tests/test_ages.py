"""Quantiles, medians and bands of distributions over years."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fusion.ages import age_error, band_masses, median_age
from shared.labels import age_band

YEARS = np.arange(101)


def distribution(**shares: float) -> np.ndarray:
    """A distribution of one image, (1, 101): `y20=0.5` puts a half on 20 years."""
    years = np.zeros((1, 101))
    for name, share in shares.items():
        years[0, int(name.removeprefix("y"))] = share
    return years


def test_what_is_far_away_and_improbable_does_not_move_the_age() -> None:
    near, far = distribution(y30=0.6, y40=0.4), distribution(y30=0.6, y90=0.4)
    assert median_age(near) == pytest.approx(median_age(far))


@given(st.lists(st.floats(0.001, 1), min_size=101, max_size=101))
def test_no_whole_year_has_a_smaller_expected_error_than_the_median(weights: list[float]) -> None:
    years = np.array([weights]) / np.sum(weights)
    expected = [(years[0] * np.abs(YEARS - year)).sum() for year in YEARS]
    assert (years[0] * np.abs(YEARS - int(median_age(years)[0]))).sum() <= min(expected) + 1e-9


@given(st.integers(0, 1000))
def test_the_band_of_the_median_is_the_one_that_holds_half_of_the_mass(seed: int) -> None:
    years = np.random.default_rng(seed).dirichlet(np.full(101, 0.05), 50)
    for median, below in zip(median_age(years), band_masses(years).cumsum(axis=1)[:, :2], strict=True):
        assert age_band(median) == (below < 0.5).sum()


def test_a_fractional_age_is_of_the_year_and_the_band_that_it_is_in() -> None:
    assert age_band(29.6) == 0
    assert age_error([29.5], [29.6]).tolist() == [0]
    assert median_age(distribution(y29=1.0)) < 30 < median_age(distribution(y30=1.0))
