"""Draw a mask on the crop of a bare face, in the light, blur and noise of the photograph; the transform of training."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd

from shared.crops import CROP_SIZE, DETECTED, RETRIED
from shared.labels import GENDERS
from shared.mask_overlay.fabric import BLACK, WHITE, Light, Mask, cloth, light_on, noise, sample_mask
from shared.mask_overlay.geometry import (
    ANGLES,
    EYE_LINE,
    HANGING,
    NONE,
    FaceGeometry,
    Fit,
    Plane,
    Surface,
    face_of,
    fit_for,
    place_of,
    places_in_crops,
    surface_of,
)
from shared.mask_overlay.occlusions import draw_beard, draw_glasses, draw_object, framed, recompressed


class MaskOverlay:
    """Training transform: draws masks on the crops of bare faces, and sometimes occlusions on any crop."""

    GLASSES, BEARD, OBJECT, RECOMPRESSED, FRAMED = 0.06, 0.06, 0.16, 0.2, 0.12
    """Probabilities of each occlusion; beards are drawn on bare men only."""

    def __init__(self, table: pd.DataFrame, index: pd.DataFrame):
        """Take a manifest, and the rows of the crop index of its images in the same order."""
        found = index["found"].isin((DETECTED, RETRIED)).to_numpy()
        self.drawable = found & (table["mask"] == NONE).to_numpy()
        """Boolean mask (N,): images with a detected, unmasked face."""
        self._man = (table["gender"] == GENDERS.index("male")).to_numpy()
        self._places = places_in_crops(index)

    def __call__(self, crop: Plane, index: int, state: int, seed: int) -> Plane:
        """Return a copy of the crop, uint8 RGB (256, 256, 3), of the image at `index`, with a mask in `state`.

        `state` is an index into `labels.MASKS`; no mask is drawn for "none", for a negative state, or if the image is
        not drawable. The same seed gives the same image.
        """
        rng = np.random.default_rng((seed, 18))
        bare = bool(self.drawable[index])
        face = face_of(self._places[index]) if bare else FaceGeometry()
        chances = (self.GLASSES, self.BEARD, self.OBJECT, self.RECOMPRESSED, self.FRAMED)
        glasses, beard, hidden, compressed, close = rng.random(5) < chances
        crop = crop.copy()
        if bare and beard and self._man[index]:
            draw_beard(crop, face, rng)
        if glasses:
            draw_glasses(crop, face, rng)
        if bare and 0 <= state != NONE:
            draw_mask(crop, face, state, rng)
        if hidden:
            draw_object(crop, face, rng)
        if compressed:
            crop = recompressed(crop, rng)
        return framed(crop, rng) if close else crop


def draw_mask(crop: Plane, face: FaceGeometry, state: int, rng: np.random.Generator) -> None:
    """Draw a mask in this state (an index into `labels.MASKS`) on the crop, uint8 RGB (256, 256, 3), in place."""
    fit, mask = fit_for(state, face, rng), sample_mask(rng)
    fit = replace(fit, upper_reach=fit.upper_reach * mask.reach, lower_reach=fit.lower_reach * mask.reach)
    surface = surface_of(face, fit.top - 2.2 * max(fit.rise, 0) - abs(fit.tilt), fit.bottom, fit.slack)
    light = light_on(crop, face, surface)
    if fit.way == HANGING:
        surface, fit = _hanging(face, rng)
        light = replace(light, shade=np.float32(rng.uniform(0.8, 1.05)))
        _draw_loop(crop, surface, light, rng)
    else:
        _draw_straps(crop, face, surface, fit, mask, light, rng)
    edge = _edge(surface, fit)
    colour = cloth(surface, fit, mask, light, edge, rng)
    if light.blur > 0.5:
        for plane in colour:
            cv2.GaussianBlur(plane, (0, 0), light.blur, dst=plane)
    colour += noise(edge.shape, rng) * np.float32(light.noise)
    cover = np.clip(edge * np.float32(1 / (0.8 + 1.6 * light.blur)) + 0.5, 0, 1)
    if rng.random() < 0.6:
        # What is much darker than the skin at the sides of the face is hair; it falls over the mask.
        grey = cv2.cvtColor(crop[surface.box], cv2.COLOR_RGB2GRAY).astype(np.float32)
        dark = np.clip((0.42 * light.skin - grey) * np.float32(1 / 14), 0, 1)
        cover = cover * (1 - dark * surface.along(np.clip(6 * (np.abs(ANGLES) - 0.75), 0, 1)))
    # The contact shadow falls below the mask and away from the light.
    anchor = (5 + round(3 * light.side), 8)
    shadow = cv2.blur(cover, (11, 11), anchor=anchor, borderType=cv2.BORDER_REPLICATE)
    under = np.stack(cv2.split(crop[surface.box])).astype(np.float32)
    under *= 1 - shadow * np.float32(rng.uniform(0.15, 0.5))
    # Blend in place: under + cover * (colour - under).
    colour -= under
    colour *= cover
    colour += under
    crop[surface.box] = cv2.merge(list(np.clip(colour, 0, 255, out=colour).astype(np.uint8)))


def _edge(surface: Surface, fit: Fit) -> Plane:
    """Return the distance to the nearest edge of the mask in pixels, positive on the mask."""
    upper = surface.down - fit.upper_edge(surface)
    share = np.clip(upper * np.float32(1 / max(fit.bottom - fit.top, 8.0)), 0, 1)
    reach = np.float32(fit.upper_reach) + np.float32(fit.lower_reach - fit.upper_reach) * share
    flank = (reach - np.abs(surface.around)) * np.float32(0.7 * surface.reach)
    edge = np.minimum(np.minimum(upper, flank), surface.inside)
    # Corners are round: where two edges are near, the corner is nearer than either.
    edge = edge - np.maximum(np.float32(2.5) - np.abs(upper - flank) * np.float32(0.25), 0)
    return np.minimum(edge, fit.lower_edge(surface) - surface.down) if fit.cut < 300 else edge


def _draw_straps(
    crop: Plane, face: FaceGeometry, surface: Surface, fit: Fit, mask: Mask, light: Light, rng: np.random.Generator
) -> None:
    """Draw two straps on each side, from the mask to the ear or around the head; on some faces none."""
    if rng.random() < 0.08:
        return
    own = rng.random() < 0.35
    colour = mask.colours[0] if own else np.array(WHITE if rng.random() < 0.65 else BLACK, np.float32)
    if mask.around_head and rng.random() < 0.5:
        colour = np.array((225, 196, 90), np.float32)
    colour = colour * light.tint * np.float32(rng.uniform(0.75, 1.0))
    pen = int(rng.integers(1, 4))
    # Hair may hide the far part of the straps.
    seen = rng.uniform(0.25, 1.0, 2) if rng.random() < 0.5 else (1.0, 1.0)
    for side, share in zip((-1, 1), seen, strict=True):
        paths = [path[: max(int(len(path) * share), 2)] for path in _paths(face, surface, fit, mask, side, rng)]
        points = np.concatenate(paths)
        low = np.clip(points.min(axis=0) - 6, 0, CROP_SIZE - 8).astype(int)
        high = np.clip(points.max(axis=0) + 8, low + 8, CROP_SIZE).astype(int)
        box = (slice(low[1], high[1]), slice(low[0], high[0]))
        paint = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        lines = [np.round((path - low) * 16).astype(np.int32) for path in paths]
        cv2.polylines(paint, lines, False, 255, pen, cv2.LINE_AA, shift=4)
        soft = cv2.GaussianBlur(paint, (5, 5), 0.4 + 0.5 * light.blur)
        cover = soft.astype(np.float32)[..., None] * np.float32(0.92 / 255)
        under = crop[box] * (1 - 0.3 * cover)
        crop[box] = np.clip(under + cover * (colour - under), 0, 255)


def _paths(
    face: FaceGeometry, surface: Surface, fit: Fit, mask: Mask, side: int, rng: np.random.Generator
) -> list[Plane]:
    """Return the upper and the lower strap of one side: points (9, 2) in pixels of the crop."""
    mouth = face.mouth[1] - EYE_LINE
    # The ears are at an angle of 1.42, unless the turn of the head hides them.
    end = min(1.42, math.pi / 2 - side * face.yaw)
    ranges = ((-0.35, 0.1), (0.7, 1.15)) if mask.around_head else ((-0.05, 0.2), (0.3, 0.8))
    heights = [EYE_LINE + rng.uniform(*of) * mouth for of in ranges]
    upper = fit.top + fit.flank - fit.rise * fit.upper_reach**3 + side * fit.tilt + 4
    lower = min(fit.cut, max(upper + 10, fit.bottom - rng.uniform(18, 34)))
    paths = []
    # Straps start a little inside the mask, which is laid over them.
    for angle, start, height in (
        (0.93 * fit.upper_reach, upper, heights[0]),
        (0.9 * fit.lower_reach, lower, heights[1]),
    ):
        first = np.array(place_of(face, surface.reach, fit.bottom, side * min(angle, end), start))
        last = np.array(place_of(face, surface.reach, fit.bottom, side * end, height))
        middle = (first + last) / 2 + rng.normal(0, 2.0, 2) + (0, 2)
        t = np.linspace(0, 1, 9)[:, None]
        paths.append((1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * last)
    return paths


def _hanging(face: FaceGeometry, rng: np.random.Generator) -> tuple[Surface, Fit]:
    """Return the surface and fit of a mask that hangs down at one cheek: a flat piece, more or less edge on."""
    side = -1 if rng.random() < 0.5 else 1
    wide, high = rng.uniform(16, 52), rng.uniform(62, 112)
    x = face.middle_at(face.nose[1]) + side * face.half_width * rng.uniform(0.75, 1.12)
    y = EYE_LINE + rng.uniform(8, 60)
    turn = rng.normal(0, 0.22)
    rows = slice(max(int(y) - 20, 0), min(int(y + high) + 24, CROP_SIZE))
    columns = slice(max(int(x - wide) - 26, 0), min(int(x + wide) + 26, CROP_SIZE))
    dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x)
    # Rotate, then bend sideways.
    across = dx * np.float32(math.cos(turn)) + dy * np.float32(math.sin(turn))
    down = dy * np.float32(math.cos(turn)) - dx * np.float32(math.sin(turn))
    across = across + np.float32(rng.uniform(-10, 10)) * np.sin(down * np.float32(3 / high))
    around = across * np.float32(1.1 / wide)
    surface = Surface((rows, columns), around, down + 100, np.full_like(down + across, 50.0), wide / 1.1)
    flank, sag = rng.uniform(-8, 8), rng.uniform(-8, 8)
    end = 100 + high
    return surface, Fit(100.0, flank, 0.6, 0.0, bottom=end, upper_reach=0.55, lower_reach=0.55, cut=end, sag=sag)


def _draw_loop(crop: Plane, surface: Surface, light: Light, rng: np.random.Generator) -> None:
    """Draw the loop of a hanging mask, from its upper corners to the ear."""
    rows, columns = surface.box
    middle = (columns.start + columns.stop) / 2
    top = min(rows.start + 24, CROP_SIZE)
    ear = (middle + rng.uniform(-8, 8), EYE_LINE + rng.uniform(-6, 14))
    colour = (np.array([235, 235, 235]) * light.tint).clip(0, 255)
    for offset in (-6, 7):
        points = np.array([[middle + offset, top], ear]) * 16
        pen = int(rng.integers(1, 3))
        cv2.polylines(crop, [points.astype(np.int32)], False, colour.tolist(), pen, cv2.LINE_AA, shift=4)
