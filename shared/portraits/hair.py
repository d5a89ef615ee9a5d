"""Hair: a silhouette with an opening for the face, filled with strands.

Strands are lines of equal `u` in a field with a gradient of about 1. Noise in `u` therefore gives strands of even
width; radial coordinates would give wedges.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from shared.portraits.person import GREY, Head, Measures, Person
from shared.portraits.rendering import (
    HEIGHT,
    SCALE,
    WIDTH,
    Layer,
    Plane,
    X,
    Y,
    blank,
    blur,
    bump,
    inside,
    jitter,
    mix,
    noise,
    ramp,
    rgb,
    step,
)


@dataclass(frozen=True)
class Style:
    """A hairstyle; lengths in units."""

    chance: tuple[float, float]
    """Weights at 20 and at 70 years."""
    volume: float
    """Height above the crown."""
    side: float
    """Distance from the head at the temples."""
    length: float
    """Lower end, y."""
    opening: float
    """Half-width of the free face at eye level, as a share of the temples'."""
    fringe: float = 0.0
    """Length over the forehead, from the hairline."""
    slant: float = 0.0
    """Slope of the fringe's edge."""
    part: float = 0.0
    """Position of the parting, x."""
    flow: str = "arch"
    """Direction of strands: arch (from a parting), fall (straight), back (away from the face), coil (none)."""
    wave: float = 0.0
    """Amplitude of waves along a strand."""
    recede: float = 0.0
    """Rise of the hairline at the temples."""
    bald: float = 0.0
    """Share of hair lost on top, 0-1."""
    flare: float = 0.0
    """Width gained per unit downwards."""

    @property
    def is_long(self) -> bool:
        """Whether it reaches below the chin, covers the ears and falls behind the neck."""
        return self.length > 0.9


WOMEN = {
    "long, parted": Style((4.0, 0.6), 0.12, 0.11, 2.3, 0.84, part=0.02, flare=0.04),
    "long, side parting": Style((3.0, 0.5), 0.16, 0.13, 2.2, 0.88, 0.05, 0.22, -0.30, flare=0.03),
    "long, waves": Style((3.0, 0.6), 0.18, 0.17, 2.3, 0.87, part=0.15, wave=0.050, flare=0.06),
    "long, fringe": Style((2.5, 0.2), 0.14, 0.11, 2.1, 0.84, 0.37, flow="fall", flare=0.03),
    "bob": Style((1.5, 1.5), 0.15, 0.17, 1.25, 0.86, 0.06, 0.15, 0.25, flare=0.04),
    "bob, fringe": Style((1.2, 0.7), 0.15, 0.17, 1.2, 0.86, 0.36, flow="fall"),
    "tied back": Style((2.0, 0.8), 0.08, 0.02, 0.15, 0.92, flow="back"),
    "short": Style((0.4, 2.5), 0.17, 0.10, 0.40, 0.88, 0.14, 0.30, 0.35),
    "perm": Style((0.0, 4.0), 0.24, 0.20, 0.55, 0.88, 0.08, flow="coil", wave=0.03),
    "curls": Style((0.8, 0.6), 0.26, 0.30, 1.5, 0.87, 0.05, flow="coil", wave=0.04, flare=0.08),
}
MEN = {
    "crop": Style((2.5, 1.2), 0.10, 0.03, 0.20, 0.93, 0.04, flow="back", recede=0.06),
    "side parting": Style((2.0, 2.5), 0.15, 0.05, 0.25, 0.92, 0.04, 0.16, -0.38, recede=0.06),
    "brushed back": Style((1.5, 2.0), 0.17, 0.04, 0.22, 0.93, 0.0, flow="back", recede=0.10),
    "fringe": Style((3.0, 0.2), 0.16, 0.08, 0.25, 0.90, 0.33, 0.10, flow="fall"),
    "curtains": Style((1.5, 0.2), 0.17, 0.09, 0.35, 0.88, 0.08, part=0.03),
    "curls": Style((1.2, 0.4), 0.20, 0.10, 0.28, 0.91, 0.10, flow="coil", wave=0.03),
    "buzz": Style((1.0, 0.8), 0.035, 0.012, 0.18, 0.94, flow="coil", recede=0.05),
    "bald on top": Style((0.0, 3.5), 0.06, 0.045, 0.28, 0.94, flow="back", recede=0.30, bald=1.0),
}


def sample_style(rng: np.random.Generator, person: Person) -> Style:
    """Draw a style for this gender and age; men's hairlines recede with the years."""
    styles = list((WOMEN if person.female else MEN).values())
    late = ramp(person.apparent_age, 20.0, 70.0)
    weights = np.array([young + late * (old - young) for young, old in (style.chance for style in styles)])
    style = styles[rng.choice(len(styles), p=weights / weights.sum())]
    if person.people == "dark" and rng.random() < 0.6:
        style = replace(style, flow="coil", part=0.0, fringe=0.0, slant=0.0, wave=0.03)
    lost = ramp(person.apparent_age, 26.0, 72.0) * (0.06 if person.female else 0.34)
    fringe = style.fringe * (1 - (0.3 if person.female else 0.8) * late)
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    return replace(
        style,
        volume=style.volume * jitter(rng, 1.0, 0.12) * (1 - 0.25 * late * (not person.female)),
        length=style.length * jitter(rng, 1.0, 0.05),
        fringe=fringe * jitter(rng, 1.0, 0.08),
        slant=style.slant * mirror,
        part=style.part * mirror,
        recede=style.recede + max(jitter(rng, lost, 0.25 * lost), 0.0),
    )


