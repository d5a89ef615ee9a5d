"""Scores and their intervals over persons, by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from shared.fusion.metrics import (
    accuracy,
    bootstrap_gain,
    class_scores,
    confusion_matrix,
    count_by_person,
    macro_f1,
    person_codes,
    weighted_macro_f1,
)

PAIRS = st.lists(st.tuples(st.integers(0, 17), st.integers(0, 17)), min_size=1, max_size=60)
IMAGES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40
)


@given(PAIRS)
def test_all_scores_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    labels = range(18)
    confusion = confusion_matrix(truth, predicted, 18)
    np.testing.assert_array_equal(confusion, sklearn_metrics.confusion_matrix(truth, predicted, labels=labels))
    expected = sklearn_metrics.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    for ours, theirs in zip(class_scores(confusion), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    theirs = sklearn_metrics.f1_score(truth, predicted, labels=labels, average="macro", zero_division=0)
    assert macro_f1(truth, predicted, 18) == pytest.approx(theirs)
    assert accuracy(truth, predicted) == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted))


@pytest.mark.parametrize(
    ("truth", "predicted"), [([], []), ([0, 1], [0]), ([0, 2], [0, 1]), ([0, 1], [-1, 1]), ([[0]], [[0]])]
)
def test_what_cannot_be_scored_is_refused(truth: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        macro_f1(truth, predicted, 2)


@given(IMAGES, st.integers(0, 1000))
def test_a_person_drawn_twice_counts_as_if_all_images_were_there_twice(
    images: list[tuple[int, int, int, int]], seed: int
) -> None:
    names, truth, *sets = (np.array(column) for column in zip(*images, strict=True))
    persons = person_codes(names)
    weights = np.random.default_rng(seed).integers(0, 3, (5, persons.max() + 1))
    ours = weighted_macro_f1(weights.astype(float), count_by_person(truth, np.stack(sets), persons, 4))
    for row, drawn in zip(ours, weights, strict=True):
        places = np.repeat(np.arange(len(truth)), drawn[persons])
        for score, predicted in zip(row, sets, strict=True):
            # scikit-learn refuses to score nothing; a class that is nowhere counts 0, and so do all of them then.
            pair = (truth[places], predicted[places])
            labels = range(4)
            theirs = (
                sklearn_metrics.f1_score(*pair, labels=labels, average="macro", zero_division=0) if len(places) else 0
            )
            assert score == pytest.approx(theirs)


def test_many_images_of_a_person_make_an_interval_no_narrower() -> None:
    # Ten persons, half of whom are predicted wrongly before and not after; then each of them seen a hundred times.
    truth, before = np.zeros(10, np.int64), np.array([0, 1] * 5)
    once = bootstrap_gain(truth, before, truth, np.arange(10), 2)
    often = bootstrap_gain(*(np.repeat(part, 100) for part in (truth, before, truth, np.arange(10))), 2)
    assert once == often
    assert once.low < once.value < once.high
