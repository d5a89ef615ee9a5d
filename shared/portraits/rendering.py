"""Canvas, relief and camera of the drawn portraits.

Unit of length: half the width of a face. The origin is between the eyes; y points down. Planes are float32 arrays of
shape (HEIGHT, WIDTH); colours are RGB in 0-1. Parameters are Python floats: a numpy float64 scalar would promote whole
planes to float64.

A person is drawn as a `Relief`, one layer after the other from the back to the front. `photograph` lights the relief,
turns it, puts a wall behind it and adds blur and sensor noise.
"""

from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[Any]
"""float32; numpy's type stubs lose the dtype in most operations."""
Pixels = npt.NDArray[np.uint8]
Colour = tuple[float, float, float]
Box = tuple[slice, slice]
"""Rows and columns of the canvas."""

SCALE = 80.0
"""Canvas pixels per unit."""
LEFT, TOP = -2.4, -1.95
WIDTH, HEIGHT = 384, 432

X: Plane = ((np.arange(WIDTH, dtype=np.float32) + 0.5) / np.float32(SCALE) + np.float32(LEFT))[None, :]
Y: Plane = ((np.arange(HEIGHT, dtype=np.float32) + 0.5) / np.float32(SCALE) + np.float32(TOP))[:, None]
SIDES = (-1.0, 1.0)
"""Left and right half of the face: the sign of x."""


def jitter(rng: np.random.Generator, mean: float, sigma: float) -> float:
    """Return a normal draw, clipped at two sigma to keep every face plausible."""
    return mean + sigma * min(max(rng.standard_normal(), -2.0), 2.0)


def ramp(value: float, start: float, end: float) -> float:
    """Return 0 before `start`, 1 after `end`, and linear values between them."""
    return min(max((value - start) / (end - start), 0.0), 1.0)


