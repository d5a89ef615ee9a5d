"""Hair: a silhouette less the opening for the face, filled with strands that keep one width everywhere.

Strands are lines of equal `u` in a field whose gradient is about 1, so noise in u makes strands of even width, where
radial coordinates would make ribbons.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from shared.portraits.canvas import SCALE, Layer, Plane, X, Y, blur, inside, jitter, noise, ramp, step
from shared.portraits.head import Head
from shared.portraits.person import Person


@dataclass(frozen=True)
class Style:
    """Lengths in units. Chances are weights: at 20 years, at 70 years."""

    chance: tuple[float, float]
    volume: float
    """How far the hair stands above the crown."""
    side: float
    """How far it stands out at the temples."""
    length: float
    """Where it ends, y."""
    opening: float
    """Half-width of the free face at the height of the eyes, as a share of the temples'."""
    fringe: float = 0.0
    """How far it hangs over the forehead from the hairline."""
    slant: float = 0.0
    """Slope of the fringe's edge."""
    part: float = 0.0
    """Where it is parted, x."""
    flow: str = "arch"
    """How strands run: arch (from a parting), fall (straight), back (away from the face), coil (in no direction)."""
    wave: float = 0.0
    """Amplitude of the waves along a strand."""
    recede: float = 0.0
    """How far the hairline has gone back at the temples."""
    bald: float = 0.0
    """How bare the top is."""
    flare: float = 0.0
    """How much wider it gets for every unit downwards."""

    @property
    def is_long(self) -> bool:
        """Past the chin: it covers the ears and falls behind the neck."""
        return self.length > 0.9


