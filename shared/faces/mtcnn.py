"""Sums with boxes: x0, y0, x1, y1 in the last dimension of a float array; scores of 0 stand for no box.

Where it says images, boxes are (images, boxes, 4) and scores (images, boxes).

An image at ever smaller sizes, and square pieces cut from it at the size a net wants.

MTCNN for many portraits at once: nets and weights as in facenet-pytorch, in a cascade of our own.

Zhang et al., "Joint face detection and alignment using multitask cascaded convolutional networks", 2016. P-Net
proposes boxes all over a small copy of the image, R-Net sorts them out, O-Net says where five landmarks lie. What
differs from facenet-pytorch:

- images of any sizes go through the nets together; all that is left to do one by one is cutting, in OpenCV;
- the search is as coarse as the size of faces in portraits allows, and few candidates per image go on;
- O-Net looks twice, the second time at the mirror image of the box that it found the first time, and the mean of
  both counts: its guesses lean to one side, under a mask by 4 % of the eye distance (`benchmarks/alignment.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.faces.image_io import NEUTRAL
from shared.faces.recipe import Search

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
    """The highest scores of each image, in descending order, and their boxes; the first of equals first.

    No more of them than the image with the most boxes has, but one: what follows takes their number squared.
    """
    count = min(count, max(1, int((scores > 0).sum(axis=1).max(initial=0))))
    order = (-scores).argsort(axis=1, kind="stable")[:, :count]
    return np.take_along_axis(boxes, order[:, :, None], axis=1), np.take_along_axis(scores, order, axis=1)


def suppress(boxes: Floats, scores: Floats, overlap: float, of_union: bool = False) -> NDArray[np.bool_]:
    """Non-maximum suppression in each image: which boxes are overlapped by no better one; as `scores`."""
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
    """Common area of each two boxes of an image as a share of their union, or of the smaller one."""
    low = np.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = np.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    common = (high - low).clip(min=0).prod(axis=-1)
    area = (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(axis=-1)
    one, other = area[:, :, None], area[:, None]
    whole = one + other - common if of_union else np.minimum(one, other)
    return common / whole.clip(min=1e-9)


GREY = (NEUTRAL, NEUTRAL, NEUTRAL)


@dataclass(frozen=True)
class Pyramid:
    """Copies of an image, each half as large as the one before; boxes are given in pixels of the first."""

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
        """Write what a square box (x0, y0, x1, y1) shows into a uint8 array (size, size, 3); grey beyond the edge.

        Takes the level at which it shrinks by less than two, so that linear interpolation leaves out no pixel.
        """
        x0, y0, x1, _ = (float(value) for value in box)
        zoom, level = size / max(x1 - x0, 1.0), 0
        while zoom <= 0.5 and level + 1 < len(self.levels):
            zoom, level = zoom * 2, level + 1
        left, top = x0 / 2**level, y0 / 2**level
        # A box's edge x0 = 0 lies on the outer edge of pixel 0, whose centre has the coordinate 0.
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


Pixels = NDArray[np.uint8]

STRIDE, CELL = 2, 12
"""Of P-Net: pixels from one box that it judges to the next, and their side."""

RNET_SIDE, ONET_SIDE = 24, 48
STEP = 0.709
"""From one size of P-Net's image to the next: half the area."""

PER_LEVEL = 12
"""So many of P-Net's boxes of one size are looked at further, where a portrait is expected."""

MIRRORED = [1, 0, 2, 4, 3]
"""Order of the landmarks in the mirror image."""


Net = Callable[[Pixels], tuple[Floats, ...]]
"""Pieces of images, uint8 RGB (count, height, width, 3), at least one, to what a net says of them, float32."""


class Detector(NamedTuple):
    """The three nets; `nets.load_detector` has them run by torch."""

    pnet: Net
    """Shifts (count, 4, h, w) and probabilities of no face and of a face (count, 2, h, w)."""
    rnet: Net
    """Pieces of 24 x 24 pixels: shifts (count, 4), probabilities (count, 2)."""
    onet: Net
    """Pieces of 48 x 48 pixels: shifts (count, 4), points (count, 10), probabilities (count, 2)."""


