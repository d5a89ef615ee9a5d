"""Differences and their intervals, against scikit-learn on every draw."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, mean_absolute_error

from pipelines.age.specialist import AGE
from pipelines.age.years import YEARS
from shared.experiments.measure import Answered, compared, scores_of
from shared.fusion.metrics import draw_persons
from shared.labels import age_band
from shared.messages import UserError

PEOPLE, IMAGES = 14, 3


def answered(seed: int, error: float) -> Answered:
    """Ages of 14 persons, three images each, guessed with normal errors."""
    people = np.random.default_rng(0)
    ages = np.repeat(people.integers(18, 75, PEOPLE), IMAGES).astype(float)
    names = [f"p{number // IMAGES}" for number in range(len(ages))]
    images = pd.Index([f"{name}/{number}.jpg" for number, name in enumerate(names)], name="image")
    guesses = (ages + np.random.default_rng(seed).normal(0, error, len(ages))).clip(0, YEARS - 1).round().astype(int)
    columns = AGE.columns(np.eye(YEARS)[guesses]).set_index(images)
    known = pd.DataFrame({"person": names, "truth": [age_band(age) for age in ages]}, index=images)
    return Answered(AGE, known.join(columns), pd.DataFrame({"age": ages}, index=images), 1.0)


def test_scores_are_those_of_scikit_learn() -> None:
    one = answered(1, 9)
    chosen = one.answers[list(AGE.classes)].to_numpy().argmax(1)
    scores = scores_of(one)
    assert scores["macro_f1"] == pytest.approx(f1_score(one.answers["truth"], chosen, average="macro"))
    assert scores["mae_years"] == pytest.approx(mean_absolute_error(one.labels["age"], one.answers["age"]))


def test_intervals_are_quantiles_over_draws_of_whole_persons_that_both_sides_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = draw_persons(PEOPLE, draws=120)
    for module in ("shared.fusion.intervals", "shared.experiments.measure"):
        monkeypatch.setattr(f"{module}.draw_persons", lambda *_: few)
    before, after = answered(1, 9), answered(2, 6)
    difference = compared(before, after)
    persons = before.answers["person"].to_numpy()
    names = np.unique(persons)
    truth, ages = before.answers["truth"].to_numpy(), before.labels["age"].to_numpy()
    gains: dict[str, list[float]] = {"macro_f1": [], "mae_years": []}
    for weights in few:
        rows = np.concatenate(
            [
                np.flatnonzero(persons == name)
                for name, times in zip(names, weights, strict=True)
                for _ in range(int(times))
            ]
        )
        f1, years = [], []
        for each in (before, after):
            chosen = each.answers[list(AGE.classes)].to_numpy().argmax(1)[rows]
            f1.append(f1_score(truth[rows], chosen, labels=range(3), average="macro", zero_division=0))
            years.append(mean_absolute_error(ages[rows], each.answers["age"].to_numpy()[rows]))
        gains["macro_f1"].append(f1[1] - f1[0])
        gains["mae_years"].append(years[1] - years[0])
    for name, drawn in gains.items():
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert difference.gains[name].low == pytest.approx(low, abs=1e-9)
        assert difference.gains[name].high == pytest.approx(high, abs=1e-9)
    assert difference.gains["mae_years"].value < 0


def test_a_change_is_compared_on_the_images_that_both_answer() -> None:
    before, after = answered(1, 9), answered(2, 6)
    fewer = Answered(AGE, after.answers.iloc[::-1].iloc[: 9 * IMAGES], after.labels, 1.0)
    assert compared(before, fewer).scores == pytest.approx(scores_of(fewer))


def test_a_image_whose_label_is_in_dispute_decides_nothing() -> None:
    before, after = answered(1, 9), answered(2, 6)
    labels, truth = after.labels.copy(), after.answers["truth"].copy()
    labels.iloc[:IMAGES, 0] += 1
    truth.iloc[-1] = (truth.iloc[-1] + 1) % 3
    fixed = Answered(AGE, after.answers.assign(truth=truth), labels, 1.0)
    agreed = Answered(AGE, after.answers.iloc[IMAGES:-1], after.labels, 1.0)
    assert compared(before, fixed) == compared(before, agreed)
    assert compared(before, fixed).images == len(truth) - IMAGES - 1


def test_without_a_image_in_common_there_is_nothing_to_compare() -> None:
    before, after = answered(1, 9), answered(2, 6)
    first, others = (Answered(AGE, answers, after.labels, 1.0) for answers in (after.answers[:9], before.answers[9:]))
    with pytest.raises(UserError, match="no image that the baseline does"):
        compared(first, others)


def test_the_same_answers_differ_by_nothing() -> None:
    one = answered(1, 9)
    for gain in compared(one, one).gains.values():
        assert tuple(gain) == (0, 0, 0)
