"""From landmarks to a crop: the similarity transform that puts the eyes at `shared.crops.EYES`.

Two eyes, not five points: under a mask the detector guesses nose and mouth, and is off by about a quarter of the eye
distance, while the eyes stay where they are (`benchmarks/alignment.py` measures both).
"""

import cv2
import numpy as np

from shared.crops import CROP_SIZE, EYES
from shared.faces.picture_files import NEUTRAL, Picture


def eye_transform(eyes: np.ndarray) -> np.ndarray:
    """The similarity that takes two eyes, shape (2, 2) in source pixels, to `EYES`: a 2x3 matrix for column vectors.

    In complex numbers z -> a*z + b, where a = (r' - l') / (r - l) and b = l' - a*l.
    """
    left, right = (complex(*eye) for eye in eyes)
    to_left, to_right = (complex(*eye) for eye in EYES)
    a = (to_right - to_left) / (right - left)
    b = to_left - a * left
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def crop(picture: Picture, eyes: np.ndarray) -> np.ndarray:
    """The aligned crop, uint8 RGB (256, 256, 3); `eyes` in pixels of the full-size picture, shape (2, 2).

    Beyond the picture's edge the crop is neutral grey.
    """
    pixels, eyes = _shrink(picture.pixels, (eyes + 0.5) / picture.scale - 0.5)
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
