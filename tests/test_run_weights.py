"""Several runs of a specialist, each counted as held-out persons ask for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from synthetic_predictions import held_out_predictions

from shared.fusion.fusion import PRIOR_PERSONS, SPECIALISTS, average_runs, learn_weights
from shared.fusion.predictions import HeldOut, HeldOutRuns


@pytest.mark.parametrize("runs", [2, 3])
def test_weights_are_those_that_a_general_optimiser_finds(runs: int) -> None:
    random = np.random.default_rng(runs)
    chances = random.beta(np.arange(2, 2 + runs), 2, (400, runs))
    persons = 80

    def loss(logits: np.ndarray) -> float:
        weights = np.exp(logits) / np.exp(logits).sum()
        return -persons * np.log(chances @ weights).mean() - PRIOR_PERSONS * np.log(weights).sum()

    found = minimize(loss, np.zeros(runs)).x
    expected = np.exp(found) / np.exp(found).sum()
    assert learn_weights(chances, persons) == pytest.approx(expected, abs=1e-3)


def test_runs_that_say_the_same_count_alike_and_a_better_one_counts_more() -> None:
    chances = np.random.default_rng(0).uniform(0.3, 1, (300, 1)).repeat(3, axis=1)
    assert learn_weights(chances, 60) == pytest.approx([1 / 3] * 3)
    weights = learn_weights(np.column_stack([chances[:, 0], chances[:, 0] * 0.5, np.zeros(300)]), 60)
    assert weights[0] > 0.6 > 0.3 > weights[1] > weights[2] > 0
    assert weights.sum() == pytest.approx(1)


def test_few_persons_leave_weights_near_equal() -> None:
    chances = np.tile([0.9, 0.3], (700, 1))
    few, many = (learn_weights(chances, persons)[0] for persons in (3, 3000))
    assert 0.5 < few < 0.65 < 0.95 < many


def runs_of(*doubts: float, folds: int = 5) -> HeldOutRuns:
    """Runs that see the same persons through noise of their own."""
    each = [held_out_predictions(100, seed=0, doubt=doubt, folds=folds) for doubt in doubts]
    # Truth, persons and folds are drawn before the noise, so they are those of all.
    assert all((run.truth["age"] == each[0].truth["age"]).all() for run in each)
    return HeldOutRuns({task: [run.predictions[task] for run in each] for task in SPECIALISTS}, each[0])


@pytest.mark.parametrize("folds", [5, 1])
def test_no_image_is_weighted_by_what_its_own_person_showed(folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of(0.5, 1.5, folds=folds)
    parts = runs.averaged.parts()
    before, _ = runs.weighted()
    # Other truths in one part change how all others are weighted, and that part not at all.
    truth = {task: np.where(parts == 0, (right + 1) % 2, right) for task, right in runs.averaged.truth.items()}
    # A lone fold is split by what persons are; split otherwise they could not be compared.
    monkeypatch.setattr(HeldOut, "parts", lambda _: parts)
    after, _ = replace(runs, averaged=replace(runs.averaged, truth=truth)).weighted()
    for task in SPECIALISTS:
        same = (before.predictions[task].to_numpy() == after.predictions[task].to_numpy()).all(axis=1)
        assert same[parts == 0].all()
        assert not same[parts != 0].any()


def test_the_run_that_sees_better_counts_more_and_rows_keep_their_order() -> None:
    runs = runs_of(0.5, 2.0)
    held_out, weights = runs.weighted()
    for task, classes in SPECIALISTS.items():
        assert weights[task][0] > weights[task][1]
        table = held_out.predictions[task]
        assert table.index.equals(runs.averaged.persons.index)
        assert table[list(classes)].sum(axis=1).to_numpy() == pytest.approx(np.ones(len(table)))


def test_weighted_means() -> None:
    first, second = (pd.DataFrame({"a": [value], "b": [1 - value]}, index=["x"]) for value in (0.2, 0.6))
    assert average_runs([first, second], np.array([0.75, 0.25])).to_numpy() == pytest.approx(np.array([[0.3, 0.7]]))
