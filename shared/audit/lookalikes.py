"""Pictures that are nearly the same, told by a perceptual hash of the aligned face.

The signs of the lowest frequencies of a cosine transform: Zauner, "Implementation and Benchmarking of Perceptual Image
Hash Functions", 2010. They outlast another size, another light and another JPEG quality. On an aligned crop they also
outlast another framing, and the mirror image can be asked for too.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.int8]
Distances = NDArray[np.float32]

_ROWS = 512
"""Hashes are compared with all others so many at a time: all with all may be more than memory holds."""

FACE = (slice(40, 232), slice(32, 224))
"""Rows and columns of the crop that are hashed: brows to chin, with little of what is behind the head."""

SIDE = 64
"""Pixels that the face is reduced to."""

LOWEST = 16
"""So many frequencies each way, so 256 bits less the first, which is brightness."""


class Likeness(NamedTuple):
    """Two places in a list of pictures, and how far apart they are."""

    one: int
    other: int
    distance: float
    """Share of bits that differ, 0-1: 0 for copies, about a half for what has nothing in common."""
    mirrored: bool


def face_hash(crop: NDArray[np.uint8]) -> Bits:
    """The hash (255,) of an aligned crop, uint8 RGB (256, 256, 3): +1 and -1."""
    grey = cv2.cvtColor(crop[FACE], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    lowest = cv2.dct(small)[:LOWEST, :LOWEST].ravel()[1:]
    return np.where(lowest > np.median(lowest), 1, -1).astype(np.int8)


def mirrored(bits: Bits) -> Bits:
    """The hash of the mirror image: odd horizontal frequencies change their sign."""
    signs = np.ones((LOWEST, LOWEST), np.int8)
    signs[:, 1::2] = -1
    return (bits * signs.ravel()[1:]).astype(np.int8)


def distances(hashes: Bits, others: Bits) -> Distances:
    """Share of bits that differ (N, M), of hashes (N, 255) and others (M, 255)."""
    same = hashes.astype(np.float32) @ others.astype(np.float32).T
    return 0.5 - 0.5 * same / hashes.shape[1]


def nearest(hashes: Bits, others: Bits) -> tuple[Distances, NDArray[np.int64]]:
    """For each of the hashes (N, 255) the distance of the nearest of the others (M, 255), M > 0, and its place."""
    found = np.zeros(len(hashes), np.float32), np.zeros(len(hashes), np.int64)
    for start in range(0, len(hashes), _ROWS):
        rows = slice(start, start + _ROWS)
        apart = distances(hashes[rows], others)
        found[0][rows], found[1][rows] = apart.min(axis=1), apart.argmin(axis=1)
    return found


def look_alikes(hashes: Bits, limit: float) -> list[Likeness]:
    """The pairs among hashes (N, 255) no further apart than `limit`, as they are or mirrored; nearest first."""
    found = []
    for turned in (False, True):
        others = mirrored(hashes) if turned else hashes
        for start in range(0, len(hashes), _ROWS):
            apart = distances(hashes[start : start + _ROWS], others)
            one, other = np.nonzero(np.triu(apart <= limit, k=start + 1))
            found += [
                Likeness(start + int(i), int(j), float(apart[i, j]), turned) for i, j in zip(one, other, strict=True)
            ]
    return sorted(found, key=lambda pair: (pair.distance, pair.mirrored))