@dataclass(frozen=True)
class Faces:
    """What was found in one image, the most probable first; lengths in pixels of the image given to `detect`."""

    boxes: np.ndarray
    """float32, shape (faces, 4): x0, y0, x1, y1."""

    probabilities: np.ndarray
    """float32, shape (faces,)."""

    landmarks: np.ndarray
    """float32, shape (faces, 5, 2): eyes, nose, corners of the mouth; of each pair the left one first, as seen."""


def detect(
    images: Sequence[Pixels], search: Search, detector: Detector | None = None, per_level: int = PER_LEVEL
) -> list[Faces]:
    """All faces in each of the images: uint8 RGB arrays (height, width, 3) of any sizes.

    The nets are run by torch on CPU where no `detector` is given.
    """
    if not images:
        return []
    nets = detector or _default()
    pyramids = [build_pyramid(image, search.side) for image in images]
    boxes, scores = _propose(pyramids, search, nets.pnet, per_level)
    boxes, scores = _sort_out(pyramids, boxes, scores, search, nets.rnet)
    boxes, scores, landmarks = _look_closely(pyramids, boxes, scores, nets.onet)
    kept = suppress(boxes, scores, overlap=0.5) & (scores >= search.onet)
    return [
        _faces(boxes[at, kept[at]], scores[at, kept[at]], landmarks[at, kept[at]], pyramid.scale)
        for at, pyramid in enumerate(pyramids)
    ]


def _default() -> Detector:
    from shared.faces.mtcnn_nets import load_detector  # Loads torch, which whoever brings other nets does without.

    return load_detector("cpu")


def _faces(boxes: Floats, scores: Floats, landmarks: Floats, scale: float) -> Faces:
    """From pixels of the first level, counted from its outer edge, to the image's own, counted from pixel centres."""
    order = (-scores).argsort(kind="stable")
    return Faces(boxes[order] * scale - 0.5, scores[order], landmarks[order] * scale - 0.5)


def _propose(pyramids: list[Pyramid], search: Search, pnet: Net, per_level: int) -> tuple[Floats, Floats]:
    """P-Net: boxes (images, candidates, 4) and their scores (images, candidates), 0 for none."""
    share, found = CELL / search.smallest, []
    while share * max(max(pyramid.size) for pyramid in pyramids) >= CELL:
        found.append(_propose_at(pyramids, share, search.pnet, pnet, per_level))
        share *= STEP
    boxes, scores = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    boxes, scores = best(boxes, scores, 4 * search.rnet_candidates)
    return best(boxes, scores * suppress(boxes, scores, overlap=SAME, of_union=True), search.rnet_candidates)


def _propose_at(
    pyramids: list[Pyramid], share: float, threshold: float, pnet: Net, per_level: int
) -> tuple[Floats, Floats]:
    small = [pyramid.resized(share, CELL) for pyramid in pyramids]
    shifts, judged = pnet(_stack(small))
    scores = judged[:, 1] * _inside(small, *judged.shape[2:])
    peaks = (scores * (scores == _highest_around(scores)) * (scores >= threshold)).reshape(len(scores), -1)
    at = (-peaks).argsort(axis=1, kind="stable")[:, :per_level]
    corner = np.stack(np.divmod(at, scores.shape[2])[::-1], axis=2).astype(np.float32) * STRIDE
    # A small copy's sides are whole pixels, so its scale differs a little between x and y.
    sides = [(p.size[1] / s.shape[1], p.size[0] / s.shape[0]) for p, s in zip(pyramids, small, strict=True)]
    boxes = np.concatenate([corner, corner + CELL], axis=2) * np.tile(np.array(sides, np.float32), 2)[:, None]
    moved = np.take_along_axis(shifts.reshape(len(shifts), 4, -1), at[:, None], axis=2).transpose(0, 2, 1)
    return square(shift(boxes, moved)), np.take_along_axis(peaks, at, axis=1)


