"""Sums with boxes: x0, y0, x1, y1 in the last dimension of a float array; scores of 0 stand for no box.

Where it says pictures, boxes are (pictures, boxes, 4) and scores (pictures, boxes).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

SAME = 0.7
"""Boxes with this much of their union in common are of the same face."""


def shift(boxes: Floats, shifts: Floats) -> Floats:
    """Move the edges by a net's answer, given in shares of the box's sides."""
    return boxes + shifts * np.concatenate(2 * [boxes[..., 2:] - boxes[..., :2]], axis=-1)


def square(boxes: Floats) -> Floats:
    """With the same centres and the longer sides."""
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = (boxes[..., 2:] - boxes[..., :2]).max(axis=-1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def best(boxes: Floats, scores: Floats, count: int) -> tuple[Floats, Floats]:
    """The highest scores of each picture, in descending order, and their boxes; the first of equals first.

    No more of them than the picture with the most boxes has, but one: what follows takes their number squared.
    """
    count = min(count, max(1, int((scores > 0).sum(axis=1).max(initial=0))))
    order = (-scores).argsort(axis=1, kind="stable")[:, :count]
    return np.take_along_axis(boxes, order[:, :, None], axis=1), np.take_along_axis(scores, order, axis=1)


def suppress(boxes: Floats, scores: Floats, overlap: float, of_union: bool = False) -> NDArray[np.bool_]:
    """Non-maximum suppression in each picture: which boxes are overlapped by no better one; as `scores`."""
    clash = _overlap(boxes, of_union) > overlap
    kept = scores > 0
    row = np.arange(len(scores))
    for at in (-scores).argsort(axis=1, kind="stable").T:
        beaten = clash[row, at] & kept[row, at, None]
        beaten[row, at] = False
        kept &= ~beaten
    return kept


def vote(boxes: Floats, scores: Floats) -> Floats:
    """Each box as the mean of those that nearly coincide with it, weighted by their scores: steadier than the best."""
    weight = (_overlap(boxes, of_union=True) > SAME) * scores[:, None]
    total = weight.sum(axis=2, keepdims=True)
    return np.where(total > 0, weight @ boxes / np.where(total > 0, total, 1), boxes)


def _overlap(boxes: Floats, of_union: bool) -> Floats:
    """Common area of each two boxes of a picture as a share of their union, or of the smaller one."""
    low = np.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = np.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    common = (high - low).clip(min=0).prod(axis=-1)
    area = (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(axis=-1)
    one, other = area[:, :, None], area[:, None]
    whole = one + other - common if of_union else np.minimum(one, other)
    return common / whole.clip(min=1e-9)
