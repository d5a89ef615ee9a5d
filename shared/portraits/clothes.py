"""Shoulders, clothes and the wall behind."""

import cv2
import numpy as np

from shared.portraits.canvas import Colour, Layer, Plane, X, Y, blur, curve, inside, jitter, noise, step, stroke
from shared.portraits.head import Head

CLOTH: tuple[Colour, ...] = (
    (0.88, 0.88, 0.87), (0.16, 0.16, 0.18), (0.22, 0.28, 0.42), (0.48, 0.50, 0.53), (0.52, 0.16, 0.18),
    (0.30, 0.42, 0.34), (0.74, 0.66, 0.52), (0.62, 0.72, 0.80), (0.78, 0.62, 0.66), (0.40, 0.30, 0.46),
    (0.72, 0.45, 0.22), (0.28, 0.48, 0.52),
)  # fmt: skip
WALLS: tuple[Colour, ...] = (
    (0.82, 0.81, 0.78), (0.62, 0.66, 0.68), (0.74, 0.70, 0.62), (0.52, 0.56, 0.62), (0.86, 0.86, 0.87),
    (0.56, 0.62, 0.55), (0.44, 0.46, 0.50), (0.76, 0.66, 0.60),
)  # fmt: skip


def clothes_layer(rng: np.random.Generator, head: Head) -> Layer:
    """A pullover with a round, pointed or high neckline, or a shirt with a collar."""
    m = head.measures
    neckline = ("round", "point", "high", "collar")[rng.integers(4)]
    colour = np.array(CLOTH[rng.integers(len(CLOTH))], np.float32)[:, None, None] * _pattern(rng)
    away = np.abs(X) / m.shoulder
    shoulder_line = m.chin + 0.24 + 0.42 * away + 1.9 * np.clip(away - 0.72, 0, 1) ** 2
    cut = _cut(neckline, m.neck, m.chin)
    if neckline == "high":
        shoulder_line = np.where(np.abs(X) < m.neck + 0.04, cut, shoulder_line)
    folds = blur(noise(rng, 0.5, 0.9) * 0.05 + noise(rng, 0.2, 0.6) * 0.02, 0.04)
    body = (
        0.8 * np.sqrt(np.clip(1 - (X / (m.shoulder + 0.35)) ** 2, 0.02, 1))
        - 0.12 * np.clip(1.2 - (Y - shoulder_line), 0, 1.2) ** 2
    )
    alpha = inside(np.minimum(Y - shoulder_line, Y - cut))
    hem = np.exp(-0.5 * ((Y - cut - 0.06) / 0.035) ** 2)
    layer_height = body + folds + 0.02 * hem
    shade = 1 - 0.25 * np.exp(-np.clip(Y - cut, 0, None) / 0.08) + 0.10 * hem
    planes = (colour * shade).astype(np.float32)
    if neckline == "collar":
        _collar(planes, m.neck, m.chin)
    return Layer.of(alpha, planes, layer_height.astype(np.float32), depth=-0.05)


def _cut(neckline: str, neck: float, chin: float) -> Plane:
    """Height of the edge of the cloth over each column."""
    x = np.abs(X)
    if neckline == "point":
        return chin + 1.05 - 1.05 * x / (neck + 0.12) + 0.0 * x
    if neckline == "high":
        return chin + 0.16 + 0.05 * (1 - (x / neck) ** 2)
    if neckline == "collar":
        return chin + 0.62 - 0.62 * x / (neck + 0.05)
    return chin + 0.30 + 0.22 * np.sqrt(np.clip(1 - (x / (neck + 0.15)) ** 2, 0, 1))


def _collar(planes: Plane, neck: float, chin: float) -> None:
    shade = np.zeros(planes.shape[1:], np.float32)
    for side in (-1.0, 1.0):
        flap = curve((side * (neck + 0.10), chin + 0.42), (side * 0.42, chin + 0.88), (side * 0.02, chin + 0.72))
        stroke(shade, flap, 0.03, 0.5, 0.01)
    stroke(shade, np.array([[0.0, chin + 0.70], [0.01, chin + 1.3], [0.0, 3.6]]), np.full(3, 0.02), 0.4, 0.008)
    planes *= 1 - shade


def _pattern(rng: np.random.Generator) -> Plane:
    weave = 1 + 0.02 * noise(rng, 0.015)
    if rng.random() < 0.2:
        period = jitter(rng, 0.32, 0.08)
        weave = weave * (0.72 + 0.28 * step(np.sin(Y * (2 * np.pi / period)), -0.15, 0.15))
    return weave


def build_wall(rng: np.random.Generator, height: int, width: int) -> Plane:
    """A wall out of focus, (3, height, width): one tone, soft unevenness and a few blurred oblongs."""
    half: Plane = np.empty((height // 4, width // 4, 3), np.float32)
    half[:] = WALLS[rng.integers(len(WALLS))]
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.integers(0, half.shape[1]), rng.integers(0, half.shape[0])
        size = rng.integers(8, 50, 2)
        change = rng.normal(0, 0.12) + rng.normal(0, 0.04, 3)
        tone = [float(value) for value in np.clip(half[0, 0] + change, 0.15, 0.95)]
        cv2.rectangle(half, (int(x), int(y)), (int(x + size[0]), int(y + size[1])), tone, -1)
    half = cv2.GaussianBlur(half, (0, 0), float(rng.uniform(1.0, 4.0)))
    uneven = cv2.resize(rng.standard_normal((6, 5), dtype=np.float32), half.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    slope = np.linspace(1.04, 0.92, half.shape[0], dtype=np.float32)[:, None]
    half *= (slope * (1 + 0.035 * uneven))[:, :, None]
    return cv2.resize(half, (width, height), interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)
