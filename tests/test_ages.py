import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fusion.ages import median_age, quantiles
from shared.fusion.fusion import average_runs

YEARS = np.arange(101)


def distribution(**shares: float) -> np.ndarray:
    """Of one image, (1, 101): `y20=0.5` puts a half on 20 years."""
    years = np.zeros((1, 101))
    for name, share in shares.items():
        years[0, int(name.removeprefix("y"))] = share
    return years


def test_a_year_that_is_certain_is_the_age() -> None:
    assert median_age(distribution(y34=1.0)).tolist() == [34]


def test_what_is_far_away_and_unlikely_does_not_move_the_age() -> None:
    near, far = distribution(y30=0.6, y40=0.4), distribution(y30=0.6, y90=0.4)
    assert median_age(near) == pytest.approx(median_age(far))


def test_quantiles_lie_within_the_year_by_how_much_of_it_they_need() -> None:
    # All within 19.5 to 20.5: a tenth of it below 19.6.
    assert quantiles(distribution(y20=1.0), (0.1, 0.5, 0.9))[:, 0] == pytest.approx([19.6, 20.0, 20.4])


@given(st.lists(st.floats(0.001, 1), min_size=101, max_size=101))
def test_no_whole_year_is_expected_to_be_fewer_years_off(weights: list[float]) -> None:
    years = np.array([weights]) / np.sum(weights)
    expected = [(years[0] * np.abs(YEARS - year)).sum() for year in YEARS]
    assert (years[0] * np.abs(YEARS - round(median_age(years)[0]))).sum() <= min(expected) + 1e-9


def test_the_age_of_averaged_runs_is_that_of_their_averaged_distribution() -> None:
    columns = [f"year_{year}" for year in YEARS]
    runs = [
        pd.DataFrame(years, columns=columns, index=["a.jpg"]).assign(age=median_age(years))
        for years in (distribution(y20=0.8, y50=0.2), distribution(y20=0.3, y30=0.5, y50=0.2))
    ]
    # 20 years has .55 together, of which the first .50 are below the age; the mean of the two medians would be 25.
    assert average_runs(runs)["age"].item() == pytest.approx(19.5 + 0.5 / 0.55)
