import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from shared.fusion.fusion import average_persons
from shared.fusion.metrics import bootstrap_gain, count_by_person, draw_persons, person_codes, weighted_macro_f1

IMAGES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40
)


@given(IMAGES, st.integers(0, 1000))
def test_a_person_drawn_twice_counts_as_if_all_images_were_there_twice(
    images: list[tuple[int, int, int, int]], seed: int
) -> None:
    names, truth, *ways = (np.array(column) for column in zip(*images, strict=True))
    persons = person_codes(names)
    weights = np.random.default_rng(seed).integers(0, 3, (5, persons.max() + 1))
    ours = weighted_macro_f1(weights.astype(float), count_by_person(truth, np.stack(ways), persons, 4))
    for row, drawn in zip(ours, weights, strict=True):
        places = np.repeat(np.arange(len(truth)), drawn[persons])
        for score, way in zip(row, ways, strict=True):
            # scikit-learn refuses to score nothing; a class that is nowhere counts 0, and so do all of them then.
            right = (truth[places], way[places])
            theirs = f1_score(*right, labels=range(4), average="macro", zero_division=0) if len(places) else 0
            assert score == pytest.approx(theirs)


def test_each_draw_holds_as_many_persons_as_there_are() -> None:
    draws = draw_persons(7, 50)
    assert draws.shape == (50, 7)
    assert set(draws.sum(axis=1)) == {7}
    np.testing.assert_array_equal(draws, draw_persons(7, 50))


def test_images_of_a_person_make_an_interval_no_narrower() -> None:
    # Ten persons, half of whom one way gets right and the other wrong; then each of them seen a hundred times.
    truth, before = np.zeros(10, np.int64), np.array([0, 1] * 5)
    once = bootstrap_gain(truth, before, truth, np.arange(10), 2)
    often = bootstrap_gain(*(np.repeat(part, 100) for part in (truth, before, truth, np.arange(10))), 2)
    assert once == often
    assert once.low < once.value < once.high


def test_two_ways_that_answer_alike_differ_by_nothing() -> None:
    truth = np.array([0, 1, 2, 0])
    assert bootstrap_gain(truth, truth[::-1], truth[::-1], np.array([0, 0, 1, 2]), 3) == (0, 0, 0)


def test_gender_and_age_of_a_person_are_averaged_and_masks_are_not() -> None:
    images = pd.Index(["x", "y", "z"], name="image")
    table = pd.DataFrame({"a": [0.0, 1.0, 1.0], "b": [1.0, 0.0, 0.0], "text": "t"}, index=images)
    answers = average_persons(dict.fromkeys(("mask", "gender", "age"), table), pd.Series(["p", "q", "p"], images))
    expected = pd.DataFrame({"a": [0.5, 1.0, 0.5], "b": [0.5, 0.0, 0.5]}, index=images)
    pd.testing.assert_frame_equal(answers["gender"], expected)
    pd.testing.assert_frame_equal(answers["age"], expected)
    pd.testing.assert_frame_equal(answers["mask"], table)


def test_the_age_of_a_person_is_that_of_the_averaged_distribution() -> None:
    images = pd.Index(["x", "y"], name="image")
    years = np.zeros((2, 101))
    years[0, [20, 50]], years[1, [20, 30, 50]] = (0.8, 0.2), (0.3, 0.5, 0.2)
    table = pd.DataFrame(years, images, [f"year_{year}" for year in range(101)]).assign(age=[20.1, 29.9])
    averaged = average_persons({"age": table}, pd.Series(["p", "p"], images))["age"]
    # 20 years has .55 together, of which the first .50 are below the age; the mean of the two ages would be 25.
    assert averaged["age"].tolist() == pytest.approx([19.5 + 0.5 / 0.55] * 2)
