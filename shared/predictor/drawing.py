"""Photographs with their faces boxed and answered for."""

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.predictor.results import Face, Photograph

Pixels = NDArray[np.uint8]

COLOURS = {"worn": (34, 139, 34), "incorrect": (230, 130, 0), "none": (200, 30, 30)}
"""RGB of the box by mask state."""

INK = (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(pixels: Pixels, photograph: Photograph) -> Pixels:
    """A copy of the photograph, uint8 RGB at any size, with a box and a caption for each face."""
    drawn = np.ascontiguousarray(pixels).copy()
    share = max(drawn.shape[:2]) / max(photograph.width, photograph.height)
    for number, face in enumerate(photograph.faces, 1):
        _draw_face(drawn, face, number, share)
    return drawn


def caption(face: Face, number: int) -> tuple[str, ...]:
    """The lines below a face."""
    return (
        f"{number}: mask {face.mask.name}",
        f"{face.gender.name}, {face.band.name}",
        f"age {face.age}",
    )


def _draw_face(pixels: Pixels, face: Face, number: int, share: float) -> None:
    x0, y0, x1, y1 = (round((value + 0.5) * share - 0.5) for value in face.box)
    colour = COLOURS[face.mask.name]
    thick = max(1, round(max(pixels.shape[:2]) / 500))
    cv2.rectangle(pixels, (x0, y0), (x1, y1), colour, thick)
    lines = caption(face, number)
    # As wide as the face, but readable and no larger than a headline.
    scale = float(np.clip((x1 - x0) / 190, 0.3, 1.2))
    sizes = [cv2.getTextSize(line, FONT, scale, 1) for line in lines]
    height = max(size[1] + base for size, base in sizes) + 2
    width = max(size[0] for size, _ in sizes) + 4
    # Below the box, or inside it where the photograph ends.
    top = min(y1, pixels.shape[0] - height * len(lines))
    left = int(np.clip(x0, 0, max(0, pixels.shape[1] - width)))
    cv2.rectangle(pixels, (left, top), (left + width, top + height * len(lines)), colour, cv2.FILLED)
    for row, line in enumerate(lines, 1):
        cv2.putText(pixels, line, (left + 2, top + row * height - height // 4), FONT, scale, INK, 1, cv2.LINE_AA)
