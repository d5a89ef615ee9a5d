"""Persons to draw: gender, age and colours; and their heads: measures, outline and height field of the face."""

from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from shared import labels
from shared.portraits.rendering import SCALE, Colour, Plane, X, Y, blob, both_sides, bump, hills, inside, jitter, ramp

YOUNGEST, OLDEST = 18, 75
"""Years."""
GREY = 0.74
"""Albedo of grey hair."""


@dataclass(frozen=True)
class Person:
    """The properties of a person that the parts of a portrait depend on."""

    female: bool
    age: int
    """Years."""
    apparent_age: float
    """Years that the face shows: the age with a small error."""
    people: str
    """A key of `PEOPLES`: the skin tones and hair colours that occur together."""
    skin: Colour
    hair: Colour
    """Before greying."""
    grey: float
    """Share of grey hair, 0-1."""
    iris: Colour

    @property
    def wear(self) -> float:
        """Strength of the marks of age: 0 up to 20 years, 1 from 74 years."""
        return ramp(self.apparent_age, 20.0, 74.0)

    def greyed(self, share: float) -> Colour:
        """Return the hair colour with this share of grey."""
        red, green, blue = (tone + share * (GREY - tone) for tone in self.hair)
        return red, green, blue


class _People(NamedTuple):
    share: float
    skins: tuple[Colour, ...]
    hairs: tuple[Colour, ...]
    irises: tuple[Colour, ...]


_BLACK, _DARK, _BROWN = (0.10, 0.085, 0.08), (0.17, 0.12, 0.095), (0.30, 0.20, 0.13)
_CHESTNUT, _BLOND, _RED = (0.42, 0.27, 0.16), (0.70, 0.55, 0.34), (0.52, 0.25, 0.12)
_DARK_EYE, _BROWN_EYE, _HAZEL = (0.20, 0.12, 0.08), (0.34, 0.20, 0.11), (0.42, 0.33, 0.18)
_BLUE, _GREY_EYE, _GREEN = (0.36, 0.50, 0.63), (0.46, 0.51, 0.54), (0.38, 0.47, 0.34)

PEOPLES = {
    "eastern": _People(
        0.40,
        ((0.90, 0.73, 0.61), (0.86, 0.68, 0.55), (0.93, 0.78, 0.67), (0.81, 0.63, 0.50)),
        (_BLACK, _BLACK, _DARK, _DARK, _BROWN),
        (_DARK_EYE, _DARK_EYE, _BROWN_EYE),
    ),
    "northern": _People(
        0.28,
        ((0.92, 0.74, 0.65), (0.92, 0.77, 0.69), (0.89, 0.69, 0.58), (0.91, 0.74, 0.66)),
        (_DARK, _BROWN, _CHESTNUT, _BLOND, _RED, _BROWN),
        (_BLUE, _GREY_EYE, _GREEN, _HAZEL, _BROWN_EYE),
    ),
    "southern": _People(
        0.20,
        ((0.76, 0.56, 0.43), (0.70, 0.50, 0.37), (0.80, 0.61, 0.48), (0.65, 0.46, 0.34)),
        (_BLACK, _BLACK, _DARK),
        (_DARK_EYE, _BROWN_EYE),
    ),
    "dark": _People(
        0.12,
        ((0.52, 0.36, 0.27), (0.47, 0.32, 0.24), (0.57, 0.40, 0.30), (0.43, 0.29, 0.22)),
        (_BLACK, (0.13, 0.10, 0.09)),
        (_DARK_EYE, (0.24, 0.14, 0.09)),
    ),
}


def sample_person(rng: np.random.Generator, female: bool, age: int) -> Person:
    """Draw the other properties of a person of this gender and age."""
    names = list(PEOPLES)
    name = names[rng.choice(len(names), p=[PEOPLES[key].share for key in names])]
    people = PEOPLES[name]
    apparent_age = jitter(rng, float(age), 1.2)
    skin, hair = _varied(rng, people.skins, 0.015), _varied(rng, people.hairs, 0.012)
    onset = jitter(rng, 33.0 if female else 30.0, 1.5)
    grey = ramp(apparent_age, onset, onset + 40.0)
    # One woman in five colours her grey hair.
    if rng.random() < 0.20 and female:
        grey *= 0.5
    return Person(female, age, apparent_age, name, skin, hair, grey, iris=_varied(rng, people.irises, 0.02))


def _varied(rng: np.random.Generator, colours: tuple[Colour, ...], sigma: float) -> Colour:
    red, green, blue = colours[rng.integers(len(colours))]
    lighter = jitter(rng, 0.0, sigma)
    return red + lighter, green + lighter, blue + jitter(rng, lighter, sigma / 2)