def _highest_around(scores: Floats) -> Floats:
    """The highest score among each box and its eight neighbours; (images, height, width) as given."""
    padded = np.pad(scores, ((0, 0), (1, 1), (1, 1)))
    rows = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def _inside(images: list[np.ndarray], height: int, width: int) -> NDArray[np.bool_]:
    """Which of P-Net's boxes show nothing but the image: (images, height, width).

    The others see what happens to lie around it in the stack, and would make the answer depend on its neighbours.
    """
    ends = np.arange(max(height, width)) * STRIDE + CELL
    sizes = np.array([image.shape[:2] for image in images])
    return (ends[:height] <= sizes[:, :1])[:, :, None] & (ends[:width] <= sizes[:, 1:])[:, None]


def _sort_out(
    pyramids: list[Pyramid], boxes: Floats, scores: Floats, search: Search, rnet: Net
) -> tuple[Floats, Floats]:
    """R-Net: better boxes, one for each face that there may be."""
    image, candidate = np.nonzero(scores)
    if not len(image):
        return best(boxes, scores, search.onet_candidates)
    shifts, judged = rnet(_cut(pyramids, boxes[image, candidate], image, RNET_SIDE))
    boxes, scores = boxes.copy(), np.zeros_like(scores)
    boxes[image, candidate] = square(shift(boxes[image, candidate], shifts))
    scores[image, candidate] = judged[:, 1] * (judged[:, 1] >= search.rnet)
    return best(vote(boxes, scores), scores * suppress(boxes, scores, overlap=0.5), search.onet_candidates)


def _look_closely(pyramids: list[Pyramid], boxes: Floats, scores: Floats, onet: Net) -> tuple[Floats, Floats, Floats]:
    """O-Net, twice: boxes, scores, and landmarks (images, candidates, 5, 2)."""
    image, candidate = np.nonzero(scores)
    boxes, scores, landmarks = boxes.copy(), np.zeros_like(scores), np.zeros((*scores.shape, 5, 2), np.float32)
    if len(image):
        first, score, points = _judge(pyramids, boxes[image, candidate], image, onet, mirror=False)
        last, again, mirrored = _judge(pyramids, square(first), image, onet, mirror=True)
        boxes[image, candidate], scores[image, candidate] = last, (score + again) / 2
        landmarks[image, candidate] = (points + mirrored) / 2
    return boxes, scores, landmarks


def _judge(
    pyramids: list[Pyramid], boxes: Floats, image: NDArray[np.int64], onet: Net, mirror: bool
) -> tuple[Floats, Floats, Floats]:
    pieces = _cut(pyramids, boxes, image, ONET_SIDE)
    shifts, points, judged = onet(np.ascontiguousarray(pieces[:, :, ::-1]) if mirror else pieces)
    x, y = points[:, :5], points[:, 5:]
    if mirror:
        x, y = 1 - x[:, MIRRORED], y[:, MIRRORED]
        shifts = np.stack([-shifts[:, 2], shifts[:, 1], -shifts[:, 0], shifts[:, 3]], axis=1)
    side = (boxes[:, 2:] - boxes[:, :2])[:, None]
    return shift(boxes, shifts), judged[:, 1], np.stack([x, y], axis=2) * side + boxes[:, None, :2]


def _stack(images: list[np.ndarray]) -> np.ndarray:
    """Images of different sizes in one array, each in the upper left corner."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    stacked = np.full((len(images), height, width, 3), GREY[0], np.uint8)
    for place, image in zip(stacked, images, strict=True):
        place[: image.shape[0], : image.shape[1]] = image
    return stacked


def _cut(pyramids: list[Pyramid], boxes: Floats, image: NDArray[np.int64], side: int) -> Pixels:
    pieces = np.empty((len(boxes), side, side, 3), np.uint8)
    for piece, box, at in zip(pieces, boxes, image.tolist(), strict=True):
        pyramids[at].cut(box, side, piece)
    return pieces
