"""MTCNN for many portraits at once: nets and weights as in facenet-pytorch, in a cascade of our own.

Zhang et al., "Joint face detection and alignment using multitask cascaded convolutional networks", 2016. P-Net
proposes boxes all over a small copy of the picture, R-Net sorts them out, O-Net says where five landmarks lie. What
differs from facenet-pytorch:

- pictures of any sizes go through the nets together; all that is left to do one by one is cutting, in OpenCV;
- the search is as coarse as the size of faces in portraits allows, and few candidates per picture go on;
- O-Net looks twice, the second time at the mirror image of the box that it found the first time, and the mean of
  both counts: its guesses lean to one side, under a mask by 4 % of the eye distance (`benchmarks/alignment.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.faces.boxes import SAME, best, shift, square, suppress, vote
from shared.faces.nets import load_nets
from shared.faces.pyramid import GREY, Pyramid, build_pyramid
from shared.faces.recipe import Search

STRIDE, CELL = 2, 12
"""Of P-Net: pixels from one box that it judges to the next, and their side."""

RNET_SIDE, ONET_SIDE = 24, 48
STEP = 0.709
"""From one size of P-Net's picture to the next: half the area."""

PER_LEVEL = 12
"""So many of P-Net's boxes of one size are looked at further."""

NET_BATCH = 32
"""Pieces that go through a net together on CPU, so that what lies between its layers stays in the cache."""

MIRRORED = [1, 0, 2, 4, 3]
"""Order of the landmarks in the mirror image."""


@dataclass(frozen=True)
class Faces:
    """What was found in one picture, the most probable first; lengths in pixels of the picture given to `detect`."""

    boxes: np.ndarray
    """float32, shape (faces, 4): x0, y0, x1, y1."""

    probabilities: np.ndarray
    """float32, shape (faces,)."""

    landmarks: np.ndarray
    """float32, shape (faces, 5, 2): eyes, nose, corners of the mouth; of each pair the left one first, as seen."""


@torch.inference_mode()
def detect(pictures: Sequence[np.ndarray], search: Search, device: str = "cpu") -> list[Faces]:
    """All faces in each of the pictures: uint8 RGB arrays (height, width, 3) of any sizes."""
    if not pictures:
        return []
    pyramids = [build_pyramid(picture, search.side) for picture in pictures]
    boxes, scores = _propose(pyramids, search, device)
    boxes, scores = _sort_out(pyramids, boxes, scores, search, device)
    boxes, scores, landmarks = _look_closely(pyramids, boxes, scores, device)
    kept = suppress(boxes, scores, overlap=0.5) & (scores >= search.onet)
    return [
        _faces(boxes[at, kept[at]], scores[at, kept[at]], landmarks[at, kept[at]], pyramid.scale)
        for at, pyramid in enumerate(pyramids)
    ]


def _faces(boxes: Tensor, scores: Tensor, landmarks: Tensor, scale: float) -> Faces:
    """From pixels of the first level, counted from its outer edge, to the picture's own, counted from pixel centres."""
    order = scores.argsort(descending=True)
    return Faces((boxes[order] * scale - 0.5).numpy(), scores[order].numpy(), (landmarks[order] * scale - 0.5).numpy())


def _propose(pyramids: list[Pyramid], search: Search, device: str) -> tuple[Tensor, Tensor]:
    """P-Net: boxes (pictures, candidates, 4) and their scores (pictures, candidates), 0 for none."""
    share, found = CELL / search.smallest, []
    while share * max(max(pyramid.size) for pyramid in pyramids) >= CELL:
        found.append(_propose_at(pyramids, share, search.pnet, device))
        share *= STEP
    boxes, scores = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
    boxes, scores = best(boxes, scores, 4 * search.rnet_candidates)
    return best(boxes, scores * suppress(boxes, scores, overlap=SAME, of_union=True), search.rnet_candidates)