BELOW_EYES, ABOVE_EYES = np.clip(Y, 0, None), np.clip(-Y, 0, None)


@dataclass(frozen=True)
class Hair:
    """The hair behind neck and shoulders (None if short) and the hair in front of the face."""

    back: Layer | None
    front: Layer


def build_hair(rng: np.random.Generator, person: Person, head: Head, style: Style) -> Hair:
    """Draw both layers of the hair."""
    strands, rough = _strands(rng, style), _roughness(rng, style)
    limit = _limit(head, style)
    crown = (head.measures.temple + style.side) / (style.volume - head.measures.crown)
    reach = _superellipse(ABOVE_EYES * crown, 2.4)
    ending = step(style.length + 3.0 * rough - Y, -0.04, 0.10 if style.is_long else 0.18)
    silhouette = inside(limit - reach + rough, 2.5) * ending
    reach = reach / limit
    colour = _colour(rng, person, strands, reach)
    height = 0.85 * np.sqrt(np.clip(1.06 - reach**2, 0.02, None)) + 0.012 * strands
    # A band of light around the head, broken up by the strands.
    shine = 0.55 * step(np.abs(reach - 0.80), 0.22, 0.02) * np.clip(0.5 + 0.35 * strands, 0, 1.5)
    before = silhouette * _around_face(head.measures, style, rough)
    if style.bald:
        top = step(-Y + 4 * rough, 0.50, 0.95) * step(1.25 - np.abs(X), 0.0, 0.42)
        before = before * (1.0 - style.bald * top)
    depth = blur(0.75 * np.clip(1 - reach**2, 0, 1), 0.1)
    front = Layer.of(before, colour, height, depth=depth, gloss=0.14 if style.flow == "coil" else shine)
    return Hair(Layer.of(silhouette, colour * 0.45, height, depth=-0.1) if style.is_long else None, front)


def _superellipse(above: Plane, exponent: float) -> Plane:
    """Distance from the axis of the head: |x| below the eyes, a superellipse over the crown above them."""
    return (np.abs(X) ** exponent + above**exponent) ** (1 / exponent)


def _limit(head: Head, style: Style) -> Plane:
    """Half-width of the silhouette in each row: long hair falls free, short hair closes in on the head."""
    width = head.measures.temple + style.side
    if style.is_long:
        return width + style.flare * BELOW_EYES
    closing = np.clip(BELOW_EYES / style.length, 0, 1)
    return np.maximum(width + (head.half_width + 0.4 * style.side - width) * closing, 0.05)


def _roughness(rng: np.random.Generator, style: Style) -> Plane:
    """Displacement of the hair's edges, units."""
    if style.flow == "coil":
        return 0.022 * noise(rng, 0.07) + 0.010 * noise(rng, 0.03)
    return 0.005 * noise(rng, 0.025, 0.10) + 0.010 * noise(rng, 0.07, 0.4) + 0.35 * style.wave * noise(rng, 0.3, 0.2)


def _around_face(m: Measures, style: Style, rough: Plane) -> Plane:
    """Coverage of the hair in front of the head: 0 in the opening for the face."""
    half = style.opening * m.temple
    rise = style.slant * X - m.hairline - style.fringe + style.recede * (0.25 + bump(np.abs(X) - 0.42, 0.20))
    if style.flow == "arch" and not style.slant:
        rise = rise + 0.10 * bump(X - style.part, 0.22)
    reach = _superellipse(ABOVE_EYES * (half / np.maximum(rise, 0.2)), 2.6 if style.fringe < 0.25 else 4.5)
    half_below = half + (0.05 if style.is_long else 0.15) * BELOW_EYES
    return inside(reach - half_below + rough, 4.0)


def _strands(rng: np.random.Generator, style: Style) -> Plane:
    """Brightness of strands: zero mean, about unit variance."""
    if style.flow == "coil":
        return 0.55 * noise(rng, 0.035) + 0.55 * noise(rng, 0.08) + 0.3 * noise(rng, 0.02)
    across, along = _field(style)
    across = across + 0.02 * noise(rng, 0.35)
    if style.wave:
        across = across + style.wave * np.sin(along * 7.0 + 1.5 * noise(rng, 0.5))
    texture = cv2.GaussianBlur(rng.standard_normal((64, 1024), dtype=np.float32), (0, 0), sigmaX=0.6, sigmaY=2.5)
    strands = blank()
    # Strands of three widths: the same texture at three scales across.
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
    return np.sqrt(x**2 + (0.72 * ABOVE_EYES) ** 2), BELOW_EYES - np.arctan2(ABOVE_EYES, np.abs(x))


def _colour(rng: np.random.Generator, person: Person, strands: Plane, reach: Plane) -> Plane:
    """Albedo: greys strand by strand and from the temples; darker inside and below."""
    single = 0.30 * person.grey * (1 - person.grey) * noise(rng, 0.014, 0.10)
    temples = 0.12 * ramp(person.grey, 0.02, 0.25) * step(np.abs(X), 0.6, 0.95)
    share = np.clip(person.grey + temples + single, 0, 1)
    colour = rgb(person.hair) + blank()
    mix(colour, share, (GREY, GREY, GREY))
    lit = 0.78 + 0.22 * step(reach, 0.55, 0.85) - 0.18 * step(Y, 0.4, 2.2)
    return colour * (lit * np.clip(1 + (0.26 - 0.14 * share) * strands, 0.35, 1.6))
