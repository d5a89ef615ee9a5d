import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from shared.fusion.metrics import accuracy, class_scores, confusion_matrix, macro_f1

ANSWERS = st.lists(st.tuples(st.integers(0, 17), st.integers(0, 17)), min_size=1, max_size=60)


@given(ANSWERS)
def test_scores_are_those_of_scikit_learn_also_where_classes_are_missing(answers: list[tuple[int, int]]) -> None:
    truth, predicted = map(list, zip(*answers, strict=True))
    labels = range(18)
    confusion = confusion_matrix(truth, predicted, 18)
    np.testing.assert_array_equal(confusion, sklearn_metrics.confusion_matrix(truth, predicted, labels=labels))
    expected = sklearn_metrics.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    for ours, theirs in zip(class_scores(confusion), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    theirs = sklearn_metrics.f1_score(truth, predicted, labels=labels, average="macro", zero_division=0)
    assert macro_f1(truth, predicted, 18) == pytest.approx(theirs)
    assert accuracy(truth, predicted) == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted))


def test_macro_f1_by_hand() -> None:
    # Class 0: precision 1, recall 1/2. Class 1: precision 1/2, recall 1. Each F1 is 2/3; class 2 is nowhere.
    assert macro_f1([0, 0, 1], [0, 1, 1], 2) == pytest.approx(2 / 3)
    assert macro_f1([0, 0, 1], [0, 1, 1], 3) == pytest.approx(4 / 9)


def test_a_row_of_the_confusion_matrix_is_a_true_class() -> None:
    assert confusion_matrix([0, 0, 1], [1, 1, 1], 2).tolist() == [[0, 2], [0, 1]]


@pytest.mark.parametrize(
    ("truth", "predicted"), [([], []), ([0, 1], [0]), ([0, 2], [0, 1]), ([0, 1], [-1, 1]), ([[0]], [[0]])]
)
def test_answers_that_cannot_be_scored_are_refused(truth: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        macro_f1(truth, predicted, 2)
