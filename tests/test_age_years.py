"""Targets and loss of the distribution over years, by hand and by plain calculation."""

import numpy as np
import pandas as pd
import pytest
import torch

from pipelines.age.years import (
    OPEN,
    SPREAD,
    YEARS,
    age_loss,
    age_targets,
    describe_labels,
    find_top_code,
    known_ages,
    mean_absolute_error,
)


def ages(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"age": values})


def certain_of(year: int) -> torch.Tensor:
    logits = torch.full((1, YEARS), -40.0)
    logits[0, year] = 0.0
    return logits


YOUNGER = np.repeat(np.arange(18, 60), 20)
DECADES = np.repeat([20, 30, 40, 50, 60, 70, 80], [90, 80, 70, 60, 50, 40, 35])


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (np.concatenate([YOUNGER, [60] * 192]), 60),
        (np.concatenate([YOUNGER, [60] * 192, [61]]), 60),
        (np.concatenate([YOUNGER, [60] * 192, [64, 71, 71]]), 60),
        (np.concatenate([np.repeat(np.arange(20, 70), 5), [74]]), None),
        (np.concatenate([YOUNGER, DECADES]), None),
        (DECADES, None),
        (np.concatenate([DECADES[DECADES < 60], [60] * 125]), 60),
        (np.concatenate([YOUNGER, [60.5] * 192]), 60),
        (np.array([30]), None),
    ],
    ids=["heap", "one above", "three above", "thin out", "round ages", "decades", "coded decades", "half years", "one"],
)
def test_a_top_code_is_a_heap_above_which_hardly_anyone_is(labels: np.ndarray, code: int | None) -> None:
    assert find_top_code(labels) == code


def test_a_line_says_what_labels_were_taken_for() -> None:
    table = pd.DataFrame({"age": np.concatenate([YOUNGER, [60] * 192])})
    assert describe_labels(table) == 'age labels: 60 stands for "60 or older" (192 of 1032 images)'
    assert "none stands for itself or older" in describe_labels(table[:800])


@pytest.mark.parametrize("whole", [29, 59, 40])
def test_a_fractional_age_is_learned_as_the_year_that_it_is_in(whole: int) -> None:
    whole_year, fraction = (age_targets(ages(value, 20)) for value in (whole, whole + 0.6))
    np.testing.assert_array_equal(whole_year, fraction)
    assert known_ages(ages(whole + 0.6))["true_age"].tolist() == [whole]


def test_the_images_of_one_oldest_person_are_no_heap() -> None:
    persons = pd.DataFrame({"person": [f"p{number}" for number in range(30)], "age": [*range(20, 49), 78]})
    assert (age_targets(persons.loc[persons.index.repeat(7)])[:, 1] == OPEN).sum() == 0


def test_a_heap_of_persons_is_found_however_many_images_each_has() -> None:
    persons = pd.DataFrame({"person": [f"p{number}" for number in range(30)], "age": [*range(20, 45), *[60] * 5]})
    assert (age_targets(persons.loc[persons.index.repeat(7)])[:, 1] == OPEN).sum() == 5 * 7


@pytest.mark.parametrize(("end", "exact"), [(0.0, 1.0), (OPEN, 0.0)])
def test_an_age_beyond_the_last_year_is_taken_for_that_year(end: float, exact: float) -> None:
    beyond, last = (
        age_loss(certain_of(YEARS - 1), torch.tensor([[age, end or age, exact]])).item() for age in (105.0, 100.0)
    )
    assert beyond == pytest.approx(last)


def test_an_uncensored_label_is_best_met_by_its_own_spread_and_pulls_from_both_sides() -> None:
    target = torch.tensor([[40.0, 40.0, 1.0]])
    years = torch.arange(YEARS, dtype=torch.float32)
    ideal = -((years - 40) ** 2)[None] / (2 * SPREAD**2)
    best = age_loss(ideal, target).item()
    # The cross-entropy of a normal distribution with itself: its entropy, ln(s * sqrt(2 pi e)).
    assert best == pytest.approx(np.log(SPREAD * np.sqrt(2 * np.pi * np.e)), abs=1e-3)
    for shift in (-3, 3):
        assert age_loss(ideal.roll(shift, dims=1), target).item() > best


def test_the_loss_agrees_with_a_plain_calculation() -> None:
    labels = [(20, 20), (33, 33), (60, 120), (60, 60), (20, 29), (0, 120), (50, 51), (75, 75)]
    logits = np.random.default_rng(0).normal(size=(len(labels), YEARS))
    losses = []
    for row, (low, high) in zip(logits, labels, strict=True):
        p = np.exp(row) / np.exp(row).sum()
        if low == high:
            q = [np.exp(-0.5 * ((year - low) / SPREAD) ** 2) for year in range(YEARS)]
            loss = -sum(share / sum(q) * np.log(p[year]) for year, share in enumerate(q))
        else:
            loss = -np.log(sum(p[year] for year in range(YEARS) if low <= year <= high))
        losses.append(loss)
    targets = torch.tensor([(low, high, low == high) for low, high in labels], dtype=torch.float64)
    assert age_loss(torch.tensor(logits), targets).item() == pytest.approx(np.mean(losses))


def test_labels_may_be_intervals() -> None:
    table = pd.DataFrame({"age": [34, 24.5, 60], "age_low": [34, 20, 60], "age_high": [34, 29, 120]})
    assert age_targets(table, "none").tolist() == [[34, 34, 1], [20, 29, 0], [60, 120, 0]]
    known = known_ages(table, "none")
    np.testing.assert_array_equal(known["true_age"], [34, np.nan, 60])
    assert known["top_coded"].tolist() == [0, 0, 1]
    assert describe_labels(table, "none").endswith("(1 of 3 images); 1 images have intervals")
    predictions = pd.DataFrame({"age": [35.5, 80.0, 58.0], "top_coded": known["top_coded"]})
    assert mean_absolute_error(predictions, table) == {"mae_years": pytest.approx((1 + 2) / 2)}