BAND_SHARES = (0.47, 0.43, 0.10)
"""Shares of the age bands among the competition's persons."""
FEMALE_SHARE = 0.61
CELLS = [(female, band) for female in (False, True) for band in range(len(labels.BANDS))]
"""Every pair of gender and age band."""
FOLDS = 5
"""A cell with this many persons is present in every one of the usual five folds."""


def sample_ages(rng: np.random.Generator, count: int) -> list[tuple[bool, int]]:
    """Draw (female, age in years) of `count` persons, shuffled.

    Shares are the competition's, but no cell is too rare to learn or to score: from six persons on, none is empty.
    """
    edges = (YOUNGEST, *labels.BAND_EDGES, OLDEST + 1)
    persons = []
    for (female, band), size in zip(CELLS, _cell_sizes(count), strict=True):
        first, end = edges[band : band + 2]
        # Stratified: one age in each of `size` equal parts of the band.
        places = (np.arange(size) + rng.random(size)) / max(size, 1)
        persons += [(female, int(first + place * (end - first))) for place in places]
    return [persons[index] for index in rng.permutation(len(persons))]


def _cell_sizes(count: int) -> list[int]:
    """Persons in each of `CELLS`: one in eight persons, but no more than `FOLDS`; the rest by the shares."""
    shares = [BAND_SHARES[band] * (FEMALE_SHARE if female else 1 - FEMALE_SHARE) for female, band in CELLS]
    sizes = [max(min(count // 8, FOLDS), int(count >= len(CELLS)))] * len(CELLS)
    for _ in range(count - sum(sizes)):
        # Each further person goes to the cell that is furthest below its share.
        lacking = [share * count - size for share, size in zip(shares, sizes, strict=True)]
        sizes[lacking.index(max(lacking))] += 1
    return sizes


def _measure(female: float, male: float, sigma: float, ageing: float = 0.0) -> Any:
    """Return a field of `Measures`: its means, their spread, and the change from 20 to 74 years."""
    return field(metadata={"female": female, "male": male, "sigma": sigma, "ageing": ageing})


@dataclass(frozen=True)
class Measures:
    """Positions and lengths in units. Widths of the outline, eyes, nose, mouth, neck and shoulders are half-widths."""

    crown: float = _measure(-1.50, -1.52, 0.03)
    temple: float = _measure(0.93, 0.95, 0.02)
    cheek: float = _measure(0.91, 0.93, 0.02, 0.02)
    jaw: float = _measure(0.76, 0.87, 0.025, 0.05)
    lower: float = _measure(0.57, 0.70, 0.03, 0.06)
    chin: float = _measure(1.50, 1.60, 0.03)
    chin_width: float = _measure(0.30, 0.40, 0.03, 0.02)
    eye_x: float = _measure(0.44, 0.44, 0.012)
    eye_width: float = _measure(0.205, 0.195, 0.008, -0.008)
    lid: float = _measure(0.108, 0.083, 0.006, -0.030)
    eye_tilt: float = _measure(0.022, 0.010, 0.010, -0.020)
    brow_y: float = _measure(-0.325, -0.258, 0.012, 0.020)
    brow_width: float = _measure(0.052, 0.108, 0.007)
    brow_arch: float = _measure(0.070, 0.025, 0.012)
    brow_ridge: float = _measure(0.025, 0.085, 0.012)
    nose_y: float = _measure(0.62, 0.65, 0.025, 0.02)
    wing: float = _measure(0.170, 0.205, 0.012, 0.015)
    nose_rise: float = _measure(0.17, 0.20, 0.02)
    mouth_y: float = _measure(0.985, 1.02, 0.02, 0.01)
    mouth_width: float = _measure(0.385, 0.415, 0.02, 0.01)
    upper_lip: float = _measure(0.082, 0.062, 0.010, -0.022)
    lower_lip: float = _measure(0.115, 0.095, 0.012, -0.025)
    smile: float = _measure(0.060, 0.045, 0.020, -0.020)
    """How much higher the corners of the mouth are than its middle."""
    hairline: float = _measure(-0.93, -0.95, 0.03)
    neck: float = _measure(0.50, 0.65, 0.025, 0.02)
    shoulder: float = _measure(1.75, 2.15, 0.07)


def sample_measures(rng: np.random.Generator, person: Person) -> Measures:
    """Draw the measures of a person's head."""
    values = {}
    for measure in fields(Measures):
        of = measure.metadata
        mean = of["female" if person.female else "male"] + of["ageing"] * person.wear
        values[measure.name] = jitter(rng, mean, of["sigma"])
    return Measures(**values)


def neck_width(m: Measures) -> Plane:
    """Half-width of the neck in each row, (HEIGHT, 1): it widens into the shoulders."""
    return m.neck + 0.9 * np.clip(Y - m.chin - 0.12, 0, None) ** 2


@dataclass(frozen=True)
class Head:
    """Planes that follow from the measures."""

    measures: Measures
    rho: Plane
    """Distance from the middle of the face, as a share of the outline's distance: 1 on the outline."""
    edge: Plane
    """Distance to the outline in units, positive inside."""
    half_width: Plane
    """Half-width of the outline in each row of the canvas, (HEIGHT, 1)."""
    height: Plane
    """Height of the face and its features above the plane of the ears; continues smoothly beyond the outline."""

    def width_at(self, y: float) -> float:
        """Half-width of the outline at a height, units."""
        return float(np.interp(y, Y[:, 0], self.half_width[:, 0]))


def build_head(m: Measures) -> Head:
    """Build the outline and the height field of a head."""
    rho, edge = _outline(m)
    half_width = inside(edge).sum(axis=1, keepdims=True) / np.float32(2 * SCALE)
    # A dome `rise * (1 - rho^power)^root`, continued along its tangent beyond `last`: the jaw has no edge of its own.
    rise, power, root, last = 0.95, 2.6, 0.62, 0.955
    within = np.minimum(rho, last)
    slope = -rise * root * power * last ** (power - 1) * (1 - last**power) ** (root - 1)
    dome = rise * (1 - within**power) ** root + slope * (rho - within)
    return Head(m, rho, edge, half_width, dome + (_eyes_and_cheeks(m) + _nose(m) + _mouth_and_chin(m)))


def _outline(m: Measures) -> tuple[Plane, Plane]:
    """Return `Head.rho` and `Head.edge` of a closed, star-shaped curve through the measures."""
    middle = 0.05
    corners = [(0.0, m.crown), (0.48, m.crown + 0.10), (0.80, -1.02), (m.temple, -0.42), (m.cheek, 0.38)]
    corners += [(m.jaw, 0.80), (m.lower, m.chin - 0.36), (m.chin_width, m.chin - 0.08), (0.0, m.chin)]
    angles = [float(np.arctan2(x, y - middle)) for x, y in reversed(corners)]
    radii = [float(np.hypot(x, y - middle)) for x, y in reversed(corners)]
    turn = np.linspace(-np.pi, np.pi, 721)
    radius = np.interp(np.abs(turn), angles, radii)
    # Round the corners: a circular Gaussian blur of 7 degrees (14 samples), applied to the spectrum.
    attenuation = np.exp(-2 * (np.pi * np.fft.rfftfreq(720) * 7.0 * 2) ** 2)
    smooth = np.fft.irfft(np.fft.rfft(radius[:720]) * attenuation, 720)
    dy = Y - middle
    limit = np.interp(np.arctan2(X, dy), turn, np.append(smooth, smooth[0])).astype(np.float32)
    distance = np.sqrt(X * X + dy * dy)
    return distance / limit, limit - distance


def _eyes_and_cheeks(m: Measures) -> Plane:
    """Height of the root of the nose; on both sides eye socket, brow ridge, cheekbone and eyeball."""
    return hills(
        (0.03, 0.0, m.brow_y + 0.02, 0.12, 0.09),
        *both_sides(
            (-0.12, m.eye_x * 0.96, 0.0, 0.20, 0.125),
            (m.brow_ridge, 0.42, m.brow_y + 0.05, 0.24, 0.075),
            (0.055, 0.60, 0.34, 0.20, 0.15),
            (0.035, m.eye_x, 0.0, 0.13, 0.085),
        ),
    )


def _nose(m: Measures) -> Plane:
    """Height of the ridge, the tip and the wings."""
    tip = m.nose_y - 0.05
    ridge = np.interp(Y, [-0.22, 0.0, 0.25, tip, tip + 0.06, tip + 0.20], [0, 0.05, 0.11, m.nose_rise, 0.14, 0])
    width = np.interp(Y, [-0.2, 0.05, tip], [0.11, 0.075, 0.115])
    height = (ridge * bump(X, width)).astype(np.float32)
    height += 0.09 * blob(0.0, tip, 0.095, 0.075)
    for term in both_sides((0.11, m.wing - 0.045, m.nose_y - 0.025, 0.062, 0.062)):
        height += hills(term)
    return height


def _mouth_and_chin(m: Measures) -> Plane:
    """Height of the jaw below the lips, the groove above them, both lips, the groove below them, and the chin."""
    return hills(
        (0.085, 0.0, m.mouth_y - 0.02, 0.33, 0.23),
        (-0.025, 0.0, m.mouth_y - 0.19, 0.035, 0.06),
        (0.030, 0.0, m.mouth_y - 0.045, m.mouth_width * 0.5, 0.035),
        (0.045, 0.0, m.mouth_y + 0.055, m.mouth_width * 0.45, 0.045),
        (-0.040, 0.0, m.mouth_y + 0.20, 0.20, 0.05),
        (0.070, 0.0, m.chin - 0.19, 0.19, 0.12),
    )
