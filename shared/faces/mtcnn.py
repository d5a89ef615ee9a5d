"""MTCNN for many portraits at once: the nets of facenet-pytorch in a batched cascade.

Zhang et al., "Joint face detection and alignment using multitask cascaded convolutional networks", 2016. P-Net proposes
boxes all over small copies of the image, R-Net rejects and refines them, O-Net refines the rest and gives five
landmarks. Differences from facenet-pytorch:

- images of any sizes go through the nets together; only resizing and cutting is done image by image, in OpenCV;
- the search is as coarse as the size of faces in portraits allows, and few candidates of an image reach the next net;
- O-Net runs twice, the second time on the mirrored content of the first run's box. The second box is used, and scores
  and landmarks are averaged: O-Net's landmarks are biased to one side, in masked faces by 4 % of the eye distance
  (`benchmarks/alignment.py`).

Boxes are float arrays with x0, y0, x1, y1 in the last dimension. The boxes of several images are padded to one array
(images, candidates, 4) with scores (images, candidates); a score of 0 marks an empty place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.faces.image_io import NEUTRAL

Floats = NDArray[np.floating]
Pixels = NDArray[np.uint8]

GREY = (NEUTRAL, NEUTRAL, NEUTRAL)

STRIDE, CELL = 2, 12
"""P-Net rates a box of 12 pixels at every second pixel."""

RNET_SIDE, ONET_SIDE = 24, 48
"""Input sides of the two other nets, in pixels."""

PYRAMID_STEP = 0.709
"""Ratio of the side of one P-Net input to that of the next larger one: half the area."""

PER_LEVEL = 12
"""P-Net boxes of one size that are kept for an image, where a portrait is expected."""

SAME_FACE = 0.7
"""Intersection over union above which two boxes show the same face."""

MIRRORED = [1, 0, 2, 4, 3]
"""Order of the landmarks in the mirrored image."""

Net = Callable[[Pixels], tuple[Floats, ...]]
"""Takes patches, uint8 RGB (count >= 1, height, width, 3); returns float32 arrays."""


@dataclass(frozen=True)
class Search:
    """Settings of one run of the cascade."""

    side: int
    """Longer side, in pixels, of the copy of the image that is searched."""

    smallest: int
    """Side of the box of the smallest face, in pixels of that copy."""

    pnet: float
    """Lowest probability with which a box passes P-Net; `rnet` and `onet` are those of the other two nets."""
    rnet: float
    onet: float

    rnet_candidates: int
    """Most boxes of an image that R-Net sees."""

    onet_candidates: int
    """Most boxes of an image that O-Net sees."""


class Detector(NamedTuple):
    """The three nets as functions of arrays; `mtcnn_nets.load_detector` runs them in torch."""

    pnet: Net
    """Returns box offsets (count, 4, h, w) and probabilities of no face and of a face (count, 2, h, w)."""
    rnet: Net
    """Takes 24 x 24 pixels; returns box offsets (count, 4) and probabilities (count, 2)."""
    onet: Net
    """Takes 48 x 48 pixels; returns box offsets (count, 4), landmarks (count, 10) and probabilities (count, 2)."""


@dataclass(frozen=True)
class Faces:
    """The faces of one image, the most probable first; lengths in pixels of the image given to `detect`."""

    boxes: np.ndarray
    """float32, shape (faces, 4): x0, y0, x1, y1."""

    probabilities: np.ndarray
    """float32, shape (faces,)."""

    landmarks: np.ndarray
    """float32, shape (faces, 5, 2): eyes, nose, corners of the mouth; of each pair the left one in the image first."""


def detect(images: Sequence[Pixels], search: Search, detector: Detector, per_level: int = PER_LEVEL) -> list[Faces]:
    """Detect all faces of each image; images are uint8 RGB (height, width, 3) of any sizes."""
    if not images:
        return []
    pyramids = [build_pyramid(image, search.side) for image in images]
    boxes, scores = _run_pnet(pyramids, search, detector.pnet, per_level)
    boxes, scores = _run_rnet(pyramids, boxes, scores, search, detector.rnet)
    boxes, scores, landmarks = _run_onet(pyramids, boxes, scores, detector.onet)
    kept = suppress_overlaps(boxes, scores, 0.5) & (scores >= search.onet)
    return [
        _as_faces(boxes[at, kept[at]], scores[at, kept[at]], landmarks[at, kept[at]], pyramid.scale)
        for at, pyramid in enumerate(pyramids)
    ]


def _as_faces(boxes: Floats, scores: Floats, landmarks: Floats, scale: float) -> Faces:
    """Sort by score, and convert from the searched copy (0 is the outer edge) to the image (0 is a pixel's centre)."""
    order = (-scores).argsort(kind="stable")
    return Faces(boxes[order] * scale - 0.5, scores[order], landmarks[order] * scale - 0.5)


# Image pyramid


@dataclass(frozen=True)
class Pyramid:
    """Copies of an image, each half as large as the one before; boxes are in pixels of the first."""

    levels: list[np.ndarray]
    """uint8 RGB, (height, width, 3)."""

    scale: float
    """Pixels of the image per pixel of the first level."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first level."""
        height, width = self.levels[0].shape[:2]
        return height, width

    def resized(self, share: float, least: int) -> np.ndarray:
        """The image at `share` of the first level's size, each side at least `least` pixels."""
        height, width = (max(least, round(length * share)) for length in self.size)
        larger = [level for level in self.levels if level.shape[0] >= height and level.shape[1] >= width]
        return _resize((larger or self.levels[:1])[-1], height, width)

    def cut(self, box: np.ndarray, size: int, into: np.ndarray) -> None:
        """Write the content of a square box (x0, y0, x1, y1) to a uint8 array (size, size, 3); grey beyond the edge.

        Uses a level that has to shrink by a factor below two, so that linear interpolation skips no pixel.
        """
        x0, y0, x1, _ = (float(value) for value in box)
        zoom, level = size / max(x1 - x0, 1.0), 0
        while zoom <= 0.5 and level + 1 < len(self.levels):
            zoom, level = zoom * 2, level + 1
        left, top = x0 / 2**level, y0 / 2**level
        # A box edge at 0 is the outer edge of pixel 0, the centre of which has the coordinate 0 in OpenCV.
        matrix = np.array([[zoom, 0, (0.5 - left) * zoom - 0.5], [0, zoom, (0.5 - top) * zoom - 0.5]])
        cv2.warpAffine(self.levels[level], matrix, (size, size), dst=into, borderValue=GREY)


def build_pyramid(pixels: np.ndarray, side: int, smallest: int = 64) -> Pyramid:
    """Levels with a longer side of `side` pixels, half of it, and so on down to `smallest`."""
    longest = max(pixels.shape[:2])
    levels: list[np.ndarray] = []
    level = pixels
    while not levels or side >= smallest:
        height, width = (max(1, round(length * side / longest)) for length in pixels.shape[:2])
        level = _resize(level, height, width)
        levels.append(level)
        side //= 2
    return Pyramid(levels, longest / max(levels[0].shape[:2]))


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = height < pixels.shape[0] and width < pixels.shape[1]
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


# The three stages of the cascade


def _run_pnet(pyramids: list[Pyramid], search: Search, pnet: Net, per_level: int) -> tuple[Floats, Floats]:
    """Return the best boxes of P-Net over all scales, and their scores."""
    share, found = CELL / search.smallest, []
    while share * max(max(pyramid.size) for pyramid in pyramids) >= CELL:
        found.append(_propose(pyramids, share, search.pnet, pnet, per_level))
        share *= PYRAMID_STEP
    boxes, scores = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    boxes, scores = take_best(boxes, scores, 4 * search.rnet_candidates)
    kept = suppress_overlaps(boxes, scores, SAME_FACE, of_union=True)
    return take_best(boxes, scores * kept, search.rnet_candidates)


def _propose(
    pyramids: list[Pyramid], share: float, threshold: float, pnet: Net, per_level: int
) -> tuple[Floats, Floats]:
    """Run P-Net on copies at `share` of the searched size; the local maxima of its score map become boxes."""
    small = [pyramid.resized(share, CELL) for pyramid in pyramids]
    offsets, probabilities = pnet(_stack(small))
    scores = probabilities[:, 1] * _inside(small, *probabilities.shape[2:])
    peaks = (scores * (scores == _max_of_neighbours(scores)) * (scores >= threshold)).reshape(len(scores), -1)
    at = (-peaks).argsort(axis=1, kind="stable")[:, :per_level]
    # From indices of the flat score map to box corners in pixels of the small copy.
    corner = np.stack(np.divmod(at, scores.shape[2])[::-1], axis=2).astype(np.float32) * STRIDE
    # The sides of a small copy are whole pixels, so its scale differs a little between x and y.
    sides = [(p.size[1] / s.shape[1], p.size[0] / s.shape[0]) for p, s in zip(pyramids, small, strict=True)]
    boxes = np.concatenate([corner, corner + CELL], axis=2) * np.tile(np.array(sides, np.float32), 2)[:, None]
    chosen = np.take_along_axis(offsets.reshape(len(offsets), 4, -1), at[:, None], axis=2).transpose(0, 2, 1)
    return make_square(apply_offsets(boxes, chosen)), np.take_along_axis(peaks, at, axis=1)


def _max_of_neighbours(scores: Floats) -> Floats:
    """The maximum of each place and its eight neighbours; (images, height, width) in and out."""
    padded = np.pad(scores, ((0, 0), (1, 1), (1, 1)))
    rows = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def _inside(images: list[np.ndarray], height: int, width: int) -> NDArray[np.bool_]:
    """Mask (images, height, width) of the P-Net boxes that show nothing but the image.

    The others also show the padding of the stack, the size of which depends on the other images of the batch.
    """
    ends = np.arange(max(height, width)) * STRIDE + CELL
    sizes = np.array([image.shape[:2] for image in images])
    return (ends[:height] <= sizes[:, :1])[:, :, None] & (ends[:width] <= sizes[:, 1:])[:, None]


def _run_rnet(
    pyramids: list[Pyramid], boxes: Floats, scores: Floats, search: Search, rnet: Net
) -> tuple[Floats, Floats]:
    """Rate and refine the boxes; returns one box for each possible face."""
    image, candidate = np.nonzero(scores)
    if not len(image):
        return take_best(boxes, scores, search.onet_candidates)
    offsets, probabilities = rnet(_cut(pyramids, boxes[image, candidate], image, RNET_SIDE))
    boxes, scores = boxes.copy(), np.zeros_like(scores)
    boxes[image, candidate] = make_square(apply_offsets(boxes[image, candidate], offsets))
    scores[image, candidate] = probabilities[:, 1] * (probabilities[:, 1] >= search.rnet)
    kept = suppress_overlaps(boxes, scores, 0.5)
    return take_best(average_overlapping(boxes, scores), scores * kept, search.onet_candidates)


def _run_onet(pyramids: list[Pyramid], boxes: Floats, scores: Floats, onet: Net) -> tuple[Floats, Floats, Floats]:
    """Rate and refine each box as it is, then mirrored; returns boxes, scores and landmarks (images, candidates, 5, 2).

    Scores and landmarks are the means of both runs.
    """
    image, candidate = np.nonzero(scores)
    boxes, scores, landmarks = boxes.copy(), np.zeros_like(scores), np.zeros((*scores.shape, 5, 2), np.float32)
    if len(image):
        first, score, points = _refine(pyramids, boxes[image, candidate], image, onet, mirror=False)
        last, mirrored_score, mirrored_points = _refine(pyramids, make_square(first), image, onet, mirror=True)
        boxes[image, candidate], scores[image, candidate] = last, (score + mirrored_score) / 2
        landmarks[image, candidate] = (points + mirrored_points) / 2
    return boxes, scores, landmarks


def _refine(
    pyramids: list[Pyramid], boxes: Floats, image: NDArray[np.int64], onet: Net, mirror: bool
) -> tuple[Floats, Floats, Floats]:
    """O-Net's boxes (n, 4), probabilities (n,) and landmarks (n, 5, 2) for n square boxes of the given images."""
    patches = _cut(pyramids, boxes, image, ONET_SIDE)
    offsets, points, probabilities = onet(np.ascontiguousarray(patches[:, :, ::-1]) if mirror else patches)
    x, y = points[:, :5], points[:, 5:]
    if mirror:
        x, y = 1 - x[:, MIRRORED], y[:, MIRRORED]
        offsets = np.stack([-offsets[:, 2], offsets[:, 1], -offsets[:, 0], offsets[:, 3]], axis=1)
    side = (boxes[:, 2:] - boxes[:, :2])[:, None]
    return apply_offsets(boxes, offsets), probabilities[:, 1], np.stack([x, y], axis=2) * side + boxes[:, None, :2]


def _stack(images: list[np.ndarray]) -> np.ndarray:
    """Images of different sizes in one array, each in the upper left corner, padded with grey."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    stacked = np.full((len(images), height, width, 3), GREY[0], np.uint8)
    for place, image in zip(stacked, images, strict=True):
        place[: image.shape[0], : image.shape[1]] = image
    return stacked


def _cut(pyramids: list[Pyramid], boxes: Floats, image: NDArray[np.int64], side: int) -> Pixels:
    """Cut boxes (n, 4) from the pyramids numbered by `image` (n,): uint8 (n, side, side, 3)."""
    patches = np.empty((len(boxes), side, side, 3), np.uint8)
    for patch, box, at in zip(patches, boxes, image.tolist(), strict=True):
        pyramids[at].cut(box, side, patch)
    return patches


# Boxes


def apply_offsets(boxes: Floats, offsets: Floats) -> Floats:
    """Move the edges by a net's offsets, which are shares of the box's sides."""
    return boxes + offsets * np.concatenate(2 * [boxes[..., 2:] - boxes[..., :2]], axis=-1)


def make_square(boxes: Floats) -> Floats:
    """Extend the shorter sides around the same centres."""
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = (boxes[..., 2:] - boxes[..., :2]).max(axis=-1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def take_best(boxes: Floats, scores: Floats, count: int) -> tuple[Floats, Floats]:
    """The `count` boxes of each image with the highest scores, in descending order; of equal scores the first.

    Fewer places are returned, but at least one, where no image fills `count`: later steps are quadratic in them.
    """
    count = min(count, max(1, int((scores > 0).sum(axis=1).max(initial=0))))
    order = (-scores).argsort(axis=1, kind="stable")[:, :count]
    return np.take_along_axis(boxes, order[:, :, None], axis=1), np.take_along_axis(scores, order, axis=1)


def suppress_overlaps(boxes: Floats, scores: Floats, overlap: float, of_union: bool = False) -> NDArray[np.bool_]:
    """Non-maximum suppression in each image: return a mask, shaped as `scores`, of the boxes that are kept.

    A box is dropped if a kept box with a higher score overlaps it by more than `overlap`, a share (0-1) of the smaller
    of both boxes, or of their union with `of_union`. Places with a score of 0 are not kept.
    """
    clash = _overlaps(boxes, of_union) > overlap
    kept = scores > 0
    row = np.arange(len(scores))
    for at in (-scores).argsort(axis=1, kind="stable").T:
        beaten = clash[row, at] & kept[row, at, None]
        beaten[row, at] = False
        kept &= ~beaten
    return kept


def average_overlapping(boxes: Floats, scores: Floats) -> Floats:
    """Return for each box the score-weighted mean of all boxes of the image that show the same face (`SAME_FACE`).

    The mean varies less than the best box does. A box that overlaps no box with a score stays as it is.
    """
    weight = (_overlaps(boxes, of_union=True) > SAME_FACE) * scores[:, None]
    total = weight.sum(axis=2, keepdims=True)
    return np.where(total > 0, weight @ boxes / np.where(total > 0, total, 1), boxes)


def _overlaps(boxes: Floats, of_union: bool) -> Floats:
    """Return the overlap of each pair of boxes of an image, (images, n, n), as `suppress_overlaps` measures it."""
    low = np.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = np.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    common = (high - low).clip(min=0).prod(axis=-1)
    area = (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(axis=-1)
    one, other = area[:, :, None], area[:, None]
    whole = one + other - common if of_union else np.minimum(one, other)
    return common / whole.clip(min=1e-9)
