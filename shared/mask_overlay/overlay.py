"""Bands from the corners of a mask to the ears, or around the head.

A mask laid on the crop of a bare face, lit, blurred and grained as the photograph is.

What a network is shown of a crop while it trains: masks drawn, and things before the face.
"""

import math
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd

from shared.crops import CROP_SIZE, DETECTED, RETRIED
from shared.labels import GENDERS
from shared.mask_overlay.fabric import BLACK, WHITE, Make, cloth, make_of, noise
from shared.mask_overlay.geometry import (
    ANGLES,
    EYE_LINE,
    HANGING,
    NONE,
    FaceGeometry,
    Fit,
    Light,
    Plane,
    Surface,
    face_of,
    fit_for,
    light_on,
    place_of,
    places_in_crops,
    surface_of,
)
from shared.mask_overlay.occlusions import beard, before, framed, glasses, recompressed

_EAR = 1.42
"""Angle around the head where the ears are."""


def draw_straps(
    crop: Plane, face: FaceGeometry, surface: Surface, fit: Fit, make: Make, light: Light, rng: np.random.Generator
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


def _paths(
    face: FaceGeometry, surface: Surface, fit: Fit, make: Make, side: int, rng: np.random.Generator
) -> list[Plane]:
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
    face: FaceGeometry,
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


def draw_mask(crop: Plane, face: FaceGeometry, state: int, rng: np.random.Generator) -> Plane:
    """The crop, uint8 RGB (256, 256, 3), with a mask in this state (an index into `labels.MASKS`) drawn on it."""
    fit, make = fit_for(state, face, rng), make_of(rng)
    fit = replace(fit, upper_reach=fit.upper_reach * make.reach, lower_reach=fit.lower_reach * make.reach)
    bare = surface_of(face, fit.top - 2.2 * max(fit.rise, 0) - abs(fit.tilt), fit.bottom, fit.slack)
    light = light_on(crop, face, bare)
    drawn = crop.copy()
    if fit.way == HANGING:
        surface, fit = _hanging(face, rng)
        light = replace(light, shade=np.float32(rng.uniform(0.8, 1.05)))
        _loop(drawn, surface, light, rng)
    else:
        surface = bare
        draw_straps(drawn, face, surface, fit, make, light, rng)
    _lay(drawn, surface, fit, make, light, rng)
    return drawn


def _lay(crop: Plane, surface: Surface, fit: Fit, make: Make, light: Light, rng: np.random.Generator) -> None:
    edge = _edge(surface, fit)
    colour = cloth(surface, fit, make, light, edge, rng)
    if light.blur > 0.5:
        for plane in colour:
            cv2.GaussianBlur(plane, (0, 0), light.blur, dst=plane)
    colour += noise(edge.shape, rng) * np.float32(light.noise)
    cover = np.clip(edge * np.float32(1 / (0.8 + 1.6 * light.blur)) + 0.5, 0, 1)
    if rng.random() < 0.6:
        cover = _under_hair(cover, crop, surface, light)
    if make.clear:
        cover = _window(cover, surface, fit)
    under = np.stack(cv2.split(crop[surface.box])).astype(np.float32)
    under *= 1 - _shadow(cover, light) * np.float32(rng.uniform(0.15, 0.5))
    colour -= under
    colour *= cover
    colour += under
    crop[surface.box] = cv2.merge(list(np.clip(colour, 0, 255, out=colour).astype(np.uint8)))


def _edge(surface: Surface, fit: Fit) -> Plane:
    """Pixels to the nearest edge of the mask, positive on it."""
    upper = surface.down - fit.upper_edge(surface)
    share = np.clip(upper * np.float32(1 / max(fit.bottom - fit.top, 8.0)), 0, 1)
    reach = np.float32(fit.upper_reach) + np.float32(fit.lower_reach - fit.upper_reach) * share
    flank = (reach - np.abs(surface.around)) * np.float32(0.7 * surface.reach)
    edge = np.minimum(np.minimum(upper, flank), surface.inside)
    # Corners are round: where two edges are near, the corner is nearer than either.
    edge = edge - np.maximum(np.float32(2.5) - np.abs(upper - flank) * np.float32(0.25), 0)
    return np.minimum(edge, fit.lower_edge(surface) - surface.down) if fit.cut < 300 else edge


def _under_hair(cover: Plane, crop: Plane, surface: Surface, light: Light) -> Plane:
    """Not over what is much darker than the skin at the sides of the face: hair falls over a mask."""
    grey = cv2.cvtColor(crop[surface.box], cv2.COLOR_RGB2GRAY).astype(np.float32)
    dark = np.clip((0.42 * light.skin - grey) * np.float32(1 / 14), 0, 1)
    return cover * (1 - dark * surface.along(np.clip(6 * (np.abs(ANGLES) - 0.75), 0, 1)))


def _shadow(cover: Plane, light: Light) -> Plane:
    """Where the mask darkens what is around it: softly, below and away from the light."""
    return cv2.blur(cover, (11, 11), anchor=(5 + round(3 * light.side), 8), borderType=cv2.BORDER_REPLICATE)


def _window(cover: Plane, surface: Surface, fit: Fit) -> Plane:
    """Cloth with a clear piece before the mouth."""
    middle = 0.45 * fit.top + 0.55 * min(fit.bottom, fit.cut)
    away = (surface.around / 0.55) ** 2 + ((surface.down - middle) / (0.26 * (fit.bottom - fit.top))) ** 2
    return cover * np.clip(0.25 + (away - 1) * 6, 0.25, 1)


def _hanging(face: FaceGeometry, rng: np.random.Generator) -> tuple[Surface, Fit]:
    """A mask that hangs down at one cheek: a flat piece, more or less edge on."""
    side = -1 if rng.random() < 0.5 else 1
    wide, high = float(rng.uniform(16, 52)), float(rng.uniform(62, 112))
    x = face.middle_at(face.nose[1]) + side * face.half_width * float(rng.uniform(0.75, 1.12))
    y = EYE_LINE + float(rng.uniform(8, 60))
    turn = float(rng.normal(0, 0.22))
    rows = slice(max(int(y) - 20, 0), min(int(y + high) + 24, CROP_SIZE))
    columns = slice(max(int(x - wide) - 26, 0), min(int(x + wide) + 26, CROP_SIZE))
    dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x)
    across = dx * np.float32(math.cos(turn)) + dy * np.float32(math.sin(turn))
    down = dy * np.float32(math.cos(turn)) - dx * np.float32(math.sin(turn))
    across = across + np.float32(rng.uniform(-10, 10)) * np.sin(down * np.float32(3 / high))
    around = across * np.float32(1.1 / wide)
    reach = wide / 1.1
    surface = Surface((rows, columns), around, down + 100, np.full_like(down + across, 50.0), reach)
    flat = Fit(
        "", 100.0, float(rng.uniform(-8, 8)), 0.6, 0.0, 100 + high, 100 + high, float(rng.uniform(-8, 8)), 0.55, 0.55
    )
    return surface, flat


