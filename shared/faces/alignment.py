"""The one face of a portrait, and the transform that aligns it; `RECIPE` holds every setting of the crops.

A crop is aligned by the two eyes alone. Under a mask the detector guesses the nose and the mouth and is wrong by about
a quarter of the eye distance; the eyes stay correct (`benchmarks/alignment.py` measures both).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import cv2
import numpy as np

from shared.crops import CROP_SIZE, DETECTED, EYES, RETRIED
from shared.faces.image_io import NEUTRAL, DecodedImage
from shared.faces.mtcnn import Detector, Faces, Search, detect

CLAHE_CLIP_LIMIT = 3.0

MIN_EYE_DISTANCE = 0.1
"""Smallest eye distance of a usable face, as a share of its box's width; less would enlarge a few pixels to a crop."""


@dataclass(frozen=True)
class Attempt:
    """One attempt to find a face, made for the images in which earlier attempts found none."""

    search: Search
    contrast: bool = False
    """Whether local contrast is equalised first (CLAHE)."""


ATTEMPTS = (
    Attempt(Search(256, 60, 0.6, 0.6, 0.6, 4, 3)),
    # More pixels and lower thresholds, still for the large face of a portrait.
    Attempt(Search(512, 90, 0.4, 0.2, 0.5, 16, 4)),
    Attempt(Search(512, 120, 0.4, 0.2, 0.5, 16, 4), contrast=True),
    # Small faces last, with high thresholds: low ones accept knees and collars.
    Attempt(Search(512, 40, 0.6, 0.6, 0.6, 16, 4)),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that the pixels of a crop depend on. A changed value makes a new id, and all crops are made again."""

    version: int = 3
    """Version of the code that detects, chooses, aligns and encodes; raise it when the code makes other crops."""

    size: int = CROP_SIZE
    eyes: tuple[tuple[float, float], ...] = EYES
    jpeg_quality: int = 95
    attempts: tuple[Attempt, ...] = ATTEMPTS

    @cached_property
    def id(self) -> str:
        """Eight hex digits. Weights fit only crops of the recipe they were trained on."""
        return hashlib.blake2b(self.as_json().encode(), digest_size=4).hexdigest()

    def as_json(self) -> str:
        """The recipe as `recipe.json` stores it; the id is a hash of this text, so the keys must not change."""
        values = asdict(self)
        return json.dumps({"looks" if name == "attempts" else name: value for name, value in values.items()}, indent=2)


RECIPE = Recipe()


@dataclass(frozen=True)
class DetectedFace:
    """The face of an image; lengths in pixels of the upright full-size image."""

    found: str
    """`DETECTED` or `RETRIED` of `shared.crops`."""

    faces: int
    """Number of faces detected in the image."""

    probability: float
    box: np.ndarray
    """x0, y0, x1, y1."""

    landmarks: np.ndarray
    """Shape (5, 2): eyes, nose, corners of the mouth; of each pair the one at the left of the image first."""


def find_faces(
    images: Sequence[DecodedImage], detector: Detector, attempts: Sequence[Attempt] = RECIPE.attempts
) -> list[DetectedFace | None]:
    """Find the face of each image by several attempts, those of the recipe by default; None where all of them fail."""
    found: list[DetectedFace | None] = [None] * len(images)
    for number, attempt in enumerate(attempts):
        missed = [at for at, face in enumerate(found) if face is None]
        searched = [images[at].pixels for at in missed]
        if attempt.contrast:
            searched = [equalise_contrast(pixels) for pixels in searched]
        for at, faces in zip(missed, detect(searched, attempt.search, detector), strict=True):
            found[at] = _choose(images[at], faces, RETRIED if number else DETECTED)
    return found


def equalise_contrast(pixels: np.ndarray) -> np.ndarray:
    """Equalise the local contrast of the luma (CLAHE); uint8 RGB in and out."""
    luma, *colours = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))
    luma = cv2.createCLAHE(clipLimit=CLAHE_CLIP_LIMIT, tileGridSize=(8, 8)).apply(luma)
    return cv2.cvtColor(cv2.merge([luma, *colours]), cv2.COLOR_YCrCb2RGB)


def _choose(image: DecodedImage, faces: Faces, found: str) -> DetectedFace | None:
    """The most prominent face; None where there is none or its eyes are too close together."""
    if not len(faces.boxes):
        return None
    best = int(np.argmax(prominence(faces, *image.pixels.shape[:2])))
    box, landmarks = (full_size(places[best], image.scale) for places in (faces.boxes, faces.landmarks))
    if np.hypot(*(landmarks[1] - landmarks[0])) < MIN_EYE_DISTANCE * (box[2] - box[0]):
        return None
    return DetectedFace(found, len(faces.boxes), float(faces.probabilities[best]), box, landmarks)


def prominence(faces: Faces, height: int, width: int) -> np.ndarray:
    """Rate faces by probability x side x centrality (1 in the middle of the image, 0 in its corners); shape (faces,).

    A large and central face beats a small one at the edge.
    """
    side = np.sqrt(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1).clip(min=0))
    centre = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    offset = np.hypot(*(centre - np.array([width, height]) / 2).T)
    return faces.probabilities * side * (1 - offset / (np.hypot(width, height) / 2)).clip(min=0.01)


def full_size(places: np.ndarray, scale: float) -> np.ndarray:
    """Convert coordinates in the decoded image to the full-size one; 0 is the centre of the first pixel in both."""
    return (places + 0.5) * scale - 0.5


def eye_transform(eyes: np.ndarray) -> np.ndarray:
    """The similarity that maps two eyes, shape (2, 2) in source pixels, to `EYES`: a 2x3 matrix for column vectors.

    In complex numbers z -> a*z + b, where a = (r' - l') / (r - l) and b = l' - a*l.
    """
    left, right = (complex(*eye) for eye in eyes)
    to_left, to_right = (complex(*eye) for eye in EYES)
    a = (to_right - to_left) / (right - left)
    b = to_left - a * left
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def crop(image: DecodedImage, eyes: np.ndarray) -> np.ndarray:
    """Cut the aligned crop, uint8 RGB (256, 256, 3); `eyes` in pixels of the full-size image, shape (2, 2).

    Outside the image the crop is neutral grey.
    """
    pixels, eyes = _shrink(image.pixels, (eyes + 0.5) / image.scale - 0.5)
    # OpenCV warps four channels in less than half the time that it takes for three.
    four = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    warped = cv2.warpAffine(four, eye_transform(eyes), (CROP_SIZE, CROP_SIZE), borderValue=(NEUTRAL,) * 4)
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)


def _shrink(pixels: np.ndarray, eyes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average blocks of pixels before a strong reduction, which linear interpolation alone would alias."""
    factor = int(np.hypot(*(eyes[1] - eyes[0])) / (EYES[1][0] - EYES[0][0]))
    if factor < 2:
        return pixels, eyes
    height, width = (max(1, length // factor) for length in pixels.shape[:2])
    ratio = np.array([pixels.shape[1] / width, pixels.shape[0] / height])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), (eyes + 0.5) / ratio - 0.5
