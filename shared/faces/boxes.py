"""Sums with boxes: x0, y0, x1, y1 in the last dimension of a float tensor; scores of 0 stand for no box.

Where it says pictures, boxes are (pictures, boxes, 4) and scores (pictures, boxes).
"""

import torch
from torch import Tensor

SAME = 0.7
"""Boxes with this much of their union in common are of the same face."""


def shift(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Move the edges by a net's answer, given in shares of the box's sides."""
    return boxes + shifts * (boxes[..., 2:] - boxes[..., :2]).tile(2)


def square(boxes: Tensor) -> Tensor:
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = (boxes[..., 2:] - boxes[..., :2]).amax(-1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], -1)


def best(boxes: Tensor, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest scores of each picture, in descending order, and their boxes."""
    scores, at = scores.topk(min(count, scores.shape[1]))
    return boxes.gather(1, at[:, :, None].expand(-1, -1, 4)), scores


def suppress(boxes: Tensor, scores: Tensor, overlap: float, of_union: bool = False) -> Tensor:
    """Non-maximum suppression in each picture: which boxes are overlapped by no better one; bool as `scores`."""
    clash = _overlap(boxes, of_union) > overlap
    kept = scores > 0
    row = torch.arange(len(scores))
    for at in scores.argsort(dim=1, descending=True).T:
        beaten = clash[row, at] & kept[row, at, None]
        beaten[row, at] = False
        kept &= ~beaten
    return kept


def vote(boxes: Tensor, scores: Tensor) -> Tensor:
    """Each box as the mean of those that nearly coincide with it, weighted by their scores: steadier than the best."""
    weight = (_overlap(boxes, of_union=True) > SAME) * scores[:, None]
    total = weight.sum(2, keepdim=True)
    return torch.where(total > 0, weight @ boxes / total, boxes)


def _overlap(boxes: Tensor, of_union: bool) -> Tensor:
    """Common area of each two boxes of a picture as a share of their union, or of the smaller one."""
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)
    one, other = area[:, :, None], area[:, None]
    return common / (one + other - common if of_union else torch.minimum(one, other)).clamp(min=1e-9)
