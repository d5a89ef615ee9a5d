"""Shoulders and what is worn on them."""

import numpy as np

from shared.portraits.canvas import Colour, Layer, Plane, X, Y, blur, curve, inside, jitter, noise, rgb, step, stroke
from shared.portraits.head import Head, Measures, neck_width

CLOTH: tuple[Colour, ...] = (
    (0.88, 0.88, 0.87), (0.16, 0.16, 0.18), (0.22, 0.28, 0.42), (0.48, 0.50, 0.53), (0.52, 0.16, 0.18),
    (0.30, 0.42, 0.34), (0.74, 0.66, 0.52), (0.62, 0.72, 0.80), (0.78, 0.62, 0.66), (0.40, 0.30, 0.46),
    (0.72, 0.45, 0.22), (0.28, 0.48, 0.52),
)  # fmt: skip


def clothes_layer(rng: np.random.Generator, head: Head) -> Layer:
    """A pullover with a round, pointed or high neckline, or a shirt with a collar."""
    m = head.measures
    neckline = ("round", "point", "high", "collar")[rng.integers(4)]
    shoulders, cut = _shoulder_line(m), _cut(neckline, m.neck, m.chin)
    below_cut = Y - cut
    hem = np.exp(-0.5 * ((below_cut - 0.06) / 0.035) ** 2)
    shade = 1 - 0.25 * np.exp(-np.clip(below_cut, 0, None) / 0.08) + 0.10 * hem
    colour = rgb(CLOTH[rng.integers(len(CLOTH))]) * (_pattern(rng) * shade)
    if neckline == "collar":
        colour *= 1 - _collar(m)
    alpha = inside(np.minimum(Y - shoulders, below_cut))
    if neckline == "high":
        alpha = np.maximum(alpha, inside(np.minimum(neck_width(m) + 0.04 - np.abs(X), below_cut)))
    return Layer.of(alpha, colour, _body(rng, m, shoulders) + 0.02 * hem, depth=-0.05)


def _shoulder_line(m: Measures) -> Plane:
    """Height of the shoulders over each column."""
    away = np.abs(X) / m.shoulder
    return m.chin + 0.24 + 0.42 * away + 1.9 * np.clip(away - 0.72, 0, 1) ** 2


def _body(rng: np.random.Generator, m: Measures, shoulders: Plane) -> Plane:
    """Height field of a rounded body, with folds."""
    chest = 0.8 * np.sqrt(np.clip(1 - (X / (m.shoulder + 0.35)) ** 2, 0.02, 1))
    sloping = 0.12 * np.clip(1.2 - (Y - shoulders), 0, 1.2) ** 2
    return chest - sloping + blur(0.05 * noise(rng, 0.5, 0.9) + 0.02 * noise(rng, 0.2, 0.6), 0.04)


def _cut(neckline: str, neck: float, chin: float) -> Plane:
    """Height of the edge of the cloth over each column."""
    x = np.abs(X)
    if neckline == "point":
        return chin + 1.05 - 1.05 * x / (neck + 0.12)
    if neckline == "high":
        return chin + 0.16 + 0.05 * (1 - (x / neck) ** 2)
    if neckline == "collar":
        return chin + 0.62 - 0.62 * x / (neck + 0.05)
    return chin + 0.30 + 0.22 * np.sqrt(np.clip(1 - (x / (neck + 0.15)) ** 2, 0, 1))


def _collar(m: Measures) -> Plane:
    """The lines of two flaps and of the buttoned front."""
    lines = np.zeros((Y.size, X.size), np.float32)
    for side in (-1.0, 1.0):
        flap = curve(
            (side * (m.neck + 0.10), m.chin + 0.42), (side * 0.42, m.chin + 0.88), (side * 0.02, m.chin + 0.72)
        )
        stroke(lines, flap, 0.03, 0.5, 0.01)
    stroke(lines, curve((0.0, m.chin + 0.70), (0.01, 3.6)), np.full(17, 0.02), 0.4, 0.008)
    return lines


def _pattern(rng: np.random.Generator) -> Plane:
    """A weave, with stripes in one of five; a factor on the colour."""
    weave = 1 + 0.02 * noise(rng, 0.015)
    if rng.random() < 0.2:
        period = jitter(rng, 0.32, 0.08)
        weave *= 0.72 + 0.28 * step(np.sin(Y * (2 * np.pi / period)), -0.15, 0.15)
    return weave
