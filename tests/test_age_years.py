"""Targets and loss of the distribution over years, by hand and by plain calculation."""

import numpy as np
import pandas as pd
import pytest
import torch

from pipelines.age.specialist import AGE
from pipelines.age.years import (
    SPREAD,
    YEARS,
    age_loss,
    censored_targets,
    describe_top_code,
    find_top_code,
    known_ages,
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
    assert describe_top_code(table) == 'age labels: 60 stands for "60 or older" (192 of 1032 images)'
    assert "none stands for itself or older" in describe_top_code(table[:800])


@pytest.mark.parametrize("whole", [29, 59, 40])
def test_a_fractional_age_is_learned_as_the_year_that_it_is_in(whole: int) -> None:
    whole_year, fraction = (censored_targets(ages(value, 20)) for value in (whole, whole + 0.6))
    np.testing.assert_array_equal(whole_year, fraction)
    assert known_ages(ages(whole + 0.6))["true_age"].tolist() == [whole]


def test_the_images_of_one_oldest_person_are_no_heap() -> None:
    persons = pd.DataFrame({"person": [f"p{number}" for number in range(30)], "age": [*range(20, 49), 78]})
    assert censored_targets(persons.loc[persons.index.repeat(7)])[:, 1].sum() == 0


def test_a_heap_of_persons_is_found_however_many_images_each_has() -> None:
    persons = pd.DataFrame({"person": [f"p{number}" for number in range(30)], "age": [*range(20, 45), *[60] * 5]})
    assert censored_targets(persons.loc[persons.index.repeat(7)])[:, 1].sum() == 5 * 7


def test_a_censored_label_asks_for_nothing_but_an_age_at_or_above_it() -> None:
    target = torch.tensor([[60.0, 1.0]])
    assert age_loss(certain_of(60), target).item() == pytest.approx(0, abs=1e-4)
    assert age_loss(certain_of(78), target).item() == pytest.approx(0, abs=1e-4)
    assert age_loss(certain_of(50), target).item() > 1


@pytest.mark.parametrize("censored", [0.0, 1.0])
def test_an_age_beyond_the_last_year_is_taken_for_that_year(censored: float) -> None:
    loss = age_loss(certain_of(YEARS - 1), torch.tensor([[105.0, censored]]))
    assert loss.item() == pytest.approx(age_loss(certain_of(YEARS - 1), torch.tensor([[100.0, censored]])).item())


def test_an_uncensored_label_is_best_met_by_its_own_spread_and_pulls_from_both_sides() -> None:
    target = torch.tensor([[40.0, 0.0]])
    years = torch.arange(YEARS, dtype=torch.float32)
    ideal = -((years - 40) ** 2)[None] / (2 * SPREAD**2)
    best = age_loss(ideal, target).item()
    # The cross-entropy of a normal distribution with itself: its entropy, ln(s * sqrt(2 pi e)).
    assert best == pytest.approx(np.log(SPREAD * np.sqrt(2 * np.pi * np.e)), abs=1e-3)
    for shift in (-3, 3):
        assert age_loss(ideal.roll(shift, dims=1), target).item() > best


def test_the_loss_agrees_with_a_plain_calculation() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, YEARS)), np.array([[20, 0], [33, 0], [60, 1], [60, 0], [75, 0]], float)
    losses = []
    for row, (age, censored) in zip(logits, labels, strict=True):
        p = np.exp(row) / np.exp(row).sum()
        mean = (p * np.arange(YEARS)).sum()
        if censored:
            losses.append(-np.log(p[int(age) :].sum()) + max(age - mean, 0) / (2 * SPREAD))
        else:
            q = np.exp(-0.5 * ((np.arange(YEARS) - age) / SPREAD) ** 2)
            losses.append(-(q / q.sum() * np.log(p)).sum() + abs(mean - age) / (2 * SPREAD))
    assert age_loss(torch.tensor(logits), torch.tensor(labels)).item() == pytest.approx(np.mean(losses))


def test_gradients_are_finite_even_where_a_censored_label_is_missed_by_far() -> None:
    logits = certain_of(3).requires_grad_()
    age_loss(logits, torch.tensor([[60.0, 1.0]])).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_the_columns_are_the_median_in_years_and_the_bands() -> None:
    distribution = np.zeros((1, YEARS))
    distribution[0, [20, 30, 70]] = 0.3, 0.4, 0.3
    columns = AGE.columns(distribution)
    assert columns["age"].item() == pytest.approx(30.5)
    assert columns[["<30", "30-59", ">=60"]].iloc[0].tolist() == pytest.approx([0.3, 0.4, 0.3])
    assert columns["year_70"].item() == 0.3
