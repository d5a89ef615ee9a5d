"""A picture at ever smaller sizes, and square pieces cut from it at the size a net wants."""

from dataclasses import dataclass

import cv2
import numpy as np

from shared.faces.picture_files import NEUTRAL

GREY = (NEUTRAL, NEUTRAL, NEUTRAL)


@dataclass(frozen=True)
class Pyramid:
    """Copies of a picture, each half as large as the one before; boxes are given in pixels of the first."""

    levels: list[np.ndarray]
    """uint8 RGB, (height, width, 3)."""

    scale: float
    """Pixels of the picture per pixel of the first level."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first level."""
        height, width = self.levels[0].shape[:2]
        return height, width

    def resized(self, share: float, least: int) -> np.ndarray:
        """The picture at `share` of the first level's size, each side at least `least` pixels."""
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
