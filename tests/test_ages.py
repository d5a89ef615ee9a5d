"""Quantiles, medians and bands of distributions over years."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.fusion.ages import age_error, median_age
from shared.labels import age_band

YEARS = np.arange(101)


def distribution(**shares: float) -> np.ndarray:
    """A distribution of one image, (1, 101): `y20=0.5` puts a half on 20 years."""
    years = np.zeros((1, 101))
    for name, share in shares.items():
        years[0, int(name.removeprefix("y"))] = share
    return years


@given(st.lists(st.floats(0.001, 1), min_size=101, max_size=101))
def test_no_whole_year_has_a_smaller_expected_error_than_the_median(weights: list[float]) -> None:
    years = np.array([weights]) / np.sum(weights)
    expected = [(years[0] * np.abs(YEARS - year)).sum() for year in YEARS]
    assert (years[0] * np.abs(YEARS - int(median_age(years)[0]))).sum() <= min(expected) + 1e-9


def test_a_fractional_age_is_of_the_year_and_the_band_that_it_is_in() -> None:
    assert age_band(29.6) == 0
    assert age_error([29.5], [29.6]).tolist() == [0]
    assert median_age(distribution(y29=1.0)) < 30 < median_age(distribution(y30=1.0))
