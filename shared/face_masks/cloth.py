"""What the cloth of a mask looks like on the face: colour, print, pleats, creases and valves in the light."""

import cv2
import numpy as np

from shared.face_masks.light import Light
from shared.face_masks.makes import Make
from shared.face_masks.surface import ANGLES, Plane, Surface, lookup
from shared.face_masks.wearing import Fit
from shared.face_masks.weave import SIDE, creases, grain, knits, prints

_VALVE = 10.0
"""Radius in pixels."""

_KNEE = np.float32(95.0)
"""Half the brightness, of 255, above which a camera flattens."""

_SHARES = (-0.5, 1.5)
_NEAR = (0.0, 20.0)
"""Ends of tables: shares of a mask's height, pixels from its edge."""


def cloth(surface: Surface, fit: Fit, make: Make, light: Light, edge: Plane, rng: np.random.Generator) -> Plane:
    """RGB, 0-255, (3, rows, columns), of the mask wherever it may be seen; `edge` is the way to its edge."""
    top = fit.upper_edge(surface)
    height = max(min(fit.bottom, fit.cut) - fit.top, 8.0)
    share = (surface.down - top) * np.float32(1 / height)
    shade = surface.along(_across(surface.reach, make, light))
    for profile, bent in _downwards(height, make):
        shade += np.take(profile, lookup(share - surface.along(bent) if bent is not None else share, *_SHARES))
    shade += np.take(_edges(make), lookup(edge, *_NEAR))
    shade += _crumple(surface, make, light, rng)
    colour = _dyed(surface, make, light, rng)
    for around, down in make.valves:
        disc = _valve(shade, surface, around, top + np.float32(down * height))
        colour = colour + disc * (_planes(make.valve_colour * light.tint) - colour)
    shade *= light.shade
    return _exposed(colour * shade)


def _exposed(colour: Plane) -> Plane:
    """Highlights flatten out before they are white, as in a camera."""
    flat = colour * np.float32(0.5)
    flat += _KNEE
    return np.minimum(np.minimum(colour, flat, out=colour), np.float32(252), out=colour)


def _planes(colour: Plane) -> Plane:
    """A colour (3,) to be laid on planes: channels first, for numpy goes along the last axis."""
    return colour.astype(np.float32)[:, None, None]


def _across(reach: float, make: Make, light: Light) -> Plane:
    """Brightness by angle: the bulge in light from one side, the ridge over the nose, seams down the middle."""
    lit = 0.98 - 0.05 * ANGLES**2 + 0.20 * light.side * np.sin(ANGLES)
    ridge = {"keeled": 0.12, "smooth": 0.10, "cloth": 0.06, "sporty": 0.08}.get(make.kind, 0.04)
    lit += ridge * (light.side + 0.3 * np.sign(light.side)) * np.tanh(9 * ANGLES)
    away = ANGLES * reach
    if make.kind in ("keeled", "cloth", "smooth", "sporty"):
        lit -= 0.14 * np.exp(-(away**2) / 2) + 0.05 * np.exp(-((away - 2) ** 2) / 2.5)
    if make.kind == "sporty":
        lit -= 0.2 * np.exp(-((np.abs(away) - 24) ** 2) / 2)
    if make.kind == "cup":
        lit -= 0.13 * ANGLES**2
    return (lit + make.gloss * np.exp(-((4 * (ANGLES - 0.25 * light.side)) ** 2))).astype(np.float32)


def _downwards(height: float, make: Make) -> list[tuple[Plane, Plane | None]]:
    """Brightness by the share of the height: light from above, pleats and folds.

    With it comes by how much its lines bend with the angle, if they do.
    """
    share = np.linspace(*_SHARES, len(ANGLES))
    lit = 0.06 - 0.14 * np.clip(share, 0, 1.2) ** 2
    if make.kind == "cup":
        lit = 0.1 - 0.5 * (share - 0.4) ** 2
    if make.kind != "folded":
        return [((lit + sum(_pleat((share - at) * height) for at in make.seams)).astype(np.float32), None)]
    bent = (0.14 * (ANGLES**2 - 0.3)).astype(np.float32)
    upper, lower = ((share - at) * height for at in make.seams)
    above = lit + _pleat(upper) - 0.05 * np.tanh(upper)
    return [(above.astype(np.float32), bent), ((_pleat(lower) - 0.07 * np.tanh(lower)).astype(np.float32), -bent)]


