"""Masks on the geometry of the face: worn right, with the nose out, or under the chin."""

from dataclasses import dataclass

import numpy as np

from shared.portraits.canvas import Colour, Layer, Plane, Relief, X, Y, blob, blur, curve, inside, noise, step, stroke
from shared.portraits.head import Head

SURGICAL: tuple[Colour, ...] = (
    (0.62, 0.78, 0.88),
    (0.90, 0.92, 0.93),
    (0.66, 0.85, 0.80),
    (0.90, 0.74, 0.80),
    (0.14, 0.14, 0.16),
)
PLAIN: tuple[Colour, ...] = (
    (0.15, 0.15, 0.17),
    (0.90, 0.90, 0.89),
    (0.45, 0.47, 0.50),
    (0.22, 0.26, 0.40),
    (0.20, 0.38, 0.28),
)
GAUDY: tuple[Colour, ...] = (
    (0.62, 0.16, 0.18),
    (0.85, 0.55, 0.20),
    (0.25, 0.40, 0.62),
    (0.88, 0.86, 0.80),
    (0.40, 0.28, 0.20),
)
MAKES = ("surgical", "kf94", "plain", "sponge", "patterned")


@dataclass(frozen=True)
class Fit:
    """Where a mask sits, in units: its edge over the nose and at the sides, its lower end, and half its width."""

    top: float
    side: float
    bottom: float
    width: float


def worn_fit(rng: np.random.Generator, head: Head) -> Fit:
    """Nose, mouth and chin covered."""
    width = float(rng.uniform(0.93, 0.965)) * head.width_at(0.5)
    return Fit(float(rng.uniform(0.24, 0.34)), 0.40, head.measures.chin + 0.06, width)


def incorrect_fit(rng: np.random.Generator, head: Head) -> Fit:
    """The nose out, or the mask under the chin, at even chances."""
    m = head.measures
    if rng.random() < 0.5:
        width = float(rng.uniform(0.93, 0.965)) * head.width_at(0.7)
        return Fit(m.nose_y + float(rng.uniform(0.10, 0.17)), 0.66, m.chin + 0.07, width)
    return Fit(m.mouth_y + float(rng.uniform(0.15, 0.24)), 0.98, m.chin + 0.13, 0.97 * head.width_at(0.98))


def wear_mask(rng: np.random.Generator, head: Head, fit: Fit, make: str, relief: Relief) -> None:
    """Lay contact shadow, loops and cloth on the relief."""
    alpha = _shape(head, fit)
    relief.darken(0.45 * blur(alpha, 0.045) * (1 - 0.0 * alpha))
    _loops(rng, head, fit, relief)
    height, shade = _drape(head, fit, make)
    colour = _cloth(rng, make) * (shade * (1 + 0.012 * noise(rng, 0.02)))
    rim = blur(alpha, 0.03)
    height = height + 0.05 * rim
    depth = blur(height, 0.10)
    gloss = 0.25 if make == "surgical" else 0.06
    relief.lay(Layer.of(alpha, colour.astype(np.float32), height, depth=depth, gloss=gloss))


def _upper_edge(fit: Fit) -> Plane:
    """Height of the upper edge over each column: a peak over the nose, falling to the sides."""
    t = np.clip(np.abs(X) / fit.width, 0, 1.1)
    return fit.top + (fit.side - fit.top) * (0.35 * t + 0.65 * t**3) + 0.02 * np.sin(np.pi * t)


def _shape(head: Head, fit: Fit) -> Plane:
    stretched = np.minimum(head.edge + (fit.bottom - head.measures.chin) + 0.01, fit.bottom - Y)
    return inside(np.minimum(np.minimum(Y - _upper_edge(fit), fit.width - np.abs(X)), stretched), 1.4)


