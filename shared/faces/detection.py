"""The one face that is wanted in each picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from shared.crops import DETECTED, RETRIED
from shared.faces.cascade import Detector, Faces, detect
from shared.faces.picture_files import Picture
from shared.faces.recipe import RECIPE

CONTRAST = 3.0
"""At most so many times the local contrast of the original."""

EYES_APART = 0.1
"""Share of the box's side; closer eyes are no face, and would blow a few pixels up to a crop."""


@dataclass(frozen=True)
class Face:
    """A face in a picture; lengths in pixels of the upright full-size picture."""

    found: str
    """`shared.crops.DETECTED` or `RETRIED`."""

    faces: int
    """How many faces the picture seems to hold."""

    probability: float
    box: np.ndarray
    """x0, y0, x1, y1."""

    landmarks: np.ndarray
    """Shape (5, 2): eyes, nose, corners of the mouth; of each pair the left one first, as seen."""


def find_faces(pictures: Sequence[Picture], detector: Detector | None = None) -> list[Face | None]:
    """The face of each picture, or None where none was found.

    What one look misses is searched again by the next: `RECIPE.looks`.
    """
    found: list[Face | None] = [None] * len(pictures)
    for number, look in enumerate(RECIPE.looks):
        missed = [at for at, face in enumerate(found) if face is None]
        searched = [pictures[at].pixels for at in missed]
        if look.contrast:
            searched = [enhance_contrast(pixels) for pixels in searched]
        answers = detect(searched, look.search, detector)
        for at, faces in zip(missed, answers, strict=True):
            found[at] = _choose(pictures[at], faces, RETRIED if number else DETECTED)
    return found


def enhance_contrast(pixels: np.ndarray) -> np.ndarray:
    """Local contrast of the luma evened out (CLAHE); uint8 RGB as given."""
    luma, *colours = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))
    luma = cv2.createCLAHE(clipLimit=CONTRAST, tileGridSize=(8, 8)).apply(luma)
    return cv2.cvtColor(cv2.merge([luma, *colours]), cv2.COLOR_YCrCb2RGB)


def _choose(picture: Picture, faces: Faces, found: str) -> Face | None:
    """A large and central face wins over a small one at the edge."""
    if not len(faces.boxes):
        return None
    best = int(np.argmax(prominence(faces, *picture.pixels.shape[:2])))
    box, landmarks = (full_size(places[best], picture.scale) for places in (faces.boxes, faces.landmarks))
    if np.hypot(*(landmarks[1] - landmarks[0])) < EYES_APART * (box[2] - box[0]):
        return None
    return Face(found, len(faces.boxes), float(faces.probabilities[best]), box, landmarks)


def prominence(faces: Faces, height: int, width: int) -> np.ndarray:
    """probability x side x how central: 1 in the middle of the picture, 0 in its corners; shape (faces,)."""
    side = np.sqrt(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1).clip(min=0))
    centre = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    offset = np.hypot(*(centre - np.array([width, height]) / 2).T)
    return faces.probabilities * side * (1 - offset / (np.hypot(width, height) / 2)).clip(min=0.01)


def full_size(places: np.ndarray, scale: float) -> np.ndarray:
    """From pixels of the decoded picture to those of the full-size one; 0 is the centre of the first pixel."""
    return (places + 0.5) * scale - 0.5
