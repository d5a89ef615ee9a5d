"""The product of three specialists, and means over runs and persons."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from synthetic_predictions import held_out_predictions

from shared.fusion.fusion import (
    PRIOR_PERSONS,
    SPECIALISTS,
    average_persons,
    average_runs,
    fuse,
    learn_weights,
    most_probable,
    true_classes,
)
from shared.fusion.predictions import HeldOut, HeldOutRuns
from shared.labels import CLASS_COUNT, decode_class, encode_class


def random_predictions(seed: int, count: int) -> dict[str, pd.DataFrame]:
    random = np.random.default_rng(seed)
    images = pd.Index([f"{number}.jpg" for number in range(count)], name="image")
    return {
        task: pd.DataFrame(random.dirichlet([0.5] * len(classes), count), columns=list(classes), index=images)
        for task, classes in SPECIALISTS.items()
    }


@given(st.integers(0, 10_000), st.integers(1, 9))
def test_the_probability_of_a_class_is_the_product_of_its_three(seed: int, count: int) -> None:
    predictions = random_predictions(seed, count)
    joint = fuse(predictions)
    np.testing.assert_allclose(joint.sum(axis=1), 1)
    for number in range(CLASS_COUNT):
        mask, gender, band = decode_class(number)
        factors = predictions["mask"].iloc[:, mask], predictions["gender"].iloc[:, gender]
        np.testing.assert_allclose(joint[:, number], factors[0] * factors[1] * predictions["age"].iloc[:, band])


@given(st.integers(0, 10_000))
def test_the_most_probable_class_combines_those_of_the_three(seed: int) -> None:
    predictions = random_predictions(seed, 20)
    single = {task: predictions[task].to_numpy().argmax(axis=1) for task in SPECIALISTS}
    expected = [encode_class(*three) for three in zip(*single.values(), strict=True)]
    assert most_probable(fuse(predictions)).tolist() == true_classes(single).tolist() == expected


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
def test_the_mean_of_runs_is_a_probability_and_does_not_depend_on_their_order(seeds: list[int]) -> None:
    runs = [random_predictions(seed, 6)["age"] for seed in seeds]
    mean = average_runs(runs)
    pd.testing.assert_frame_equal(average_runs(runs[::-1]), mean)
    np.testing.assert_allclose(mean.to_numpy(), np.mean([run.to_numpy() for run in runs], axis=0))


def test_runs_are_averaged_image_by_image_with_weights_also_if_their_order_differs() -> None:
    first = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0], "extra": 1.0}, index=["x", "y"])
    second = pd.DataFrame({"b": [0.5, 0.0, 1.0], "a": [0.5, 1.0, 0.0], "person": "p"}, index=["y", "z", "x"])
    expected = pd.DataFrame({"a": [0.0, 0.75], "b": [1.0, 0.25]}, index=["x", "y"])
    pd.testing.assert_frame_equal(average_runs([first, second]), expected)
    weighted = pd.DataFrame({"a": [0.0, 0.9], "b": [1.0, 0.1]}, index=["x", "y"])
    pd.testing.assert_frame_equal(average_runs([first, second], np.array([0.8, 0.2])), weighted)


def test_the_age_of_averaged_runs_and_persons_is_the_median_of_their_averaged_distribution() -> None:
    years = np.zeros((2, 101))
    years[0, [20, 50]], years[1, [20, 30, 50]] = (0.8, 0.2), (0.3, 0.5, 0.2)
    table = pd.DataFrame(years, ["x", "y"], [f"year_{year}" for year in range(101)]).assign(age=[20.1, 29.9])
    # 20 years has .55 together, of which the first .50 are below the age; the mean of the two ages would be 25.
    age = 20 + 0.5 / 0.55
    runs = [table.iloc[[row]].set_axis(["x"]) for row in range(2)]
    assert average_runs(runs)["age"].item() == pytest.approx(age)
    averaged = average_persons({"age": table}, pd.Series(["p", "p"], table.index))["age"]
    assert averaged["age"].tolist() == pytest.approx([age] * 2)


def test_gender_and_age_of_a_person_are_averaged_and_masks_are_not() -> None:
    images = pd.Index(["x", "y", "z"], name="image")
    table = pd.DataFrame({"a": [0.0, 1.0, 1.0], "b": [1.0, 0.0, 0.0], "text": "t"}, index=images)
    averaged = average_persons(dict.fromkeys(SPECIALISTS, table), pd.Series(["p", "q", "p"], images))
    expected = pd.DataFrame({"a": [0.5, 1.0, 0.5], "b": [0.5, 0.0, 0.5]}, index=images)
    pd.testing.assert_frame_equal(averaged["gender"], expected)
    pd.testing.assert_frame_equal(averaged["age"], expected)
    pd.testing.assert_frame_equal(averaged["mask"], table)


@pytest.mark.parametrize("runs", [2, 3])
def test_weights_are_those_that_a_general_optimiser_finds(runs: int) -> None:
    likelihoods = np.random.default_rng(runs).beta(np.arange(2, 2 + runs), 2, (400, runs))
    persons = 80

    def loss(logits: np.ndarray) -> float:
        weights = np.exp(logits) / np.exp(logits).sum()
        return -persons * np.log(likelihoods @ weights).mean() - PRIOR_PERSONS * np.log(weights).sum()

    found = minimize(loss, np.zeros(runs)).x
    expected = np.exp(found) / np.exp(found).sum()
    assert learn_weights(likelihoods, persons) == pytest.approx(expected, abs=1e-3)


def test_equal_runs_count_the_same_a_better_one_more_and_few_persons_move_little() -> None:
    likelihoods = np.random.default_rng(0).uniform(0.3, 1, (300, 1)).repeat(3, axis=1)
    assert learn_weights(likelihoods, 60) == pytest.approx([1 / 3] * 3)
    weights = learn_weights(np.column_stack([likelihoods[:, 0], likelihoods[:, 0] * 0.5, np.zeros(300)]), 60)
    assert weights[0] > 0.6 > 0.3 > weights[1] > weights[2] > 0
    few, many = (learn_weights(np.tile([0.9, 0.3], (700, 1)), persons)[0] for persons in (3, 3000))
    assert 0.5 < few < 0.65 < 0.95 < many


def runs_of(*doubts: float, folds: int = 5) -> HeldOutRuns:
    """Runs that see the same persons through noise of their own."""
    each = [held_out_predictions(100, seed=0, doubt=doubt, folds=folds) for doubt in doubts]
    return HeldOutRuns({task: [run.predictions[task] for run in each] for task in SPECIALISTS}, each[0])


@pytest.mark.parametrize("folds", [5, 1])
def test_no_image_is_weighted_by_the_truth_of_its_own_person(folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of(0.5, 1.5, folds=folds)
    parts = runs.averaged.parts()
    before, _ = runs.weighted()
    # Other truths in one part change the weights of all others, and not those of that part.
    truth = {task: np.where(parts == 0, (true + 1) % 2, true) for task, true in runs.averaged.truth.items()}
    # A single fold is split by attributes of persons; split otherwise the two could not be compared.
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
