"""Hair: a silhouette less the opening for the face, filled with strands that keep one width everywhere.

Strands are lines of equal `u` in a field whose gradient is about 1, so noise in `u` makes strands of even width, where
radial coordinates would make ribbons.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from shared.portraits.canvas import (
    HEIGHT,
    SCALE,
    WIDTH,
    Layer,
    Plane,
    X,
    Y,
    blur,
    inside,
    mix,
    noise,
    ramp,
    rgb,
    step,
)
from shared.portraits.hair_styles import Style
from shared.portraits.head import Head, Measures
from shared.portraits.person import GREY, Person

ROUND = 2.4
"""Exponent of the curve over the crown: 2 is an ellipse, more is squarer."""
DROP = np.clip(Y, 0, None)
"""How far below the eyes."""
RISE = np.clip(-Y, 0, None)
"""How far above them."""


@dataclass(frozen=True)
class Hair:
    """The hair behind neck and shoulders (None where it is short) and the hair before the face."""

    back: Layer | None
    front: Layer


def build_hair(rng: np.random.Generator, person: Person, head: Head, style: Style) -> Hair:
    """Both layers of the hair."""
    strands, rough = _strands(rng, style), _roughness(rng, style)
    limit = _limit(head, style)
    reach = _superellipse(RISE * ((head.measures.temple + style.side) / (style.volume - head.measures.crown)), ROUND)
    silhouette = inside(limit - reach + rough, 2.5) * _ending(style, rough)
    reach = reach / limit
    colour = _colour(rng, person, strands, reach)
    height = 0.85 * np.sqrt(np.clip(1.06 - reach**2, 0.02, None)) + 0.012 * strands
    gloss = 0.14 if style.flow == "coil" else _shine(strands, reach)
    before = silhouette * _around_face(head.measures, style, rough) * _thinning(style, rough)
    depth = blur(0.75 * np.clip(1 - reach**2, 0, 1), 0.1)
    front = Layer.of(before, colour, height, depth=depth, gloss=gloss)
    return Hair(Layer.of(silhouette, colour * 0.45, height, depth=-0.1) if style.is_long else None, front)


def _superellipse(above: Plane, exponent: float) -> Plane:
    """Distance from the axis of the head: |x| below the eyes, a curve over the crown above them."""
    return (np.abs(X) ** exponent + above**exponent) ** (1 / exponent)


def _limit(head: Head, style: Style) -> Plane:
    """Half-width of the silhouette in each row: long hair falls free, short hair closes in on the head."""
    width = head.measures.temple + style.side
    if style.is_long:
        return width + style.flare * DROP
    closing = np.clip(DROP / style.length, 0, 1)
    return np.maximum(width + (head.half_width + 0.4 * style.side - width) * closing, 0.05)


def _ending(style: Style, rough: Plane) -> Plane:
    return step(style.length + 3.0 * rough - Y, -0.04, 0.10 if style.is_long else 0.18)


def _roughness(rng: np.random.Generator, style: Style) -> Plane:
    """How far, in units, the edges of the hair go in and out."""
    if style.flow == "coil":
        return 0.022 * noise(rng, 0.07) + 0.010 * noise(rng, 0.03)
    return 0.005 * noise(rng, 0.025, 0.10) + 0.010 * noise(rng, 0.07, 0.4) + 0.35 * style.wave * noise(rng, 0.3, 0.2)


def _around_face(m: Measures, style: Style, rough: Plane) -> Plane:
    """1 where hair lies before the head, 0 in the opening for the face."""
    half = style.opening * m.temple
    temples = np.exp(-0.5 * ((np.abs(X) - 0.42) / 0.20) ** 2)
    rise = style.slant * X - m.hairline - style.fringe + style.recede * (0.25 + temples)
    if style.flow == "arch" and not style.slant:
        rise = rise + 0.10 * np.exp(-0.5 * ((X - style.part) / 0.22) ** 2)
    reach = _superellipse(RISE * (half / np.maximum(rise, 0.2)), 2.6 if style.fringe < 0.25 else 4.5)
    half_below = half + (0.05 if style.is_long else 0.15) * DROP
    return inside(reach - half_below + rough, 4.0)


def _thinning(style: Style, rough: Plane) -> Plane | float:
    """What is left on a bald top: a factor on the coverage."""
    if not style.bald:
        return 1.0
    return 1.0 - style.bald * step(-Y + 4 * rough, 0.50, 0.95) * step(1.25 - np.abs(X), 0.0, 0.42)


def _strands(rng: np.random.Generator, style: Style) -> Plane:
    """Brightness of strands: zero mean, about unit variance. Three widths, drawn from one texture."""
    if style.flow == "coil":
        return 0.55 * noise(rng, 0.035) + 0.55 * noise(rng, 0.08) + 0.3 * noise(rng, 0.02)
    across, along = _field(style)
    across = across + 0.02 * noise(rng, 0.35)
    if style.wave:
        across = across + style.wave * np.sin(along * 7.0 + 1.5 * noise(rng, 0.5))
    texture = cv2.GaussianBlur(rng.standard_normal((64, 1024), dtype=np.float32), (0, 0), sigmaX=0.6, sigmaY=2.5)
    strands = np.zeros((HEIGHT, WIDTH), np.float32)
    for per_pixel, share in ((0.55, 0.50), (0.22, 0.50), (0.08, 0.55)):
        columns = ((across + 4.0) * (per_pixel * SCALE)).astype(np.float32)
        rows = (along * 5.0 + (20.0 + per_pixel * SCALE)).astype(np.float32)
        strands += share * cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return strands * float(1 / texture.std())


def _field(style: Style) -> tuple[Plane, Plane]:
    """Coordinates across and along the strands, units."""
    if style.flow == "fall":
        return X * (1 + 0.18 * np.clip(Y + 0.9, -1, 0)) + 0.06 * np.sin(3 * Y), np.broadcast_to(Y, (HEIGHT, WIDTH))
    if style.flow == "back":
        return 1.35 * np.arctan2(X, 0.45 - Y), np.sqrt(X * X + (Y - 0.45) ** 2)
    x = X - style.part * step(-Y, -0.2, 0.9)
    return np.sqrt(x**2 + (0.72 * RISE) ** 2), DROP - np.arctan2(RISE, np.abs(x))


def _shine(strands: Plane, reach: Plane) -> Plane:
    """A band of light around the head, broken up by the strands."""
    return 0.55 * step(np.abs(reach - 0.80), 0.22, 0.02) * np.clip(0.5 + 0.35 * strands, 0, 1.5)


def _colour(rng: np.random.Generator, person: Person, strands: Plane, reach: Plane) -> Plane:
    """Natural colour, greying strand by strand and from the temples; darker within and below than outside."""
    single = 0.30 * person.grey * (1 - person.grey) * noise(rng, 0.014, 0.10)
    temples = 0.12 * ramp(person.grey, 0.02, 0.25) * step(np.abs(X), 0.6, 0.95)
    share = np.clip(person.grey + temples + single, 0, 1)
    colour = rgb(person.hair) + np.zeros((HEIGHT, WIDTH), np.float32)
    mix(colour, share, (GREY, GREY, GREY))
    lit = 0.78 + 0.22 * step(reach, 0.55, 0.85) - 0.18 * step(Y, 0.4, 2.2)
    return colour * (lit * np.clip(1 + (0.26 - 0.14 * share) * strands, 0.35, 1.6))
