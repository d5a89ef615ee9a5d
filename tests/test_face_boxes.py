import numpy as np

from shared.faces.mtcnn import apply_offsets, average_overlapping, make_square, suppress_overlaps, take_best


def test_a_shift_moves_the_edges_by_shares_of_the_sides() -> None:
    moved = apply_offsets(np.array([[10.0, 20, 20, 40]]), np.array([[0.1, 0.1, -0.1, 0.5]]))
    np.testing.assert_allclose(moved, np.array([[11.0, 22, 19, 50]]))


def test_a_square_has_the_centre_and_the_longer_side_of_its_box() -> None:
    assert make_square(np.array([[10.0, 20, 20, 40]])).tolist() == [[5, 20, 25, 40]]


def test_the_best_come_in_descending_order() -> None:
    boxes = np.arange(12.0).reshape(1, 3, 4)
    chosen, scores = take_best(boxes, np.array([[0.2, 0.9, 0.5]]), 2)
    assert chosen[0, :, 0].tolist() == [4, 8]
    np.testing.assert_allclose(scores, np.array([[0.9, 0.5]]))


def test_suppression_keeps_the_better_of_two_that_overlap() -> None:
    # The first two share 80 of 100 pixels: 80 % of the smaller, 67 % of the union. The third lies elsewhere, the
    # fourth, without a score, counts for nothing.
    boxes = np.array([[[0.0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60], [0, 0, 10, 10]]])
    scores = np.array([[0.7, 0.9, 0.8, 0.0]])
    assert suppress_overlaps(boxes, scores, overlap=0.7).tolist() == [[False, True, True, False]]
    assert suppress_overlaps(boxes, scores, overlap=0.7, of_union=True).tolist() == [[True, True, True, False]]


def test_a_vote_is_the_mean_of_boxes_that_nearly_coincide_weighted_by_score() -> None:
    # The first two share 90 of 110 pixels, the third lies elsewhere.
    boxes = np.array([[[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]]])
    voted = average_overlapping(boxes, np.array([[0.3, 0.9, 0.8]]))
    np.testing.assert_allclose(voted, np.array([[[0.75, 0, 10.75, 10], [0.75, 0, 10.75, 10], [50, 50, 60, 60]]]))


def test_a_suppressed_box_suppresses_no_other() -> None:
    boxes = np.array([[[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]])
    assert suppress_overlaps(boxes, np.array([[0.9, 0.8, 0.7]]), overlap=0.5).tolist() == [[True, False, True]]
