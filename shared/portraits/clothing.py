"""Masks on the geometry of the face, and clothes."""

from dataclasses import dataclass

import numpy as np

from shared.portraits.person import Head, Measures, neck_width
from shared.portraits.rendering import (
    SIDES,
    Colour,
    Layer,
    Plane,
    Relief,
    X,
    Y,
    blank,
    blob,
    blur,
    bump,
    curve,
    inside,
    jitter,
    noise,
    rgb,
    step,
    stroke,
)

PAPER: tuple[Colour, ...] = (
    (0.62, 0.78, 0.88), (0.90, 0.92, 0.93), (0.66, 0.85, 0.80), (0.90, 0.74, 0.80), (0.14, 0.14, 0.16),
)  # fmt: skip
CLOTH: tuple[Colour, ...] = (
    (0.15, 0.15, 0.17), (0.90, 0.90, 0.89), (0.45, 0.47, 0.50), (0.22, 0.26, 0.40), (0.20, 0.38, 0.28),
)  # fmt: skip
GAUDY: tuple[Colour, ...] = (
    (0.62, 0.16, 0.18), (0.85, 0.55, 0.20), (0.25, 0.40, 0.62), (0.88, 0.86, 0.80), (0.40, 0.28, 0.20),
)  # fmt: skip
GARMENT: tuple[Colour, ...] = (
    (0.88, 0.88, 0.87), (0.16, 0.16, 0.18), (0.22, 0.28, 0.42), (0.48, 0.50, 0.53), (0.52, 0.16, 0.18),
    (0.30, 0.42, 0.34), (0.74, 0.66, 0.52), (0.62, 0.72, 0.80), (0.78, 0.62, 0.66), (0.40, 0.30, 0.46),
    (0.72, 0.45, 0.22), (0.28, 0.48, 0.52),
)  # fmt: skip
MASK_COLOURS = {"surgical": PAPER, "folded": CLOTH[:3], "cloth": CLOTH, "sponge": CLOTH[:3], "patterned": GAUDY}
"""Colours of each kind of mask; "folded" is sold as KF94."""


@dataclass(frozen=True)
class Fit:
    """Position of a mask in units: upper edge over the nose and at the sides, lower end, half-width."""

    top: float
    side: float
    bottom: float
    width: float

    def upper_edge(self) -> Plane:
        """Height of the upper edge in each column: it peaks over the nose and falls to the sides."""
        t = np.clip(np.abs(X) / self.width, 0, 1.1)
        return self.top + (self.side - self.top) * (0.35 * t + 0.65 * t**3) + 0.02 * np.sin(np.pi * t)


def worn_fit(rng: np.random.Generator, head: Head) -> Fit:
    """Cover nose, mouth and chin."""
    width = float(rng.uniform(0.93, 0.965)) * head.width_at(0.5)
    return Fit(float(rng.uniform(0.24, 0.34)), 0.40, head.measures.chin + 0.06, width)


def incorrect_fit(rng: np.random.Generator, head: Head) -> Fit:
    """Leave the nose free, or wear the mask under the chin, with equal chances."""
    m = head.measures
    if rng.random() < 0.5:
        width = float(rng.uniform(0.93, 0.965)) * head.width_at(0.7)
        return Fit(m.nose_y + float(rng.uniform(0.10, 0.17)), 0.66, m.chin + 0.07, width)
    return Fit(m.mouth_y + float(rng.uniform(0.15, 0.24)), 0.98, m.chin + 0.13, 0.97 * head.width_at(0.98))


def wear_mask(rng: np.random.Generator, head: Head, fit: Fit, kind: str, relief: Relief) -> None:
    """Lay the contact shadow, the ear loops and the mask on the relief."""
    # Below the upper edge, between the sides, and a little beyond the outline of the chin.
    beyond = np.minimum(head.edge + (fit.bottom - head.measures.chin) + 0.01, fit.bottom - Y)
    alpha = inside(np.minimum(np.minimum(Y - fit.upper_edge(), fit.width - np.abs(X)), beyond), 1.4)
    relief.darken(0.45 * blur(alpha, 0.045))
    _draw_loops(rng, head, fit, relief)
    folds, shade = _folds(fit, kind)
    # The cloth follows the face, smoothed, and is lifted by nose and mouth.
    middle, span = 0.5 * (fit.top + fit.bottom), fit.bottom - fit.top
    drape = blur(head.height, 0.14) + 0.06 * blob(0.0, middle - 0.1 * span, 0.30, 0.35 * span)
    drape = drape + 0.04 * blob(0.0, head.measures.nose_y, 0.10, 0.2)
    height = drape + folds + 0.05 * blur(alpha, 0.03)
    colour = _mask_colour(rng, kind) * (shade * (1 + 0.012 * noise(rng, 0.02)))
    gloss = 0.25 if kind == "surgical" else 0.06
    relief.lay(Layer.of(alpha, colour, height, depth=blur(height, 0.10), gloss=gloss))


def _draw_loops(rng: np.random.Generator, head: Head, fit: Fit, relief: Relief) -> None:
    """Draw two bands from the corners of the mask to each ear."""
    ear = head.width_at(0.1) + 0.02
    low = min(fit.side + 0.50, fit.bottom - 0.30)
    upper = curve((fit.width - 0.03, fit.side + 0.03), (ear - 0.01, 0.25), (ear, 0.0))
    lower = curve((head.width_at(low) - 0.04, low), (ear - 0.04, 0.55), (ear + 0.01, 0.30))
    paint = blank()
    for side in SIDES:
        for band in (upper, lower):
            stroke(paint, band * (side, 1.0), 0.030, 0.95)
    relief.tint(np.clip(paint, 0, 1), (0.90, 0.90, 0.90) if rng.random() < 0.7 else (0.18, 0.18, 0.20))


