"""Light, pose and sensor: from a relief to a photograph."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from shared.portraits.canvas import (
    COVER,
    DEPTH,
    FLESH,
    GLOSS,
    LEFT,
    RGB,
    SCALE,
    SLOPE_X,
    SLOPE_Y,
    TOP,
    Plane,
    Relief,
    blur,
    grain,
    jitter,
)

Picture = npt.NDArray[np.uint8]
PICTURE_WIDTH, PICTURE_HEIGHT = 384, 512
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
    """Turn of the head (radians), and how the face lies in the picture (pixels)."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    """Picture pixels per unit."""
    x: float
    y: float


def sample_pose(rng: np.random.Generator) -> Pose:
    """Mostly frontal, the face a little above the middle."""
    return Pose(
        yaw=jitter(rng, 0.0, 0.13),
        pitch=jitter(rng, 0.0, 0.07),
        roll=jitter(rng, 0.0, 0.045),
        scale=PIXELS_PER_UNIT * float(rng.uniform(0.86, 1.06)),
        x=PICTURE_WIDTH * jitter(rng, 0.5, 0.018),
        y=PICTURE_HEIGHT * jitter(rng, 0.43, 0.02),
    )


def project(pose: Pose, points: Plane) -> Plane:
    """Points (n, 3) in units, with depth, to pixels (n, 2) of the picture."""
    x, y, depth = points.T
    turned_x = x * np.cos(pose.yaw) + depth * np.sin(pose.yaw)
    turned_y = y * np.cos(pose.pitch) + depth * np.sin(pose.pitch)
    cos, sin = np.cos(pose.roll) * pose.scale, np.sin(pose.roll) * pose.scale
    pixels = np.stack([turned_x * cos - turned_y * sin + pose.x, turned_x * sin + turned_y * cos + pose.y], axis=1)
    return pixels.astype(np.float32)


def photograph(rng: np.random.Generator, relief: Relief, wall: Plane, light: Light, pose: Pose) -> Picture:
    """The picture, uint8 (PICTURE_HEIGHT, PICTURE_WIDTH, 3), RGB."""
    lit = shade(relief, light)
    map_x, map_y = _unproject(relief, pose)
    lit, cover = _seen(cv2.merge(list(lit)), map_x, map_y), _seen(relief.planes[COVER], map_x, map_y)
    behind = cv2.multiply(wall, cv2.merge([1 - cover] * 3))
    return _develop(rng, cv2.add(lit, behind))


def _seen(plane: Plane, map_x: Plane, map_y: Plane) -> Plane:
    return cv2.remap(plane, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _unproject(relief: Relief, pose: Pose) -> tuple[Plane, Plane]:
    """For each pixel the place on the canvas that it sees (canvas pixels), by fixed-point iteration over the depth."""
    px = np.arange(PICTURE_WIDTH, dtype=np.float32)[None, :] - np.float32(pose.x)
    py = np.arange(PICTURE_HEIGHT, dtype=np.float32)[:, None] - np.float32(pose.y)
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


def _develop(rng: np.random.Generator, picture: Plane) -> Picture:
    """Exposure, a shoulder for highlights, a slight blur, sensor noise; works in place, for large arrays are dear."""
    picture *= 255 * jitter(rng, 1.0, 0.05)
    picture -= np.clip(picture - HIGHLIGHTS, 0, 2 * SHOULDER) ** 2 * (0.25 / SHOULDER)
    cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.35, 0.75)), dst=picture)
    picture += float(rng.uniform(0.8, 2.5)) * grain(rng, PICTURE_HEIGHT, PICTURE_WIDTH)[:, :, None]
    return np.clip(picture + 0.5, 0, 255, out=picture).astype(np.uint8)
