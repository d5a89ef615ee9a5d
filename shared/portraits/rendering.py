"""The drawing board: face units, brushes, noise, and the relief that the light will fall on.

Unit of length: half the width of a face; origin between the eyes; y points down. Planes are float32 of shape
(HEIGHT, WIDTH), colours are RGB in 0-1. Parameters are Python floats throughout: a numpy float64 scalar would promote
whole planes.

The wall behind, out of focus.

Light, pose and sensor: from a relief to a photograph.
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


WALLS: tuple[Colour, ...] = (
    (0.82, 0.81, 0.78), (0.62, 0.66, 0.68), (0.74, 0.70, 0.62), (0.52, 0.56, 0.62), (0.86, 0.86, 0.87),
    (0.56, 0.62, 0.55), (0.44, 0.46, 0.50), (0.76, 0.66, 0.60),
)  # fmt: skip


def build_wall(rng: np.random.Generator, height: int, width: int) -> Plane:
    """One tone, unevenly lit, and a few blurred oblongs: (height, width, 3), RGB in 0-1; made at quarter size."""
    wall: Plane = np.empty((height // 4, width // 4, 3), np.float32)
    wall[:] = WALLS[rng.integers(len(WALLS))]
    for _ in range(int(rng.integers(0, 5))):
        _oblong(rng, wall)
    wall = cv2.GaussianBlur(wall, (0, 0), float(rng.uniform(1.0, 4.0)))
    uneven = cv2.resize(rng.standard_normal((6, 5), dtype=np.float32), wall.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    from_above = np.linspace(1.04, 0.92, len(wall), dtype=np.float32)[:, None]
    wall *= (from_above * (1 + 0.035 * uneven))[:, :, None]
    return cv2.resize(wall, (width, height), interpolation=cv2.INTER_CUBIC)


def _oblong(rng: np.random.Generator, wall: Plane) -> None:
    """An image, a door, a shelf: what one cannot make out behind a person."""
    x, y = int(rng.integers(wall.shape[1])), int(rng.integers(wall.shape[0]))
    wide, tall = (int(size) for size in rng.integers(8, 50, 2))
    change = rng.normal(0, 0.12) + rng.normal(0, 0.04, 3)
    tone = [float(value) for value in np.clip(wall[0, 0] + change, 0.15, 0.95)]
    cv2.rectangle(wall, (x, y), (x + wide, y + tall), tone, -1)


Pixels = npt.NDArray[np.uint8]
IMAGE_WIDTH, IMAGE_HEIGHT = 384, 512
PIXELS_PER_UNIT = 100.0
HIGHLIGHTS, SHOULDER = 195.0, 60.0
"""Grey levels above `HIGHLIGHTS` are bent so that 2 * `SHOULDER` more than that are white."""


@dataclass(frozen=True)
class Light:
    """A key light in direction (x, y, z) towards it, and light from everywhere."""

    towards: tuple[float, float, float]
    key: float
    ambient: float
    warmth: float
    """Share of red gained and of blue lost."""


def sample_light(rng: np.random.Generator) -> Light:
    """From one side or the other, from above; never too dark."""
    azimuth, height = jitter(rng, 0.0, 0.42), jitter(rng, 0.50, 0.14)
    towards = (np.cos(height) * np.sin(azimuth), -np.sin(height), np.cos(height) * np.cos(azimuth))
    key = float(rng.uniform(0.56, 0.80))
    ambient = float(rng.uniform(0.90, 1.02)) - key * 0.80
    return Light((float(towards[0]), float(towards[1]), float(towards[2])), key, ambient, jitter(rng, 0.0, 0.03))


def shade(relief: Relief, light: Light) -> Plane:
    """Lit colours, (3, H, W), black where nothing is: wrapped Lambert, deeper for red in flesh, and two highlights."""
    planes = relief.planes
    slope_x, slope_y = planes[SLOPE_X], planes[SLOPE_Y]
    facing = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    x, y, z = light.towards
    lambert = (z - x * slope_x - y * slope_y) * facing
    half = np.array([x, y, z + 1]) / np.linalg.norm([x, y, z + 1])
    mirror = np.clip((float(half[2]) - float(half[0]) * slope_x - float(half[1]) * slope_y) * facing, 0, 1)
    sky = light.ambient * (0.94 + 0.10 * slope_y * facing) * (0.86 + 0.14 * facing)
    flesh, cover = planes[FLESH], planes[COVER]
    lit = np.empty_like(planes[RGB])
    for channel, (seep, warm) in enumerate(zip((0.30, 0.18, 0.12), (1, 0.1, -1), strict=True)):
        wrap = 0.10 + (seep - 0.10) * flesh
        direct = np.clip((lambert + wrap) / (1 + wrap), 0, None)
        lit[channel] = planes[channel] * ((sky + light.key * direct) * (1 + light.warmth * warm))
    for _ in range(3):
        mirror = mirror * mirror
    fortieth = mirror * mirror * mirror * mirror * mirror
    lit += light.key * planes[GLOSS] * cover * (0.10 * mirror + 0.16 * fortieth)
    return lit


@dataclass(frozen=True)
class Pose:
    """Turn of the head (radians), and how the face lies in the image (pixels)."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    """Image pixels per unit."""
    x: float
    y: float


def sample_pose(rng: np.random.Generator) -> Pose:
    """Mostly frontal, the face a little above the middle."""
    return Pose(
        yaw=jitter(rng, 0.0, 0.13),
        pitch=jitter(rng, 0.0, 0.07),
        roll=jitter(rng, 0.0, 0.045),
        scale=PIXELS_PER_UNIT * float(rng.uniform(0.86, 1.06)),
        x=IMAGE_WIDTH * jitter(rng, 0.5, 0.018),
        y=IMAGE_HEIGHT * jitter(rng, 0.43, 0.02),
    )


def project(pose: Pose, points: Plane) -> Plane:
    """Points (n, 3) in units, with depth, to pixels (n, 2) of the image."""
    x, y, depth = points.T
    turned_x = x * np.cos(pose.yaw) + depth * np.sin(pose.yaw)
    turned_y = y * np.cos(pose.pitch) + depth * np.sin(pose.pitch)
    cos, sin = np.cos(pose.roll) * pose.scale, np.sin(pose.roll) * pose.scale
    pixels = np.stack([turned_x * cos - turned_y * sin + pose.x, turned_x * sin + turned_y * cos + pose.y], axis=1)
    return pixels.astype(np.float32)


def photograph(rng: np.random.Generator, relief: Relief, wall: Plane, light: Light, pose: Pose) -> Pixels:
    """The image, uint8 (IMAGE_HEIGHT, IMAGE_WIDTH, 3), RGB."""
    lit = shade(relief, light)
    map_x, map_y = _unproject(relief, pose)
    lit, cover = _seen(cv2.merge(list(lit)), map_x, map_y), _seen(relief.planes[COVER], map_x, map_y)
    behind = cv2.multiply(wall, cv2.merge([1 - cover] * 3))
    return _develop(rng, cv2.add(lit, behind))


def _seen(plane: Plane, map_x: Plane, map_y: Plane) -> Plane:
    return cv2.remap(plane, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _unproject(relief: Relief, pose: Pose) -> tuple[Plane, Plane]:
    """For each pixel the place on the canvas that it sees (canvas pixels), by fixed-point iteration over the depth."""
    px = np.arange(IMAGE_WIDTH, dtype=np.float32)[None, :] - np.float32(pose.x)
    py = np.arange(IMAGE_HEIGHT, dtype=np.float32)[:, None] - np.float32(pose.y)
    cos, sin = float(np.cos(pose.roll)) / pose.scale, float(np.sin(pose.roll)) / pose.scale
    x, y = px * cos + py * sin, py * cos - px * sin
    depth_plane = blur(relief.planes[DEPTH], 0.06)
    yaw = float(np.sin(pose.yaw)), float(1 / np.cos(pose.yaw))
    pitch = float(np.sin(pose.pitch)), float(1 / np.cos(pose.pitch))
    map_x, map_y = _canvas(x, LEFT), _canvas(y, TOP)
    for _ in range(3):
        depth = _seen(depth_plane, map_x, map_y)
        map_x = _canvas((x - depth * yaw[0]) * yaw[1], LEFT)
        map_y = _canvas((y - depth * pitch[0]) * pitch[1], TOP)
    return map_x, map_y


def _canvas(units: Plane, start: float) -> Plane:
    return (units - start) * SCALE - 0.5


def _develop(rng: np.random.Generator, image: Plane) -> Pixels:
    """Exposure, a shoulder for highlights, a slight blur, sensor noise; works in place, for large arrays are dear."""
    image *= 255 * jitter(rng, 1.0, 0.05)
    image -= np.clip(image - HIGHLIGHTS, 0, 2 * SHOULDER) ** 2 * (0.25 / SHOULDER)
    cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.35, 0.75)), dst=image)
    image += float(rng.uniform(0.8, 2.5)) * grain(rng, IMAGE_HEIGHT, IMAGE_WIDTH)[:, :, None]
    return np.clip(image + 0.5, 0, 255, out=image).astype(np.uint8)
