"""The wall behind, out of focus."""

import cv2
import numpy as np

from shared.portraits.canvas import Colour, Plane

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
    """A picture, a door, a shelf: what one cannot make out behind a person."""
    x, y = int(rng.integers(wall.shape[1])), int(rng.integers(wall.shape[0]))
    wide, tall = (int(size) for size in rng.integers(8, 50, 2))
    change = rng.normal(0, 0.12) + rng.normal(0, 0.04, 3)
    tone = [float(value) for value in np.clip(wall[0, 0] + change, 0.15, 0.95)]
    cv2.rectangle(wall, (x, y), (x + wide, y + tall), tone, -1)
