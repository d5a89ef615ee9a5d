import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fusion.fusion import SPECIALISTS, average_runs, fuse, joint_probabilities, most_probable
from shared.labels import CLASS_COUNT, decode_class, encode_class


def probabilities(seed: int, count: int) -> dict[str, pd.DataFrame]:
    """Random answers of the three specialists for so many images."""
    random = np.random.default_rng(seed)
    images = pd.Index([f"{number}.jpg" for number in range(count)], name="image")
    return {
        task: pd.DataFrame(random.dirichlet([0.5] * len(classes), count), columns=list(classes), index=images)
        for task, classes in SPECIALISTS.items()
    }


@given(st.integers(0, 10_000), st.integers(1, 9))
def test_the_probability_of_a_class_is_the_product_of_its_three(seed: int, count: int) -> None:
    answers = probabilities(seed, count)
    joint = fuse(answers)
    assert joint.shape == (count, CLASS_COUNT)
    np.testing.assert_allclose(joint.sum(axis=1), 1)
    for number in range(CLASS_COUNT):
        mask, gender, band = decode_class(number)
        product = answers["mask"].iloc[:, mask] * answers["gender"].iloc[:, gender] * answers["age"].iloc[:, band]
        np.testing.assert_allclose(joint[:, number], product)


@given(st.integers(0, 10_000))
def test_the_most_probable_class_is_made_of_the_three_most_probable_answers(seed: int) -> None:
    answers = probabilities(seed, 20)
    single = (answers[task].to_numpy().argmax(axis=1) for task in SPECIALISTS)
    expected = [encode_class(*three) for three in zip(*single, strict=True)]
    assert most_probable(fuse(answers)).tolist() == expected


def test_a_joint_probability_by_hand() -> None:
    joint = joint_probabilities(np.array([[0.5, 0.3, 0.2]]), np.array([[0.4, 0.6]]), np.array([[0.1, 0.2, 0.7]]))
    assert joint[0, encode_class(1, 1, 2)] == pytest.approx(0.3 * 0.6 * 0.7)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
def test_the_mean_of_runs_is_a_probability_and_does_not_depend_on_their_order(seeds: list[int]) -> None:
    runs = [probabilities(seed, 6)["age"] for seed in seeds]
    mean = average_runs(runs)
    np.testing.assert_allclose(mean.sum(axis=1), 1)
    pd.testing.assert_frame_equal(average_runs(runs[::-1]), mean)
    np.testing.assert_allclose(mean.to_numpy(), np.mean([run.to_numpy() for run in runs], axis=0))


def test_runs_are_averaged_image_by_image_also_where_their_order_differs() -> None:
    first = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]}, index=["x", "y"])
    second = pd.DataFrame({"b": [0.5, 0.0, 1.0], "a": [0.5, 1.0, 0.0]}, index=["y", "z", "x"])
    expected = pd.DataFrame({"a": [0.0, 0.75], "b": [1.0, 0.25]}, index=["x", "y"])
    pd.testing.assert_frame_equal(average_runs([first, second]), expected)


def test_details_are_averaged_where_all_runs_have_them_and_text_is_left_behind() -> None:
    first = pd.DataFrame({"a": [1.0], "age": [20.0], "person": ["p"], "extra": [1.0]}, index=["x"])
    second = pd.DataFrame({"a": [1.0], "age": [30.0], "person": ["p"]}, index=["x"])
    assert average_runs([first, second]).to_dict("list") == {"a": [1.0], "age": [25.0]}
