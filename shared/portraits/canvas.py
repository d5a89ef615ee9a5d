"""The drawing board: face units, brushes, noise, and the relief that the light will fall on.

Unit of length: half the width of a face; origin between the eyes; y points down. Planes are float32 of shape
(HEIGHT, WIDTH), colours are RGB in 0-1. Parameters are Python floats throughout: a numpy float64 scalar would promote
whole planes.
"""

from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[Any]
"""float32 throughout; numpy's stubs lose that at every turn."""
Colour = tuple[float, float, float]
Box = tuple[slice, slice]

SCALE = 80.0
"""Canvas pixels per unit."""
LEFT, TOP = -2.4, -1.95
WIDTH, HEIGHT = 384, 432

X: Plane = ((np.arange(WIDTH, dtype=np.float32) + 0.5) / np.float32(SCALE) + np.float32(LEFT))[None, :]
Y: Plane = ((np.arange(HEIGHT, dtype=np.float32) + 0.5) / np.float32(SCALE) + np.float32(TOP))[:, None]


def jitter(rng: np.random.Generator, mean: float, sigma: float) -> float:
    """A normal draw, clipped at two sigma so that no face leaves the plausible."""
    return mean + sigma * min(max(rng.standard_normal(), -2.0), 2.0)


def ramp(value: float, start: float, end: float) -> float:
    """0 before `start`, 1 after `end`, linear between."""
    return min(max((value - start) / (end - start), 0.0), 1.0)


