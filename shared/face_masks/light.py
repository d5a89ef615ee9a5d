"""What a photograph says of its light, its sharpness and its noise, measured on the bare face."""

from dataclasses import dataclass

import cv2
import numpy as np

from shared.face_masks.face import EYE_LINE, MIDDLE, Face
from shared.face_masks.surface import Plane, Surface

_SKIN = np.array([200.0, 160.0, 140.0], np.float32)
"""RGB of light skin in a well lit photograph: what the face's own is compared with."""

_COARSE = 8
"""Light is looked at in so many times fewer pixels each way."""


@dataclass(frozen=True)
class Light:
    """How the face is lit and seen."""

    shade: Plane | np.float32
    """(rows, columns) of a surface, or one for all: how bright the skin is there, 1 in the mean."""
    tint: Plane
    """(3,): by how much things are brighter or darker here, RGB, than in a well lit photograph."""
    skin: float
    """Brightness of the cheeks, of 255."""
    side: float
    """From -1 to 1: how much more light comes from the right of the picture."""
    blur: float
    """Standard deviation in pixels of the crop's own blur."""
    noise: float
    """Standard deviation of its noise, of 255."""


def light_on(crop: Plane, face: Face, surface: Surface) -> Light:
    """Measured in an aligned crop, uint8 RGB, before anything is drawn on it."""
    skin = _cheeks(crop, face)
    grey = cv2.cvtColor(crop[surface.box], cv2.COLOR_RGB2GRAY)
    shade = _shade(grey, surface)
    third = shade.shape[1] // 4
    left, right = float(shade[:, :third].mean()), float(shade[:, -third:].mean())
    tint = np.clip(skin / _SKIN, 0.12, 1.5)
    blur, noise = _sharpness(crop)
    return Light(shade, tint, float(skin.mean()), float(np.clip(1.5 * (right - left), -1, 1)), blur, noise)


def _cheeks(crop: Plane, face: Face) -> Plane:
    """The usual colour of the skin beside the nose, RGB."""
    row, column = int(face.nose[1]), int(face.middle_at(face.nose[1]))
    area = crop[row - 14 : row + 12 : 3, max(column - 46, 0) : column + 46 : 3].reshape(-1, 3)
    return np.median(area, axis=0).astype(np.float32) if len(area) else _SKIN


def _shade(grey: Plane, surface: Surface) -> Plane:
    """Brightness without detail, of the face alone: what lies beside it would shine into it."""
    height, width = grey.shape
    small = (max(width // _COARSE, 2), max(height // _COARSE, 2))
    on_face = np.clip(surface.inside * np.float32(0.2), 0.01, 1)
    weight = cv2.resize(on_face, small, interpolation=cv2.INTER_AREA)
    light = cv2.resize(grey, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    usual = max(float((light * weight).sum() / weight.sum()), 8.0)
    light = np.clip(light / usual, 0.35, 1.6)
    sigma = 2.0
    soft = cv2.GaussianBlur(light * weight, (0, 0), sigma) / cv2.GaussianBlur(weight, (0, 0), sigma)
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)


def _sharpness(crop: Plane) -> tuple[float, float]:
    """Blur by how little the eyes lose when they are blurred once more; noise by what is left without edges."""
    rows = slice(int(EYE_LINE) - 18, int(EYE_LINE) + 16)
    eyes = crop[rows, int(MIDDLE) - 52 : int(MIDDLE) + 52, 1].astype(np.float32)
    once = cv2.GaussianBlur(eyes, (0, 0), 1.0)
    fine, coarse = float(np.abs(np.diff(eyes)).mean()), float(np.abs(np.diff(once)).mean())
    kept = coarse / max(fine, 0.3)
    rest = np.abs(eyes - once)
    noise = 1.2 * float(np.partition(rest.ravel(), rest.size // 3)[rest.size // 3])
    return min(max(3.2 * (kept - 0.55), 0.4), 2.2), min(max(noise, 0.3), 8.0)
