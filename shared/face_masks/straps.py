"""Bands from the corners of a mask to the ears, or around the head."""

import math

import cv2
import numpy as np

from shared.crops import CROP_SIZE
from shared.face_masks.face import EYE_LINE, Face
from shared.face_masks.light import Light
from shared.face_masks.makes import BLACK, WHITE, Make
from shared.face_masks.surface import Plane, Surface, place_of
from shared.face_masks.wearing import Fit

_EAR = 1.42
"""Angle around the head where the ears are."""


def draw_straps(
    crop: Plane, face: Face, surface: Surface, fit: Fit, make: Make, light: Light, rng: np.random.Generator
) -> None:
    """Draw them into the crop, uint8 RGB."""
    if rng.random() < 0.08:
        return
    own = rng.random() < 0.35
    colour = make.colours[0] if own else np.array(WHITE if rng.random() < 0.65 else BLACK, np.float32)
    if make.around_head and rng.random() < 0.5:
        colour = np.array((225, 196, 90), np.float32)
    colour = colour * light.tint * np.float32(rng.uniform(0.75, 1.0))
    pen = int(rng.integers(1, 4))
    hidden = rng.uniform(0.25, 1.0, 2) if rng.random() < 0.5 else (1.0, 1.0)
    for side, seen in zip((-1, 1), hidden, strict=True):
        paths = _paths(face, surface, fit, make, side, rng)
        _stroke(crop, [path[: max(int(len(path) * seen), 2)] for path in paths], colour, pen, light.blur)


def _paths(face: Face, surface: Surface, fit: Fit, make: Make, side: int, rng: np.random.Generator) -> list[Plane]:
    """Two curves of points (n, 2) in pixels of the crop."""
    mouth = face.mouth[1] - EYE_LINE
    end = min(_EAR, math.pi / 2 - side * face.yaw)
    if make.around_head:
        heights = (EYE_LINE + rng.uniform(-0.35, 0.1) * mouth, EYE_LINE + rng.uniform(0.7, 1.15) * mouth)
    else:
        heights = (EYE_LINE + rng.uniform(-0.05, 0.2) * mouth, EYE_LINE + rng.uniform(0.3, 0.8) * mouth)
    upper = fit.top + fit.flank - fit.rise * fit.upper_reach**3 + side * fit.tilt + 4
    lower = min(fit.cut, max(upper + 10, fit.bottom - rng.uniform(18, 34)))
    # A little inside the mask, which is laid over it.
    starts = ((0.93 * fit.upper_reach, upper), (0.9 * fit.lower_reach, lower))
    return [
        _curve(face, surface.reach, fit.bottom, side * min(angle, end), start, side * end, height, rng)
        for (angle, start), height in zip(starts, heights, strict=True)
    ]


def _curve(
    face: Face,
    reach: float,
    bottom: float,
    angle: float,
    start: float,
    end_angle: float,
    end: float,
    rng: np.random.Generator,
) -> Plane:
    first = np.array(place_of(face, reach, bottom, angle, start))
    last = np.array(place_of(face, reach, bottom, end_angle, end))
    middle = (first + last) / 2 + rng.normal(0, 2.0, 2) + (0, 2)
    t = np.linspace(0, 1, 9)[:, None]
    return (1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * last


def _stroke(crop: Plane, paths: list[Plane], colour: Plane, pen: int, blur: float) -> None:
    points = np.concatenate(paths)
    low = np.clip(points.min(axis=0) - 6, 0, CROP_SIZE - 8).astype(int)
    high = np.clip(points.max(axis=0) + 8, low + 8, CROP_SIZE).astype(int)
    box = (slice(low[1], high[1]), slice(low[0], high[0]))
    paint = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    lines = [np.round((path - low) * 16).astype(np.int32) for path in paths]
    cv2.polylines(paint, lines, False, 255, pen, cv2.LINE_AA, shift=4)
    cover = cv2.GaussianBlur(paint, (5, 5), 0.4 + 0.5 * blur).astype(np.float32)[..., None] * np.float32(0.92 / 255)
    under = crop[box] * (1 - 0.3 * cover)
    crop[box] = np.clip(under + cover * (colour - under), 0, 255)
