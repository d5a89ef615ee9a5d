"""A mask laid on the crop of a bare face, lit, blurred and grained as the photograph is."""

import math
from dataclasses import replace

import cv2
import numpy as np

from shared.crops import CROP_SIZE
from shared.face_masks.cloth import cloth, noise
from shared.face_masks.face import EYE_LINE, Face
from shared.face_masks.light import Light, light_on
from shared.face_masks.makes import Make, make_of
from shared.face_masks.straps import draw_straps
from shared.face_masks.surface import ANGLES, Plane, Surface, surface_of
from shared.face_masks.wearing import HANGING, Fit, fit_for


def draw_mask(crop: Plane, face: Face, state: int, rng: np.random.Generator) -> Plane:
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


def _hanging(face: Face, rng: np.random.Generator) -> tuple[Surface, Fit]:
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