def _pleat(way: Plane) -> Plane:
    """Dark below its edge, light above it; `way` in pixels."""
    return 0.07 * np.exp(-((way + 2) ** 2) / 5) - 0.17 * np.exp(-((way - 1.2) ** 2) / 3)


def _edges(make: Make) -> Plane:
    """Brightness by the distance from the edge: it turns away from the light, and may be sewn."""
    near = np.linspace(*_NEAR, len(ANGLES))
    return (make.hem * np.exp(-((0.7 * (near - 4)) ** 2)) - 0.10 * np.exp(-0.45 * near)).astype(np.float32)


def _crumple(surface: Surface, make: Make, light: Light, rng: np.random.Generator) -> Plane:
    """Light on creases, and the structure of the cloth."""
    tile = creases()[make.crease]
    rows, columns = surface.around.shape
    high = _patch(tile, (rows + 1, columns + 1), rng)
    slope = high[1:, 1:] - high[:-1, 1:] + np.float32(light.side + 0.2) * (high[1:, 1:] - high[1:, :-1])
    # Up to half as bright again, and no darker than half, however deep the crease.
    lit = np.float32(0.45) * np.tanh(slope * np.float32(1.3 * make.crumpled))
    if make.knit_depth > 0.02:
        lit += np.float32(make.knit_depth) * _patch(knits()[make.knit], surface.around.shape, rng)
    return lit


def _dyed(surface: Surface, make: Make, light: Light, rng: np.random.Generator) -> Plane:
    """Its colours in the photograph's even light, (3, rows, columns); (3, 1, 1) without a print."""
    base, first, second = (_planes(colour * light.tint) for colour in make.colours)
    if make.printed is None:
        return base
    zoom = np.float32(1 / make.print_size)
    offset = rng.uniform(0, SIDE, 2).astype(np.float32)
    columns = surface.around * np.float32(surface.reach * zoom) + offset[0]
    rows = surface.down * zoom + offset[1]
    shares = cv2.remap(prints()[make.printed], columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    one, two = cv2.split(shares)
    colour = base + one * (first - base)
    colour += two * (second - colour)
    return colour


def _valve(shade: Plane, surface: Surface, around: float, row: Plane) -> Plane:
    """A disc with a rim and slats: where it is, 0-1; draws its light into `shade`."""
    across = (surface.around - np.float32(around)) * np.float32(0.9 * surface.reach)
    away = np.sqrt(across**2 + (surface.down - row) ** 2)
    disc = np.clip(np.float32(_VALVE) - away, 0, 1)
    shade *= 1 - disc
    lit = 1 + np.float32(0.12) * np.sin((surface.down - row) * np.float32(1.4))
    lit -= np.float32(0.45) * np.exp(-((away - 8.5) ** 2)) - np.float32(0.2) * np.exp(-((away - 6.5) ** 2))
    shade += disc * lit
    shade -= np.float32(0.25) * np.exp(-((away - _VALVE - 1.5) ** 2) * 0.25) * (1 - disc)
    return disc


def _patch(tile: Plane, shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Somewhere out of a tile that repeats, turned or mirrored."""
    kind, row, column = (int(value) for value in rng.integers(0, (8, SIDE, SIDE)))
    turned = tile.T if kind & 1 else tile
    turned = turned[:: -1 if kind & 2 else 1, :: -1 if kind & 4 else 1]
    return turned[row : row + shape[0], column : column + shape[1]]


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """White noise of unit variance."""
    row, column = (int(value) for value in rng.integers(0, SIDE, 2))
    return grain()[row : row + shape[0], column : column + shape[1]]