WOMEN = {
    "long, parted": Style((4.0, 0.6), 0.13, 0.10, 2.4, 0.86, part=0.02),
    "long, side parting": Style((3.0, 0.5), 0.16, 0.13, 2.2, 0.88, 0.05, 0.22, -0.30, flare=0.03),
    "long, waves": Style((3.0, 0.6), 0.18, 0.17, 2.3, 0.87, part=0.15, wave=0.050, flare=0.06),
    "long, fringe": Style((2.5, 0.2), 0.14, 0.11, 2.1, 0.85, 0.37, flow="fall"),
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


@dataclass(frozen=True)
class Hair:
    """The hair behind the shoulders and neck (None where it is short) and the hair before the face."""

    back: Layer | None
    front: Layer


def sample_style(rng: np.random.Generator, person: Person) -> Style:
    """A style for this gender and age; men's hairlines go back with the years."""
    styles = list((WOMEN if person.female else MEN).values())
    late = ramp(person.looks, 20.0, 70.0)
    weights = np.array([young + late * (old - young) for young, old in (style.chance for style in styles)])
    style = styles[rng.choice(len(styles), p=weights / weights.sum())]
    if person.people == "dark" and rng.random() < 0.6:
        style = replace(style, flow="coil", part=0.0, fringe=0.0, slant=0.0, wave=0.03)
    lost = ramp(person.looks, 26.0, 72.0) * (0.06 if person.female else 0.34)
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


def build_hair(rng: np.random.Generator, person: Person, head: Head, style: Style) -> Hair:
    """Both layers of the hair."""
    strands = _strands(rng, style)
    rough = _roughness(rng, style)
    silhouette, reach = _silhouette(head, style, rough)
    colour = _colour(rng, person, strands, reach)
    height = 0.85 * np.sqrt(np.clip(1.06 - reach**2, 0.02, None)) + 0.012 * strands
    gloss = 0.55 * step(np.abs(reach - 0.80), 0.22, 0.02) * np.clip(0.5 + 0.35 * strands, 0, 1.5)
    gloss *= 0.25 if style.flow == "coil" else 1.0
    front = silhouette * _around_face(head, style, rough) * _thinning(style, rough)
    depth = blur(0.75 * np.clip(1 - reach**2, 0, 1), 0.1)
    layer = Layer.of(front, colour, height, depth=depth, gloss=gloss)
    back = None
    if style.is_long:
        back = Layer.of(silhouette, colour * 0.45, height, depth=-0.1)
    return Hair(back, layer)


def _roughness(rng: np.random.Generator, style: Style) -> Plane:
    """How far, in units, the edges of the hair go in and out."""
    if style.flow == "coil":
        return 0.022 * noise(rng, 0.07) + 0.010 * noise(rng, 0.03)
    return 0.005 * noise(rng, 0.025, 0.10) + 0.010 * noise(rng, 0.07, 0.4) + 0.35 * style.wave * noise(rng, 0.3, 0.2)


def _silhouette(head: Head, style: Style, rough: Plane) -> tuple[Plane, Plane]:
    """Coverage of all hair, and the distance from its axis as a share of the silhouette's."""
    m = head.measures
    width, rise = m.temple + style.side, style.volume - m.crown
    above = np.clip(-Y, 0, None) * (width / rise)
    if not style.is_long:
        hugging = head.half_width + 0.4 * style.side
        fall = np.clip(Y / style.length, 0, 1)
        limit = np.where(Y > 0, width + (hugging - width) * fall, width)
    else:
        limit = width + style.flare * np.clip(Y, 0, None)
    reach = (np.abs(X) ** 2.25 + above**2.25) ** (1 / 2.25) / np.maximum(limit, 0.05)
    ending = step(style.length + 3.0 * rough - Y, -0.04, 0.10 if style.is_long else 0.18)
    return inside((1 - reach) * limit + rough, 2.5) * ending, reach.astype(np.float32)


def _around_face(head: Head, style: Style, rough: Plane) -> Plane:
    """1 where hair lies before the head, 0 in the opening for the face."""
    m = head.measures
    half = style.opening * m.temple
    bump = np.exp(-0.5 * ((np.abs(X) - 0.42) / 0.20) ** 2)
    rise = -m.hairline - style.fringe + style.slant * X + style.recede * (0.25 + bump)
    if style.flow == "arch" and style.slant == 0:
        rise = rise + 0.10 * np.exp(-0.5 * ((X - style.part) / 0.22) ** 2)
    above = np.clip(-Y, 0, None) * (half / np.maximum(rise, 0.2))
    power = 2.6 if style.fringe < 0.25 else 4.5
    reach = (np.abs(X) ** power + above**power) ** (1 / power)
    drop = np.clip(Y, 0, None)
    half_below = half + (0.05 * drop if style.is_long else 0.15 * drop)
    return inside(reach - half_below + rough, 4.0)


def _thinning(style: Style, rough: Plane) -> Plane | float:
    if not style.bald:
        return 1.0
    return 1.0 - style.bald * step(-Y + 4 * rough, 0.50, 0.95) * step(1.25 - np.abs(X), 0.0, 0.42)


def _strands(rng: np.random.Generator, style: Style) -> Plane:
    """Brightness of strands: zero mean, about unit variance."""
    if style.flow == "coil":
        return 0.55 * noise(rng, 0.035) + 0.55 * noise(rng, 0.08) + 0.3 * noise(rng, 0.02)
    u, v = _field(style)
    if style.wave:
        u = u + style.wave * np.sin(v * 7.0 + 1.5 * noise(rng, 0.5))
    u = u + 0.02 * noise(rng, 0.35)
    texture: Plane = rng.standard_normal((64, 1024), dtype=np.float32)
    texture = cv2.GaussianBlur(texture, (0, 0), sigmaX=0.6, sigmaY=2.5, borderType=cv2.BORDER_REFLECT)
    texture = texture / texture.std()
    strands = np.zeros((len(Y), X.shape[1]), np.float32)
    for per_unit, share in ((0.55 * SCALE, 0.50), (0.22 * SCALE, 0.50), (0.08 * SCALE, 0.55)):
        columns = ((u + 4.0) * per_unit).astype(np.float32)
        rows = (v * 5.0 + 20.0 + per_unit).astype(np.float32)
        strands += share * cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return strands


def _field(style: Style) -> tuple[Plane, Plane]:
    """Across (u) and along (v) the strands, units."""
    zero = np.zeros((len(Y), X.shape[1]), np.float32)
    if style.flow == "fall":
        return X * (1 + 0.18 * np.clip(Y + 0.9, -1, 0)) + 0.06 * np.sin(3 * Y), Y + zero
    if style.flow == "back":
        angle = np.arctan2(X, -(Y - 0.45))
        return 1.35 * angle, np.sqrt(X * X + (Y - 0.45) ** 2)
    shifted = X - style.part * step(-Y, -0.2, 0.9)
    arc = np.sqrt(shifted**2 + (0.72 * np.minimum(Y, 0)) ** 2)
    return arc, np.where(Y > 0, Y, -np.abs(np.arctan2(np.minimum(Y, 0), np.abs(shifted))))


def _colour(rng: np.random.Generator, person: Person, strands: Plane, reach: Plane) -> Plane:
    """Natural colour, greying strand by strand and from the temples; darker within than outside."""
    temples = 0.12 * step(np.abs(X), 0.6, 0.95)
    share = (
        person.grey
        + temples * ramp(person.grey, 0.02, 0.25)
        + 0.30 * noise(rng, 0.014, 0.10) * person.grey * (1 - person.grey)
    )
    share = np.clip(share, 0, 1)
    grey = np.array([0.74, 0.735, 0.73], np.float32)[:, None, None]
    natural = np.array(person.hair, np.float32)[:, None, None]
    colour = natural + share * (grey - natural)
    contrast = 0.26 - 0.14 * share
    depth = 0.78 + 0.22 * step(reach, 0.55, 0.85) - 0.18 * step(Y, 0.4, 2.2)
    return (colour * np.clip(1 + contrast * strands, 0.35, 1.6) * depth).astype(np.float32)
