"""The one face that is wanted in each picture."""

import warnings
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from facenet_pytorch import MTCNN

from shared.crops import DETECTED, RETRIED
from shared.faces.picture_files import Picture


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
    """Shape (5, 2): the eyes, the nose and the corners of the mouth, the left one of each pair first, as seen."""


def find_faces(pictures: list[Picture], device: str) -> list[Face | None]:
    """The face of each picture, or None where none was found."""
    return [_find(picture, device) for picture in pictures]


@cache
def _detector(device: str, small: int) -> MTCNN:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MTCNN(device=device, min_face_size=small)


def _find(picture: Picture, device: str) -> Face | None:
    for found, small in ((DETECTED, 60), (RETRIED, 20)):
        boxes, probabilities, landmarks = _detector(device, small).detect(_small(picture.pixels), landmarks=True)
        if boxes is not None:
            scale = picture.scale * max(picture.pixels.shape) / max(_small(picture.pixels).shape)
            return Face(found, len(boxes), float(probabilities[0]), boxes[0] * scale, landmarks[0] * scale)
    return None


def _small(pixels: np.ndarray) -> np.ndarray:
    factor = min(1.0, 512 / max(pixels.shape[:2]))
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
