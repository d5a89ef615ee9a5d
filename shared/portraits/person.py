"""Persons to draw: gender, age, and the colours that depend on them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shared import labels
from shared.portraits.rendering import Colour, jitter, ramp

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