def _folds(fit: Fit, kind: str) -> tuple[Plane, Plane]:
    """Return two planes for a mask: the heights of its folds and seams, and a factor on its colour."""
    edge, span = fit.upper_edge(), fit.bottom - fit.top
    if kind == "surgical":
        # Three pleats across, and the wire over the nose.
        row = (Y - edge * (1 - 0.3 * np.clip(np.abs(X) / fit.width, 0, 1))) / span
        height, shade = np.zeros_like(row), 1 - 0.10 * bump(Y - edge - 0.05, 0.012)
        for at in (0.30, 0.48, 0.66):
            height += 0.020 * step(row, at - 0.035, at + 0.005) * step(row, at + 0.05, at + 0.006)
            shade -= 0.16 * bump(row - at - 0.03, 0.010)
        return height, shade
    if kind == "folded":
        # Boat-shaped: one fold below the eyes, one above the chin.
        height, shade = blank(), 1 + blank()
        for at, bend in ((0.26, 0.16), (0.74, -0.16)):
            distance = Y - (fit.top + span * (at + bend * (X / fit.width) ** 2))
            height += 0.05 * bump(distance, 0.06)
            shade -= 0.14 * bump(distance, 0.012)
        return height, shade
    if kind == "sponge":
        return 0.05 * np.exp(-np.abs(X) / 0.16), np.ones_like(X)
    return 0.07 * np.exp(-np.abs(X) / 0.10), 1 - 0.16 * bump(X, 0.010)


def _mask_colour(rng: np.random.Generator, kind: str) -> Plane:
    """Albedo, (3, 1, 1); patterned cloth (3, H, W)."""
    tones = MASK_COLOURS[kind]
    first, second = (rgb(tones[index]) for index in rng.choice(len(tones), 2, replace=False))
    if kind != "patterned":
        return first
    period = float(rng.uniform(0.14, 0.26))
    wave_x, wave_y = np.sin(X * (2 * np.pi / period)), np.sin(Y * (2 * np.pi / period))
    pattern = ("stripes", "checks", "dots", "blotches")[rng.integers(4)]
    if pattern == "stripes":
        share = step(wave_x, -0.15, 0.15)
    elif pattern == "checks":
        share = 0.5 * step(wave_x, -0.15, 0.15) + 0.5 * step(wave_y, -0.15, 0.15)
    elif pattern == "dots":
        share = step(wave_x * wave_y, 0.45, 0.65)
    else:
        share = step(noise(rng, 0.11), 0.1, 0.3)
    return first + share * (second - first)


def clothes_layer(rng: np.random.Generator, head: Head) -> Layer:
    """Draw a pullover with a round, pointed or high neckline, or a shirt with a collar."""
    m = head.measures
    neckline = ("round", "point", "high", "collar")[rng.integers(4)]
    away = np.abs(X) / m.shoulder
    shoulders = m.chin + 0.24 + 0.42 * away + 1.9 * np.clip(away - 0.72, 0, 1) ** 2
    below_cut = Y - _neckline_edge(neckline, m.neck, m.chin)
    hem = bump(below_cut - 0.06, 0.035)
    shade = 1 - 0.25 * np.exp(-np.clip(below_cut, 0, None) / 0.08) + 0.10 * hem
    tone = rgb(GARMENT[rng.integers(len(GARMENT))])
    weave = 1 + 0.02 * noise(rng, 0.015)
    if rng.random() < 0.2:
        period = jitter(rng, 0.32, 0.08)
        weave *= 0.72 + 0.28 * step(np.sin(Y * (2 * np.pi / period)), -0.15, 0.15)
    colour = tone * (weave * shade)
    alpha = inside(np.minimum(Y - shoulders, below_cut))
    if neckline == "collar":
        colour *= 1 - _collar(m)
    if neckline == "high":
        alpha = np.maximum(alpha, inside(np.minimum(neck_width(m) + 0.04 - np.abs(X), below_cut)))
    # The height field of a rounded chest, with folds.
    chest = 0.8 * np.sqrt(np.clip(1 - (X / (m.shoulder + 0.35)) ** 2, 0.02, 1))
    sloping = 0.12 * np.clip(1.2 - (Y - shoulders), 0, 1.2) ** 2
    body = chest - sloping + blur(0.05 * noise(rng, 0.5, 0.9) + 0.02 * noise(rng, 0.2, 0.6), 0.04)
    return Layer.of(alpha, colour, body + 0.02 * hem, depth=-0.05)


def _neckline_edge(neckline: str, neck: float, chin: float) -> Plane:
    """Height of the edge of the cloth in each column."""
    x = np.abs(X)
    if neckline == "point":
        return chin + 1.05 - 1.05 * x / (neck + 0.12)
    if neckline == "high":
        return chin + 0.16 + 0.05 * (1 - (x / neck) ** 2)
    if neckline == "collar":
        return chin + 0.62 - 0.62 * x / (neck + 0.05)
    return chin + 0.30 + 0.22 * np.sqrt(np.clip(1 - (x / (neck + 0.15)) ** 2, 0, 1))


def _collar(m: Measures) -> Plane:
    """Lines of two flaps and of the buttoned front."""
    lines = blank()
    for side in SIDES:
        ends = (side * (m.neck + 0.10), m.chin + 0.42), (side * 0.02, m.chin + 0.72)
        stroke(lines, curve(ends[0], (side * 0.42, m.chin + 0.88), ends[1]), 0.03, 0.5, 0.01)
    stroke(lines, curve((0.0, m.chin + 0.70), (0.01, 3.6)), np.full(17, 0.02), 0.4, 0.008)
    return lines
