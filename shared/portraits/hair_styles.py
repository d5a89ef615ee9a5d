"""Hairstyles: a dozen and a half, whose chances depend on gender and age."""

from dataclasses import dataclass, replace

import numpy as np

from shared.portraits.canvas import jitter, ramp
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