def _loops(rng: np.random.Generator, head: Head, fit: Fit, relief: Relief) -> None:
    paint = np.zeros_like(head.rho)
    white = rng.random() < 0.7
    for side in (-1.0, 1.0):
        ear = head.width_at(0.1) + 0.02
        upper = curve((side * (fit.width - 0.03), fit.side + 0.03), (side * (ear - 0.01), 0.25), (side * ear, 0.0))
        low_y = min(fit.side + 0.50, fit.bottom - 0.30)
        lower = curve(
            (side * (head.width_at(low_y) - 0.04), low_y), (side * (ear - 0.04), 0.55), (side * (ear + 0.01), 0.30)
        )
        stroke(paint, upper, 0.030, 0.95)
        stroke(paint, lower, 0.030, 0.95)
    relief.tint(np.clip(paint, 0, 1), (0.90, 0.90, 0.90) if white else (0.18, 0.18, 0.20))


def _drape(head: Head, fit: Fit, make: str) -> tuple[Plane, Plane]:
    """Height of the cloth, and a factor on its colour for seams and pleats."""
    m = head.measures
    middle = 0.5 * (fit.top + fit.bottom)
    span = fit.bottom - fit.top
    height = (
        blur(head.height, 0.14)
        + 0.06 * blob(0.0, middle - 0.1 * span, 0.30, 0.35 * span)
        + 0.04 * blob(0, m.nose_y, 0.10, 0.2)
    )
    shade = np.ones_like(head.rho)
    if make == "surgical":
        t = np.clip(np.abs(X) / fit.width, 0, 1)
        row = (Y - _upper_edge(fit) * (1 - 0.3 * t)) / span
        for at in (0.30, 0.48, 0.66):
            fold = step(row, at - 0.035, at + 0.005) * step(row, at + 0.05, at + 0.006)
            height = height + 0.020 * fold
            shade = shade - 0.16 * np.exp(-0.5 * ((row - at - 0.03) / 0.010) ** 2)
        shade = shade - 0.10 * np.exp(-0.5 * (((Y - _upper_edge(fit)) - 0.05) / 0.012) ** 2)
    elif make == "kf94":
        for at, bend in ((0.26, 0.16), (0.74, -0.16)):
            fold = Y - (fit.top + span * (at + bend * (X / fit.width) ** 2))
            height = height + 0.05 * np.exp(-0.5 * (fold / 0.06) ** 2)
            shade = shade - 0.14 * np.exp(-0.5 * (fold / 0.012) ** 2)
    else:
        height = height + 0.07 * np.exp(-np.abs(X) / 0.10)
        shade = shade - 0.16 * np.exp(-0.5 * (X / 0.010) ** 2)
    return height.astype(np.float32), shade.astype(np.float32)


def _cloth(rng: np.random.Generator, make: str) -> Plane:
    """Colour of the cloth, (3, H, W) or (3, 1, 1)."""
    if make == "patterned":
        return _pattern(rng)
    tones = {"surgical": SURGICAL, "kf94": PLAIN[:3], "plain": PLAIN, "sponge": PLAIN[:3]}[make]
    return np.array(tones[rng.integers(len(tones))], np.float32)[:, None, None]


def _pattern(rng: np.random.Generator) -> Plane:
    """Stripes, checks, dots or blotches in two colours."""
    first, second = rng.choice(len(GAUDY), 2, replace=False)
    a, b = (np.array(GAUDY[i], np.float32)[:, None, None] for i in (first, second))
    period = float(rng.uniform(0.14, 0.26))
    wave_x, wave_y = np.sin(X * (2 * np.pi / period)), np.sin(Y * (2 * np.pi / period))
    kind = rng.integers(4)
    if kind == 0:
        share = step(wave_x, -0.15, 0.15) + 0.0 * wave_y
    elif kind == 1:
        share = 0.5 * step(wave_x, -0.15, 0.15) + 0.5 * step(wave_y, -0.15, 0.15)
    elif kind == 2:
        share = step(wave_x * wave_y, 0.45, 0.65)
    else:
        share = step(noise(rng, 0.11), 0.1, 0.3)
    return (a + share * (b - a)).astype(np.float32)
