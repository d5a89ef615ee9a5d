"""Annotated copies of photographs: a box and a caption for each face."""

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.predictor.results import Face, Photograph

COLOURS = {"worn": (34, 139, 34), "incorrect": (230, 130, 0), "none": (200, 30, 30)}
"""RGB of the box by mask state."""

INK = (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(pixels: NDArray[np.uint8], photograph: Photograph) -> NDArray[np.uint8]:
    """Return a copy of the photograph's pixels, uint8 RGB at any size, with a box and a caption for each face."""
    drawn = np.ascontiguousarray(pixels).copy()
    scale = max(drawn.shape[:2]) / max(photograph.width, photograph.height)
    for number, face in enumerate(photograph.faces, 1):
        _draw_face(drawn, face, number, scale)
    return drawn


def _draw_face(pixels: NDArray[np.uint8], face: Face, number: int, scale: float) -> None:
    x0, y0, x1, y1 = (round((value + 0.5) * scale - 0.5) for value in face.box)
    colour = COLOURS[face.mask.name]
    cv2.rectangle(pixels, (x0, y0), (x1, y1), colour, max(1, round(max(pixels.shape[:2]) / 500)))
    lines = (f"{number}: mask {face.mask.name}", f"{face.gender.name}, {face.band.name}", f"age {face.age}")
    # Letters scale with the face, within readable limits.
    size = float(np.clip((x1 - x0) / 190, 0.3, 1.2))
    extents = [cv2.getTextSize(line, FONT, size, 1) for line in lines]
    height = max(extent[1] + base for extent, base in extents) + 2
    width = max(extent[0] for extent, _ in extents) + 4
    # Below the box, or inside it at the lower edge of the photograph.
    top = min(y1, pixels.shape[0] - height * len(lines))
    left = int(np.clip(x0, 0, max(0, pixels.shape[1] - width)))
    cv2.rectangle(pixels, (left, top), (left + width, top + height * len(lines)), colour, cv2.FILLED)
    for row, line in enumerate(lines, 1):
        corner = (left + 2, top + row * height - height // 4)
        cv2.putText(pixels, line, corner, FONT, size, INK, 1, cv2.LINE_AA)
