"""From landmarks to a crop: the similarity transform that puts the eyes at `shared.crops.EYES`.

Two eyes, not five points: under a mask the detector guesses nose and mouth, and is off by about a quarter of the eye
distance, while the eyes stay where they are (`benchmarks/alignment.py` measures both).

The one face that is wanted in each image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from shared.crops import CROP_SIZE, DETECTED, EYES, RETRIED
from shared.faces.image_io import NEUTRAL, DecodedImage
from shared.faces.mtcnn import Detector, Faces, detect
from shared.faces.recipe import RECIPE


def eye_transform(eyes: np.ndarray) -> np.ndarray:
    """The similarity that takes two eyes, shape (2, 2) in source pixels, to `EYES`: a 2x3 matrix for column vectors.

    In complex numbers z -> a*z + b, where a = (r' - l') / (r - l) and b = l' - a*l.
    """
    left, right = (complex(*eye) for eye in eyes)
    to_left, to_right = (complex(*eye) for eye in EYES)
    a = (to_right - to_left) / (right - left)
    b = to_left - a * left
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def crop(image: DecodedImage, eyes: np.ndarray) -> np.ndarray:
    """The aligned crop, uint8 RGB (256, 256, 3); `eyes` in pixels of the full-size image, shape (2, 2).

    Beyond the image's edge the crop is neutral grey.
    """
    pixels, eyes = _shrink(image.pixels, (eyes + 0.5) / image.scale - 0.5)
    # OpenCV warps four channels in less than half the time that it takes for three.
    four = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    warped = cv2.warpAffine(four, eye_transform(eyes), (CROP_SIZE, CROP_SIZE), borderValue=(NEUTRAL,) * 4)
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)


def _shrink(pixels: np.ndarray, eyes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average blocks of pixels first where the crop is less than half as large: a warp alone would skip pixels."""
    factor = int(np.hypot(*(eyes[1] - eyes[0])) / (EYES[1][0] - EYES[0][0]))
    if factor < 2:
        return pixels, eyes
    height, width = (max(1, length // factor) for length in pixels.shape[:2])
    ratio = np.array([pixels.shape[1] / width, pixels.shape[0] / height])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), (eyes + 0.5) / ratio - 0.5


CONTRAST = 3.0
"""At most so many times the local contrast of the original."""

EYES_APART = 0.1
"""Share of the box's side; closer eyes are no face, and would blow a few pixels up to a crop."""


@dataclass(frozen=True)
class DetectedFace:
    """A face in an image; lengths in pixels of the upright full-size image."""

    found: str
    """`shared.crops.DETECTED` or `RETRIED`."""

    faces: int
    """How many faces the image seems to hold."""

    probability: float
    box: np.ndarray
    """x0, y0, x1, y1."""

    landmarks: np.ndarray
    """Shape (5, 2): eyes, nose, corners of the mouth; of each pair the left one first, as seen."""


def find_faces(images: Sequence[DecodedImage], detector: Detector | None = None) -> list[DetectedFace | None]:
    """The face of each image, or None where none was found.

    What one look misses is searched again by the next: `RECIPE.looks`.
    """
    found: list[DetectedFace | None] = [None] * len(images)
    for number, look in enumerate(RECIPE.looks):
        missed = [at for at, face in enumerate(found) if face is None]
        searched = [images[at].pixels for at in missed]
        if look.contrast:
            searched = [enhance_contrast(pixels) for pixels in searched]
        answers = detect(searched, look.search, detector)
        for at, faces in zip(missed, answers, strict=True):
            found[at] = _choose(images[at], faces, RETRIED if number else DETECTED)
    return found


def enhance_contrast(pixels: np.ndarray) -> np.ndarray:
    """Local contrast of the luma evened out (CLAHE); uint8 RGB as given."""
    luma, *colours = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))
    luma = cv2.createCLAHE(clipLimit=CONTRAST, tileGridSize=(8, 8)).apply(luma)
    return cv2.cvtColor(cv2.merge([luma, *colours]), cv2.COLOR_YCrCb2RGB)


def _choose(image: DecodedImage, faces: Faces, found: str) -> DetectedFace | None:
    """A large and central face wins over a small one at the edge."""
    if not len(faces.boxes):
        return None
    best = int(np.argmax(prominence(faces, *image.pixels.shape[:2])))
    box, landmarks = (full_size(places[best], image.scale) for places in (faces.boxes, faces.landmarks))
    if np.hypot(*(landmarks[1] - landmarks[0])) < EYES_APART * (box[2] - box[0]):
        return None
    return DetectedFace(found, len(faces.boxes), float(faces.probabilities[best]), box, landmarks)


def prominence(faces: Faces, height: int, width: int) -> np.ndarray:
    """probability x side x how central: 1 in the middle of the image, 0 in its corners; shape (faces,)."""
    side = np.sqrt(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1).clip(min=0))
    centre = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    offset = np.hypot(*(centre - np.array([width, height]) / 2).T)
    return faces.probabilities * side * (1 - offset / (np.hypot(width, height) / 2)).clip(min=0.01)


def full_size(places: np.ndarray, scale: float) -> np.ndarray:
    """From pixels of the decoded image to those of the full-size one; 0 is the centre of the first pixel."""
    return (places + 0.5) * scale - 0.5