def step(values: Plane, start: float, end: float) -> Plane:
    """Smoothstep: 0 before `start`, 1 after `end` (which may be the smaller one)."""
    t = np.clip((values - start) * (1.0 / (end - start)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def inside(distance: Plane, softness: float = 1.0) -> Plane:
    """Coverage of a shape from the distance to its edge (units, positive inside); `softness` in pixels."""
    return np.clip(distance * (SCALE / softness) + 0.5, 0.0, 1.0)


def blob(x: float, y: float, sigma_x: float, sigma_y: float) -> Plane:
    """A Gaussian hill of height 1."""
    across = np.exp(-0.5 * ((X - x) / sigma_x) ** 2)
    return across * np.exp(-0.5 * ((Y - y) / sigma_y) ** 2)


def blur(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur; `sigma` in units. Wide blurs are done at a quarter of the size."""
    pixels = sigma * SCALE
    if pixels < 6:
        return cv2.GaussianBlur(plane, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE)
    small = cv2.resize(plane, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), pixels / 4, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)


def noise(rng: np.random.Generator, cell_x: float, cell_y: float | None = None) -> Plane:
    """Smooth noise of about unit variance; one random value a cell, sizes in units."""
    cell_y = cell_x if cell_y is None else cell_y
    rows, columns = int(HEIGHT / SCALE / cell_y) + 3, int(WIDTH / SCALE / cell_x) + 3
    values = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(values, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def grain(rng: np.random.Generator, height: int, width: int) -> Plane:
    """White noise of unit variance, cheaply: uniform bytes, scaled."""
    values = rng.integers(0, 256, (height, width), dtype=np.uint8)
    return (values.astype(np.float32) - 127.5) * (1 / 73.9)


def curve(*points: tuple[float, float], samples: int = 17) -> Plane:
    """A Bezier curve over the control points, shape (samples, 2)."""
    level = np.array(points, np.float32)[:, None, :]
    t = np.linspace(0, 1, samples, dtype=np.float32)[:, None]
    while len(level) > 1:
        level = level[:-1] * (1 - t) + level[1:] * t
    return level[0]


def box_around(points: Plane, margin: float) -> Box:
    """The part of the canvas within `margin` of the points."""
    low = (points.min(axis=0) - margin - (LEFT, TOP)) * SCALE
    high = (points.max(axis=0) + margin - (LEFT, TOP)) * SCALE
    x0, x1 = np.clip((int(low[0]), int(high[0]) + 1), 0, WIDTH)
    y0, y1 = np.clip((int(low[1]), int(high[1]) + 1), 0, HEIGHT)
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def stroke(plane: Plane, points: Plane, width: float | Plane, amount: float = 1.0, softness: float = 0.0) -> None:
    """Add a tapered stroke to the plane.

    `points` (n, 2); `width` at its fullest, or one width a point; `softness` is the sigma of its blur in units.
    """
    path = np.asarray(points, np.float32)
    widths = np.asarray(width)
    if not widths.ndim:
        widths = width * np.sin(np.linspace(0.12, np.pi - 0.12, len(path))) ** 0.6
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
    offset = along[:, ::-1] * (-0.5, 0.5) * widths[:, None]
    box = box_around(path, float(widths.max()) + 3 * softness + 2 / SCALE)
    paint = polygon(np.concatenate([path + offset, (path - offset)[::-1]]), box)
    if softness:
        paint = cv2.GaussianBlur(paint, (0, 0), softness * SCALE)
    plane[box] += amount * paint


def polygon(corners: Plane, box: Box = (slice(0, HEIGHT), slice(0, WIDTH))) -> Plane:
    """Antialiased coverage of a polygon with corners (n, 2), within the box."""
    rows, columns = box
    paint = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    pixels = (corners - (LEFT, TOP)) * SCALE - 0.5 - (columns.start, rows.start)
    cv2.fillPoly(paint, [np.round(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return paint.astype(np.float32) * (1 / 255)


def rgb(colour: Colour) -> Plane:
    """One colour as planes of one pixel, (3, 1, 1), to multiply and mix with planes."""
    return np.array(colour, np.float32)[:, None, None]


def mix(colour: Plane, share: Plane, target: Plane | Colour) -> None:
    """Let a share of the colour (3, h, w) give way to the target, in place."""
    colour += share * ((rgb(target) if isinstance(target, tuple) else target) - colour)


def slopes(height: Plane) -> tuple[Plane, Plane]:
    """The derivatives of a height field in x and in y."""
    unit = SCALE / 8
    return tuple(cv2.Sobel(height, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=unit) for dx in (1, 0))  # type: ignore[return-value]


RGB, SLOPE_X, SLOPE_Y, GLOSS, FLESH, DEPTH, COVER = slice(0, 3), 3, 4, 5, 6, 7, 8
PLANES = 9


@dataclass(frozen=True)
class Layer:
    """Something to lay on a relief: its coverage (h, w) and its planes (PLANES, h, w) within a box of the canvas."""

    box: Box
    alpha: Plane
    planes: Plane

    @classmethod
    def of(
        cls,
        alpha: Plane,
        colour: Plane | Colour,
        height: Plane,
        *,
        depth: Plane | float,
        gloss: Plane | float = 0.0,
        flesh: float = 0.0,
    ) -> Self:
        """`colour` (3, H, W) or one RGB; `height` gives the slopes, `depth` moves with the turn of the head (units)."""
        box = _extent(alpha)
        rows, columns = box
        planes = np.empty((PLANES, rows.stop - rows.start, columns.stop - columns.start), np.float32)
        planes[RGB] = rgb(colour) if isinstance(colour, tuple) else colour[:, rows, columns]
        planes[SLOPE_X], planes[SLOPE_Y] = (slope[box] for slope in slopes(height))
        planes[GLOSS] = gloss[box] if isinstance(gloss, np.ndarray) else gloss
        planes[FLESH] = flesh
        planes[DEPTH] = depth[box] if isinstance(depth, np.ndarray) else depth
        planes[COVER] = 1.0
        return cls(box, alpha[box], planes)


def _extent(alpha: Plane) -> Box:
    rows, columns = np.flatnonzero(alpha.max(axis=1) > 0.004), np.flatnonzero(alpha.max(axis=0) > 0.004)
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


class Relief:
    """All that the camera sees of a person: RGB albedo, slopes, gloss, flesh (how far light seeps), depth and cover."""

    def __init__(self, planes: Plane | None = None) -> None:
        self.planes = np.zeros((PLANES, HEIGHT, WIDTH), np.float32) if planes is None else planes

    def copy(self) -> "Relief":
        return Relief(self.planes.copy())

    def lay(self, layer: Layer) -> None:
        """Put a layer on top."""
        region = self.planes[:, *layer.box]
        region += layer.alpha * (layer.planes - region)

    def tint(self, alpha: Plane, colour: Plane | Colour, box: Box = (slice(None), slice(None))) -> None:
        """Colour what is there without changing its shape."""
        mix(self.planes[RGB, *box], alpha, colour)

    def darken(self, shadow: Plane) -> None:
        """Multiply the albedo by 1 - shadow."""
        self.planes[RGB] *= 1.0 - shadow
