"""Distributions over years: quantiles, bands, and intervals that hold the age of four persons in five."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_predictions import held_out_predictions

from shared.fusion.age_intervals import AgeIntervals, learn_intervals
from shared.fusion.ages import age_error, median_age
from shared.fusion.predictions import HeldOut
from shared.labels import age_band

YEARS = np.arange(101)


def told(held_out: HeldOut, ages: np.ndarray, top_code: int | None = None) -> HeldOut:
    """Held-out answers whose file tells these true ages (N,), the oldest of them top-coded."""
    coded = np.zeros(len(ages)) if top_code is None else (ages >= top_code).astype(float)
    known = ages if top_code is None else np.minimum(ages, top_code)
    age = held_out.predictions["age"].assign(true_age=known, top_coded=coded)
    return replace(held_out, predictions={**held_out.predictions, "age": age})


def true_ages(held_out: HeldOut, off: float = 0.0, noise: float = 6.0, seed: int = 1) -> np.ndarray:
    """One age for each person, that far from what is answered for the first image."""
    people = (
        pd.Series(held_out.predictions["age"]["age"].to_numpy()).groupby(held_out.persons.to_numpy()).transform("first")
    )
    numbers = np.unique(held_out.persons, return_inverse=True)[1]
    drawn = np.random.default_rng(seed).normal(off, noise, numbers.max() + 1)
    return (people.to_numpy() + drawn[numbers]).round().clip(0, 100)


def held_out(persons: int = 300, sharpness: float = 1.0) -> HeldOut:
    return held_out_predictions(persons, doubt=0.2, sharpness=sharpness)


@pytest.mark.parametrize(("off", "sharpness"), [(0.0, 1.0), (0.0, 6.0), (7.0, 1.0), (-7.0, 0.3)])
def test_about_four_in_five_unseen_persons_are_within(off: float, sharpness: float) -> None:
    answers = held_out(sharpness=sharpness)
    learnt = learn_intervals(told(answers, true_ages(answers, off)), temperature=1.0)
    others = held_out_predictions(400, seed=9, doubt=0.2, sharpness=sharpness)
    ages = true_ages(others, off, seed=10)
    low, high = learnt.ends(others.predictions["age"][[f"year_{year}" for year in YEARS]].to_numpy())
    share = ((low <= ages) & (ages <= high)).mean()
    assert 0.74 < share < 0.9
    assert learnt.coverage is not None
    assert learnt.coverage.share == pytest.approx(share, abs=0.08)
    assert learnt.coverage.low < learnt.coverage.share < learnt.coverage.high
    assert learnt.coverage.persons == 300


def test_a_top_coded_label_counts_as_held_where_the_interval_reaches_it() -> None:
    answers = held_out()
    ages = true_ages(answers)
    learnt = learn_intervals(told(answers, ages, top_code=60), temperature=1.0)
    assert learnt.top_code == 60
    assert learnt.coverage is not None
    persons = pd.Series(ages >= 60).groupby(answers.persons.to_numpy()).first()
    assert learnt.coverage.top_coded == pytest.approx(persons.mean())
    assert learnt.coverage.share > 0.74


def test_persons_count_not_images() -> None:
    answers = held_out(60)
    ages = true_ages(answers)
    # One person, far off, on as many images as all others together, must not widen everybody's interval.
    first = (answers.persons == answers.persons.iloc[0]).to_numpy()
    many = np.concatenate([np.arange(len(ages)), np.tile(np.flatnonzero(first), len(ages) // 7)])
    ages[first] = 100
    images = pd.Index([f"{number}.jpg" for number in range(len(many))], name="image")
    heavy = HeldOut(
        {task: table.iloc[many].set_axis(images) for task, table in answers.predictions.items()},
        {task: truth[many] for task, truth in answers.truth.items()},
        answers.persons.iloc[many].set_axis(images),
        answers.folds.iloc[many].set_axis(images),
    )
    once = learn_intervals(told(answers, ages), temperature=1.0)
    often = learn_intervals(told(heavy, ages[many]), temperature=1.0)
    assert often.above == pytest.approx(once.above, abs=1e-6)


def test_where_ages_are_not_told_the_quantiles_stay_as_they_are() -> None:
    assert learn_intervals(held_out(12), temperature=1.0) == AgeIntervals()


def lower_ends(coded: bool, seed: int = 0) -> tuple[AgeIntervals, np.ndarray, np.ndarray]:
    """Intervals learned on ages of which some are 60 or more, coded or not; their lower ends for others; those ages."""
    answers, others = held_out_predictions(600, seed, doubt=0.2), held_out_predictions(600, seed + 1, doubt=0.2)
    learned = learn_intervals(told(answers, true_ages(answers), 60 if coded else None), temperature=1.0)
    years = others.predictions["age"][[f"year_{year}" for year in YEARS]].to_numpy()
    return learned, learned.ends(years)[0], true_ages(others, seed=seed + 2)


def test_top_coded_ages_do_not_widen_the_intervals_of_everyone() -> None:
    exact, low, ages = lower_ends(coded=False)
    coded, low_coded, _ = lower_ends(coded=True)
    assert coded.below == pytest.approx(exact.below, abs=0.7)
    for ends in (low, low_coded):
        assert (ends <= ages + 0.5).mean() == pytest.approx(0.9, abs=0.02)


def test_labels_that_are_intervals_are_left_out() -> None:
    answers = told(held_out(60), true_ages(held_out(60)))
    inside = (answers.persons < "00040").to_numpy()
    age = answers.predictions["age"]
    mixed = replace(
        answers, predictions={**answers.predictions, "age": age.assign(true_age=age["true_age"].where(inside))}
    )
    assert learn_intervals(mixed, temperature=1.0) == learn_intervals(answers.part(inside), temperature=1.0)


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
