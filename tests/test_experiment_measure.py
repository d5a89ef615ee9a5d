"""Differences and their intervals, against scikit-learn on every draw and against a simulation of unlucky seeds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, mean_absolute_error

from pipelines.age.specialist import AGE
from pipelines.age.years import YEARS
from pipelines.gender.specialist import GENDER
from shared.experiments import measure
from shared.experiments.measure import Measured, compare
from shared.fusion.metrics import draw_persons
from shared.labels import age_band
from shared.messages import UserError

PEOPLE, IMAGES = 14, 3
CLASSES = list(AGE.classes)
FEW = 100
"""Draws of a bootstrap where its precision does not matter."""


def measured(seeds: Sequence[int], error: float) -> Measured:
    """Ages of 14 persons, three images each, predicted with normal errors, once per seed."""
    ages = np.repeat(np.random.default_rng(0).integers(18, 75, PEOPLE), IMAGES).astype(float)
    names = [f"p{number // IMAGES}" for number in range(len(ages))]
    images = pd.Index([f"{name}/{number}.jpg" for number, name in enumerate(names)], name="image")
    known = pd.DataFrame({"person": names, "truth": [age_band(age) for age in ages]}, index=images)
    tables = []
    for seed in seeds:
        guesses = (ages + np.random.default_rng(seed).normal(0, error, len(ages))).clip(0, YEARS - 1).round()
        tables.append(known.join(AGE.columns(np.eye(YEARS)[guesses.astype(int)]).set_index(images)))
    return Measured(AGE, tables, pd.DataFrame({"age": ages}, index=images), 1.0)


def test_scores_of_each_seed_are_those_of_scikit_learn() -> None:
    both = measured((1, 2), 9)
    for table, scores in zip(both.predictions, both.scores().itertuples(), strict=True):
        chosen = table[CLASSES].to_numpy().argmax(1)
        assert scores.macro_f1 == pytest.approx(f1_score(table["truth"], chosen, average="macro"))
        assert scores.mae_years == pytest.approx(mean_absolute_error(both.labels["age"] + 0.5, table["age"]))


def test_intervals_are_quantiles_over_draws_of_whole_persons_and_of_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    few = draw_persons(PEOPLE, draws=120)
    monkeypatch.setattr(measure, "draw_persons", lambda *_: few)
    before, after = measured((1, 2), 9), measured((3, 4, 5), 6)
    comparison = compare(before, after, draws=120)
    seeds = measure._draw_seeds(2, 3, 120)
    assert seeds[0].shape == (120, 1)
    assert seeds[1].shape == (120, 2)
    persons = before.predictions[0]["person"].to_numpy()
    rows_of = {name: np.flatnonzero(persons == name) for name in np.unique(persons)}
    truth, ages = before.predictions[0]["truth"].to_numpy(), before.labels["age"].to_numpy()
    gains: dict[str, list[float]] = {"macro_f1": [], "mae_years": []}
    for draw, weights in enumerate(few):
        parts = [np.tile(rows, int(times)) for rows, times in zip(rows_of.values(), weights, strict=True)]
        rows = np.concatenate(parts).astype(int)
        f1, years = [], []
        for each, drawn in zip((before, after), seeds, strict=True):
            tables = [each.predictions[seed] for seed in drawn[draw]]
            chosen = [table[CLASSES].to_numpy().argmax(1)[rows] for table in tables]
            macro = [f1_score(truth[rows], one, labels=range(3), average="macro", zero_division=0) for one in chosen]
            f1.append(np.mean(macro))
            years.append(
                np.mean([mean_absolute_error(ages[rows] + 0.5, table["age"].to_numpy()[rows]) for table in tables])
            )
        gains["macro_f1"].append(f1[1] - f1[0])
        gains["mae_years"].append(years[1] - years[0])
    for name, drawn in gains.items():
        ends = np.quantile(drawn, [0.025, 0.975])
        assert comparison.gains[name][1:] == pytest.approx(ends, abs=1e-9)
    assert comparison.gains["mae_years"].value < 0


def test_intervals_cover_no_difference_although_trainings_are_lucky_or_not() -> None:
    """Two variants with the same distribution of accuracies, .6 to .9 by the luck of a training.

    Intervals over persons alone call most of these differences significant; those over persons and seeds should call
    few of them so.
    """
    random = np.random.default_rng(0)
    truth = np.tile([0, 1], 150)
    images = pd.Index([str(number) for number in range(len(truth))], name="image")

    def lucky(seeds: int) -> Measured:
        tables = []
        for _ in range(seeds):
            correct = random.random(len(truth)) < random.uniform(0.6, 0.9)
            male = np.where(correct, truth == 0, truth == 1).astype(float)
            columns = {"person": images, "truth": truth, "male": male, "female": 1 - male}
            tables.append(pd.DataFrame(columns, index=images))
        return Measured(GENDER, tables, pd.DataFrame({"gender": truth}, index=images), 1.0)

    def significant(seeds: int) -> float:
        intervals = [compare(lucky(seeds), lucky(seeds), draws=200).gains["macro_f1"] for _ in range(60)]
        return float(np.mean([interval.low > 0 or interval.high < 0 for interval in intervals]))

    assert significant(1) > 0.35
    assert significant(4) < 0.2


def test_the_luck_of_training_cancels_where_the_networks_are_the_same() -> None:
    before = measured((1, 2), 9)
    older = [table.assign(age=table["age"] + 1) for table in before.predictions]
    after = replace(before, predictions=older, labels=before.labels - 100)
    before = replace(before, labels=after.labels)
    # With labels below every prediction, each error grows by one year, whichever persons and seeds are drawn.
    assert compare(before, after, same_networks=True, draws=FEW).gains["mae_years"] == pytest.approx((1, 1, 1))
    unpaired = compare(before, after, draws=FEW).gains["mae_years"]
    assert unpaired.low < 1 < unpaired.high


def test_a_change_is_compared_on_the_images_that_both_hold_out() -> None:
    before, after = measured((1,), 9), measured((2,), 6)
    fewer = after.on(after.images[::-1][: 9 * IMAGES])
    pd.testing.assert_frame_equal(compare(before, fewer, draws=FEW).scores, fewer.scores())
    with pytest.raises(UserError, match="no image that the baseline does"):
        compare(before.on(before.images[:9]), after.on(after.images[9:]))


def test_images_whose_labels_differ_are_left_out() -> None:
    before, after = measured((1,), 9), measured((2,), 6)
    labels, table = after.labels.copy(), after.predictions[0].copy()
    labels.iloc[:IMAGES, 0] += 1
    table.iloc[-1, 1] = (table["truth"].iloc[-1] + 1) % 3
    comparison = compare(before, replace(after, predictions=[table], labels=labels), draws=FEW)
    assert comparison.gains == compare(before, after.on(after.images[IMAGES:-1]), draws=FEW).gains
    assert comparison.images == len(table) - IMAGES - 1