def _loop(crop: Plane, surface: Surface, light: Light, rng: np.random.Generator) -> None:
    """From the upper corners of a hanging mask up to the ear."""
    rows, columns = surface.box
    middle = (columns.start + columns.stop) / 2
    top = min(rows.start + 24, CROP_SIZE)
    ear = (middle + float(rng.uniform(-8, 8)), EYE_LINE + float(rng.uniform(-6, 14)))
    colour = (np.array([235, 235, 235]) * light.tint).clip(0, 255)
    for offset in (-6, 7):
        points = np.array([[middle + offset, top], ear]) * 16
        pen = int(rng.integers(1, 3))
        cv2.polylines(crop, [points.astype(np.int32)], False, colour.tolist(), pen, cv2.LINE_AA, shift=4)


GLASSES, BEARD, BEFORE_FACE, PRESSED, CLOSE_CUT = 0.06, 0.06, 0.16, 0.2, 0.12
"""How often a face gets glasses drawn on it, that of a man a beard, any something before it, or its crop is compressed
once more, with what is drawn, or ends with its image close by."""


class MaskOverlay:
    """The crops of a training table as an epoch shows them: masks drawn on bare faces, and now and then more."""

    def __init__(self, table: pd.DataFrame, index: pd.DataFrame):
        """A manifest, and the rows of the crop index of its images, in the same order."""
        found = index["found"].isin((DETECTED, RETRIED)).to_numpy()
        self.drawable = found & (table["mask"] == NONE).to_numpy()
        """Whose face is bare and was found, so that a mask can be drawn on it; (N,)."""
        self._man = (table["gender"] == GENDERS.index("male")).to_numpy()
        self._places = places_in_crops(index)

    def __call__(self, crop: Plane, place: int, state: int, seed: int) -> Plane:
        """The crop, uint8 RGB (256, 256, 3), of the image at `place`, with a mask in `state` where it is one.

        Below 0 it stays as it is. A face that has a mask keeps it, and gets no beard over it. One seed gives one
        image.
        """
        rng = np.random.default_rng((seed, 18))
        bare = bool(self.drawable[place])
        face = face_of(self._places[place]) if bare else FaceGeometry()
        often = (GLASSES, BEARD, BEFORE_FACE, PRESSED, CLOSE_CUT)
        with_glasses, with_beard, hidden, pressed, close_cut = rng.random(5) < often
        if bare and with_beard and self._man[place]:
            crop = beard(crop, face, rng)
        if with_glasses:
            crop = glasses(crop, face, rng)
        if bare and 0 <= state != NONE:
            crop = draw_mask(crop, face, state, rng)
        if hidden:
            crop = before(crop, face, rng)
        if pressed:
            crop = recompressed(crop, rng)
        return framed(crop, rng) if close_cut else crop
