"""The product of three specialists, and means over runs and persons."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fusion.fusion import (
    SPECIALISTS,
    average_persons,
    average_runs,
    fuse,
    most_probable,
    true_classes,
)
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


def test_runs_are_averaged_image_by_image_also_if_their_order_differs() -> None:
    first = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0], "extra": 1.0}, index=["x", "y"])
    second = pd.DataFrame({"b": [0.5, 0.0, 1.0], "a": [0.5, 1.0, 0.0], "person": "p"}, index=["y", "z", "x"])
    expected = pd.DataFrame({"a": [0.0, 0.75], "b": [1.0, 0.25]}, index=["x", "y"])
    pd.testing.assert_frame_equal(average_runs([first, second]), expected)


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