def _propose_at(pyramids: list[Pyramid], share: float, threshold: float, device: str) -> tuple[Tensor, Tensor]:
    small = [pyramid.resized(share, CELL) for pyramid in pyramids]
    shifts, scores = _run(load_nets(device).pnet, _stack(small), device)
    scores = scores[:, 1] * _inside(small, *scores.shape[2:])
    peaks = scores * (scores == functional.max_pool2d(scores, 3, 1, 1)) * (scores >= threshold)
    height, width = scores.shape[1:]
    highest, at = peaks.flatten(1).topk(min(PER_LEVEL, height * width))
    corner = torch.stack([at % width, at // width], 2) * float(STRIDE)
    # A small copy's sides are whole pixels, so its scale differs a little between x and y.
    scale = torch.tensor(
        [(p.size[1] / s.shape[1], p.size[0] / s.shape[0]) for p, s in zip(pyramids, small, strict=True)]
    )
    boxes = torch.cat([corner, corner + CELL], 2) * scale.repeat(1, 2)[:, None]
    return square(shift(boxes, shifts.flatten(2).gather(2, at[:, None].expand(-1, 4, -1)).mT)), highest


def _inside(pictures: list[np.ndarray], height: int, width: int) -> Tensor:
    """Which of P-Net's boxes show nothing but the picture: bool, shape (pictures, height, width).

    The others see what happens to lie around it in the stack, and would make the answer depend on its neighbours.
    """
    ends = torch.arange(max(height, width)) * STRIDE + CELL
    sizes = torch.tensor([picture.shape[:2] for picture in pictures])
    return (ends[:height] <= sizes[:, :1])[:, :, None] & (ends[:width] <= sizes[:, 1:])[:, None]


def _sort_out(
    pyramids: list[Pyramid], boxes: Tensor, scores: Tensor, search: Search, device: str
) -> tuple[Tensor, Tensor]:
    """R-Net: better boxes, one for each face that there may be."""
    picture, candidate = torch.nonzero(scores, as_tuple=True)
    shifts, judged = _run(load_nets(device).rnet, _cut(pyramids, boxes[picture, candidate], picture, RNET_SIDE), device)
    boxes, scores = boxes.clone(), torch.zeros_like(scores)
    boxes[picture, candidate] = square(shift(boxes[picture, candidate], shifts))
    scores[picture, candidate] = judged[:, 1] * (judged[:, 1] >= search.rnet)
    return best(vote(boxes, scores), scores * suppress(boxes, scores, overlap=0.5), search.onet_candidates)


def _look_closely(pyramids: list[Pyramid], boxes: Tensor, scores: Tensor, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """O-Net, twice: boxes, scores, and landmarks (pictures, candidates, 5, 2)."""
    picture, candidate = torch.nonzero(scores, as_tuple=True)
    first, score, points = _onet(pyramids, boxes[picture, candidate], picture, device, mirror=False)
    last, again, mirrored = _onet(pyramids, square(first), picture, device, mirror=True)
    boxes, scores = boxes.clone(), torch.zeros_like(scores)
    landmarks = torch.zeros(*scores.shape, 5, 2)
    boxes[picture, candidate], scores[picture, candidate] = last, (score + again) / 2
    landmarks[picture, candidate] = (points + mirrored) / 2
    return boxes, scores, landmarks


def _onet(
    pyramids: list[Pyramid], boxes: Tensor, picture: Tensor, device: str, mirror: bool
) -> tuple[Tensor, Tensor, Tensor]:
    pieces = _cut(pyramids, boxes, picture, ONET_SIDE)
    shifts, points, judged = _run(load_nets(device).onet, pieces[:, :, ::-1] if mirror else pieces, device)
    x, y = points[:, :5], points[:, 5:]
    if mirror:
        x, y = 1 - x[:, MIRRORED], y[:, MIRRORED]
        shifts = torch.stack([-shifts[:, 2], shifts[:, 1], -shifts[:, 0], shifts[:, 3]], 1)
    side = (boxes[:, 2:] - boxes[:, :2])[:, None]
    return shift(boxes, shifts), judged[:, 1], torch.stack([x, y], 2) * side + boxes[:, None, :2]


def _run(net: nn.Module, pieces: np.ndarray, device: str) -> tuple[Tensor, ...]:
    """A net's outputs, on CPU, for uint8 pieces (count, side, side, 3)."""
    some = pieces if len(pieces) else np.zeros((1, *pieces.shape[1:]), np.uint8)  # The nets cannot deal with nothing.
    size = NET_BATCH if device == "cpu" else len(some)
    parts = []
    for batch in torch.from_numpy(np.ascontiguousarray(some)).split(size):
        scaled = (batch.to(device).permute(0, 3, 1, 2).float() - 127.5) / 128
        parts.append([out.cpu() for out in net(scaled)])
    return tuple(torch.cat(outs)[: len(pieces)] for outs in zip(*parts, strict=True))


def _stack(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of different sizes in one array, each in the upper left corner."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    stacked = np.full((len(pictures), height, width, 3), GREY[0], np.uint8)
    for place, picture in zip(stacked, pictures, strict=True):
        place[: picture.shape[0], : picture.shape[1]] = picture
    return stacked


def _cut(pyramids: list[Pyramid], boxes: Tensor, picture: Tensor, side: int) -> np.ndarray:
    pieces = np.empty((len(boxes), side, side, 3), np.uint8)
    for piece, box, at in zip(pieces, boxes.numpy(), picture.tolist(), strict=True):
        pyramids[at].cut(box, side, piece)
    return pieces