def step(values: Plane, start: float, end: float) -> Plane:
    """Smoothstep from 0 at `start` to 1 at `end`; `end` may be the smaller one."""
    t = np.clip((values - start) * (1.0 / (end - start)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def inside(distance: Plane, softness: float = 1.0) -> Plane:
    """Coverage (0-1) of a shape, from the distance to its edge in units, positive inside; `softness` in pixels."""
    return np.clip(distance * (SCALE / softness) + 0.5, 0.0, 1.0)


def bump(values: Plane, sigma: Plane | float) -> Plane:
    """Gaussian of height 1 around zero."""
    return np.exp(-0.5 * (values / sigma) ** 2)


def blob(x: float, y: float, sigma_x: float, sigma_y: float) -> Plane:
    """Two-dimensional Gaussian of height 1 around (x, y)."""
    return bump(X - x, sigma_x) * bump(Y - y, sigma_y)


def hills(*terms: tuple[float, float, float, float, float]) -> Plane:
    """Sum of blobs (height, x, y, sigma_x, sigma_y)."""
    plane = blank()
    for height, x, y, sigma_x, sigma_y in terms:
        plane += height * blob(x, y, sigma_x, sigma_y)
    return plane


def both_sides(*terms: tuple[float, float, float, float, float]) -> list[tuple[float, float, float, float, float]]:
    """Return the terms of `hills` at -x, followed by those at x."""
    return [(height, side * x, *rest) for side in SIDES for height, x, *rest in terms]  # type: ignore[misc]


def blur(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur; `sigma` in units. Wide blurs run at a quarter of the resolution."""
    pixels = sigma * SCALE
    if pixels < 6:
        return cv2.GaussianBlur(plane, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE)
    small = cv2.resize(plane, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), pixels / 4, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)


def noise(rng: np.random.Generator, cell_x: float, cell_y: float | None = None) -> Plane:
    """Smooth noise of about unit variance: one random value per cell, interpolated; cell sizes in units."""
    cell_y = cell_x if cell_y is None else cell_y
    rows, columns = int(HEIGHT / SCALE / cell_y) + 3, int(WIDTH / SCALE / cell_x) + 3
    values = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(values, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def blank() -> Plane:
    """Return a plane of zeros."""
    return np.zeros((HEIGHT, WIDTH), np.float32)


def curve(*points: tuple[float, float], samples: int = 17) -> Plane:
    """Bezier curve with these control points, by de Casteljau's algorithm; shape (samples, 2)."""
    level = np.array(points, np.float32)[:, None, :]
    t = np.linspace(0, 1, samples, dtype=np.float32)[:, None]
    while len(level) > 1:
        level = level[:-1] * (1 - t) + level[1:] * t
    return level[0]


def box_around(points: Plane, margin: float) -> Box:
    """Part of the canvas within `margin` units of the points (n, 2)."""
    low = (points.min(axis=0) - margin - (LEFT, TOP)) * SCALE
    high = (points.max(axis=0) + margin - (LEFT, TOP)) * SCALE
    x0, x1 = np.clip((int(low[0]), int(high[0]) + 1), 0, WIDTH)
    y0, y1 = np.clip((int(low[1]), int(high[1]) + 1), 0, HEIGHT)
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def stroke(plane: Plane, points: Plane, width: float | Plane, amount: float = 1.0, softness: float = 0.0) -> None:
    """Add a stroke along the points (n, 2) to the plane.

    `width` is the largest width of a tapered stroke, or one width per point. `softness` is the sigma of its blur. All
    lengths are in units.
    """
    path = np.asarray(points, np.float32)
    widths = np.asarray(width)
    if not widths.ndim:
        widths = width * np.sin(np.linspace(0.12, np.pi - 0.12, len(path))) ** 0.6
    # The outline runs half the width beside the path, along its normals, and back on the other side.
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
    offset = along[:, ::-1] * (-0.5, 0.5) * widths[:, None]
    rows, columns = box = box_around(path, float(widths.max()) + 3 * softness + 2 / SCALE)
    corners = (np.concatenate([path + offset, (path - offset)[::-1]]) - (LEFT, TOP)) * SCALE
    pixels = corners - 0.5 - (columns.start, rows.start)
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    cv2.fillPoly(mask, [np.round(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    paint: Plane = mask.astype(np.float32) * (1 / 255)
    if softness:
        paint = cv2.GaussianBlur(paint, (0, 0), softness * SCALE)
    plane[box] += amount * paint


def rgb(colour: Colour) -> Plane:
    """Return one colour with shape (3, 1, 1), to be broadcast over planes."""
    return np.array(colour, np.float32)[:, None, None]


def mix(colour: Plane, share: Plane, target: Plane | Colour) -> None:
    """Replace a share of the colour planes (3, h, w) by the target, in place."""
    colour += share * ((rgb(target) if isinstance(target, tuple) else target) - colour)


RGB, SLOPE_X, SLOPE_Y, GLOSS, FLESH, DEPTH, COVER = slice(0, 3), 3, 4, 5, 6, 7, 8
PLANES = 9
"""Planes of a relief: albedo, derivatives of the height, gloss, flesh (0-1: how far light diffuses under the surface),
depth (moves with the turn of the head), and whether anything is there (0-1)."""


@dataclass(frozen=True)
class Layer:
    """A part of a person: coverage (h, w) and planes (PLANES, h, w) within a box of the canvas."""

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
        """Build a layer from planes of the whole canvas or constants; `height` and `depth` in units."""
        rows, columns = (np.flatnonzero(alpha.max(axis=axis) > 0.004) for axis in (1, 0))
        box = tuple(slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 1) for at in (rows, columns))
        planes = np.empty((PLANES, *alpha[box].shape), np.float32)
        planes[RGB] = rgb(colour) if isinstance(colour, tuple) else colour[:, *box]
        for plane, dx in ((SLOPE_X, 1), (SLOPE_Y, 0)):
            planes[plane] = cv2.Sobel(height, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=SCALE / 8)[box]
        planes[GLOSS] = gloss[box] if isinstance(gloss, np.ndarray) else gloss
        planes[FLESH] = flesh
        planes[DEPTH] = depth[box] if isinstance(depth, np.ndarray) else depth
        planes[COVER] = 1.0
        return cls(box, alpha[box], planes)  # type: ignore[arg-type]


class Relief:
    """Everything that the camera sees of a person: planes (PLANES, HEIGHT, WIDTH)."""

    def __init__(self, planes: Plane | None = None) -> None:
        self.planes = np.zeros((PLANES, HEIGHT, WIDTH), np.float32) if planes is None else planes

    def copy(self) -> "Relief":
        return Relief(self.planes.copy())

    def lay(self, layer: Layer) -> None:
        """Put a layer on top."""
        region = self.planes[:, *layer.box]
        region += layer.alpha * (layer.planes - region)

    def tint(self, alpha: Plane, colour: Plane | Colour, box: Box = (slice(None), slice(None))) -> None:
        """Change the colour within the box, but not the shape."""
        mix(self.planes[RGB, *box], alpha, colour)

    def darken(self, shadow: Plane) -> None:
        """Multiply the albedo by 1 - shadow."""
        self.planes[RGB] *= 1.0 - shadow


WALLS: tuple[Colour, ...] = (
    (0.82, 0.81, 0.78), (0.62, 0.66, 0.68), (0.74, 0.70, 0.62), (0.52, 0.56, 0.62), (0.86, 0.86, 0.87),
    (0.56, 0.62, 0.55), (0.44, 0.46, 0.50), (0.76, 0.66, 0.60),
)  # fmt: skip


def build_wall(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Draw a wall out of focus, (height, width, 3), RGB in 0-1: one tone, unevenly lit, with a few rectangles."""
    # A blurred wall needs a quarter of the resolution only.
    wall: Plane = np.empty((height // 4, width // 4, 3), np.float32)
    wall[:] = WALLS[rng.integers(len(WALLS))]
    for _ in range(int(rng.integers(0, 5))):
        x, y = int(rng.integers(wall.shape[1])), int(rng.integers(wall.shape[0]))
        wide, tall = (int(size) for size in rng.integers(8, 50, 2))
        change = rng.normal(0, 0.12) + rng.normal(0, 0.04, 3)
        tone = [float(value) for value in np.clip(wall[0, 0] + change, 0.15, 0.95)]
        cv2.rectangle(wall, (x, y), (x + wide, y + tall), tone, -1)
    wall = cv2.GaussianBlur(wall, (0, 0), float(rng.uniform(1.0, 4.0)))
    uneven = cv2.resize(rng.standard_normal((6, 5), dtype=np.float32), wall.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    from_above = np.linspace(1.04, 0.92, len(wall), dtype=np.float32)[:, None]
    wall *= (from_above * (1 + 0.035 * uneven))[:, :, None]
    return cv2.resize(wall, (width, height), interpolation=cv2.INTER_CUBIC)


IMAGE_WIDTH, IMAGE_HEIGHT = 384, 512


@dataclass(frozen=True)
class Light:
    """A key light and ambient light."""

    towards: tuple[float, float, float]
    """Unit vector (x, y, z) from the face to the key light."""
    key: float
    ambient: float
    warmth: float
    """Share of red gained and of blue lost."""


def sample_light(rng: np.random.Generator) -> Light:
    """Draw a light from above, more or less from one side, never too dark."""
    azimuth, height = jitter(rng, 0.0, 0.42), jitter(rng, 0.50, 0.14)
    towards = (np.cos(height) * np.sin(azimuth), -np.sin(height), np.cos(height) * np.cos(azimuth))
    key = float(rng.uniform(0.56, 0.80))
    ambient = float(rng.uniform(0.90, 1.02)) - key * 0.80
    return Light((float(towards[0]), float(towards[1]), float(towards[2])), key, ambient, jitter(rng, 0.0, 0.03))


def shade(relief: Relief, light: Light) -> Plane:
    """Return the lit colours, (3, HEIGHT, WIDTH), black where nothing is."""
    planes = relief.planes
    slope_x, slope_y = planes[SLOPE_X], planes[SLOPE_Y]
    # The surface normal is (-slope_x, -slope_y, 1) * facing.
    facing = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    x, y, z = light.towards
    lambert = (z - x * slope_x - y * slope_y) * facing
    # Blinn-Phong: the half vector between light and camera.
    half = np.array([x, y, z + 1]) / np.linalg.norm([x, y, z + 1])
    mirror = np.clip((float(half[2]) - float(half[0]) * slope_x - float(half[1]) * slope_y) * facing, 0, 1)
    sky = light.ambient * (0.94 + 0.10 * slope_y * facing) * (0.86 + 0.14 * facing)
    flesh, cover = planes[FLESH], planes[COVER]
    lit = np.empty_like(planes[RGB])
    # Wrapped Lambert stands in for subsurface scattering: red light travels furthest in flesh.
    for channel, (seep, warm) in enumerate(zip((0.30, 0.18, 0.12), (1, 0.1, -1), strict=True)):
        wrap = 0.10 + (seep - 0.10) * flesh
        direct = np.clip((lambert + wrap) / (1 + wrap), 0, None)
        lit[channel] = planes[channel] * ((sky + light.key * direct) * (1 + light.warmth * warm))
    # Powers 8 and 40 by multiplication: a broad and a narrow highlight.
    for _ in range(3):
        mirror = mirror * mirror
    fortieth = mirror * mirror * mirror * mirror * mirror
    lit += light.key * planes[GLOSS] * cover * (0.10 * mirror + 0.16 * fortieth)
    return lit


@dataclass(frozen=True)
class Pose:
    """Rotation of the head (radians) and position of the face in the image (pixels)."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    """Image pixels per unit."""
    x: float
    y: float


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw a nearly frontal pose, the face a little above the middle of the image."""
    return Pose(
        yaw=jitter(rng, 0.0, 0.13),
        pitch=jitter(rng, 0.0, 0.07),
        roll=jitter(rng, 0.0, 0.045),
        scale=100.0 * float(rng.uniform(0.86, 1.06)),
        x=IMAGE_WIDTH * jitter(rng, 0.5, 0.018),
        y=IMAGE_HEIGHT * jitter(rng, 0.43, 0.02),
    )


def project(pose: Pose, points: Plane) -> Plane:
    """Map points (n, 3) in units (x, y, depth) to image pixels (n, 2)."""
    x, y, depth = points.T
    turned_x = x * np.cos(pose.yaw) + depth * np.sin(pose.yaw)
    turned_y = y * np.cos(pose.pitch) + depth * np.sin(pose.pitch)
    cos, sin = np.cos(pose.roll) * pose.scale, np.sin(pose.roll) * pose.scale
    pixels = np.stack([turned_x * cos - turned_y * sin + pose.x, turned_x * sin + turned_y * cos + pose.y], axis=1)
    return pixels.astype(np.float32)


def photograph(rng: np.random.Generator, relief: Relief, wall: Plane, light: Light, pose: Pose) -> Pixels:
    """Return the image, uint8 RGB (IMAGE_HEIGHT, IMAGE_WIDTH, 3)."""
    maps = _unproject(relief, pose)
    lit, cover = _remap(cv2.merge(list(shade(relief, light))), maps), _remap(relief.planes[COVER], maps)
    image: Plane = cv2.add(lit, cv2.multiply(wall, cv2.merge([1 - cover] * 3)))
    # Exposure, then a shoulder that bends grey levels above 195 so that white is reached at 315. In place: the arrays
    # are large.
    image *= 255 * jitter(rng, 1.0, 0.05)
    image -= np.clip(image - 195.0, 0, 120.0) ** 2 * (0.25 / 60.0)
    cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.35, 0.75)), dst=image)
    # Sensor noise: uniform bytes scaled to unit variance are cheaper than normal draws.
    strength = float(rng.uniform(0.8, 2.5))
    grain = (rng.integers(0, 256, image.shape[:2], dtype=np.uint8).astype(np.float32) - 127.5) * (1 / 73.9)
    image += strength * grain[:, :, None]
    return np.clip(image + 0.5, 0, 255, out=image).astype(np.uint8)


def _unproject(relief: Relief, pose: Pose) -> tuple[Plane, Plane]:
    """Return the canvas position (x and y in canvas pixels) that each image pixel sees."""
    px = np.arange(IMAGE_WIDTH, dtype=np.float32)[None, :] - np.float32(pose.x)
    py = np.arange(IMAGE_HEIGHT, dtype=np.float32)[:, None] - np.float32(pose.y)
    cos, sin = float(np.cos(pose.roll)) / pose.scale, float(np.sin(pose.roll)) / pose.scale
    x, y = px * cos + py * sin, py * cos - px * sin
    depth_plane = blur(relief.planes[DEPTH], 0.06)
    maps = _canvas_pixels(x, LEFT), _canvas_pixels(y, TOP)
    # The position depends on the depth there: a fixed-point iteration finds both.
    for _ in range(3):
        depth = _remap(depth_plane, maps)
        maps = (
            _canvas_pixels((x - depth * float(np.sin(pose.yaw))) * float(1 / np.cos(pose.yaw)), LEFT),
            _canvas_pixels((y - depth * float(np.sin(pose.pitch))) * float(1 / np.cos(pose.pitch)), TOP),
        )
    return maps


def _canvas_pixels(units: Plane, start: float) -> Plane:
    return (units - start) * SCALE - 0.5


def _remap(plane: Plane, maps: tuple[Plane, Plane]) -> Plane:
    return cv2.remap(plane, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
