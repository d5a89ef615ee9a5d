"""Who sits for a sample: genders and ages in the competition's shares, but no class too rare to learn or to score."""

import numpy as np

from shared import labels
from shared.portraits.person import OLDEST, YOUNGEST

BAND_SHARES = (0.47, 0.43, 0.10)
"""Of the competition's persons, by age band."""
FEMALE_SHARE = 0.61
CELLS = [(female, band) for female in (False, True) for band in range(len(labels.BANDS))]
"""Gender and age band."""
FOLDS = 5
"""So many persons a cell hold it present in every one of the usual five folds."""


def cast(rng: np.random.Generator, count: int) -> list[tuple[bool, int]]:
    """Whether female, and years, of `count` persons, shuffled: no cell empty from six persons on, ages well spread."""
    edges = (YOUNGEST, *labels.BAND_EDGES, OLDEST + 1)
    persons = []
    for (female, band), size in zip(CELLS, _cell_sizes(count), strict=True):
        first, end = edges[band : band + 2]
        places = (np.arange(size) + rng.random(size)) / max(size, 1)
        persons += [(female, int(first + place * (end - first))) for place in places]
    return [persons[index] for index in rng.permutation(len(persons))]


def _cell_sizes(count: int) -> list[int]:
    """Persons in each of `CELLS`: the fewest, and the rest to whichever is furthest below its share."""
    shares = [BAND_SHARES[band] * (FEMALE_SHARE if female else 1 - FEMALE_SHARE) for female, band in CELLS]
    sizes = [_fewest(count)] * len(CELLS)
    for _ in range(count - sum(sizes)):
        lacking = [share * count - size for share, size in zip(shares, sizes, strict=True)]
        sizes[lacking.index(max(lacking))] += 1
    return sizes


def _fewest(count: int) -> int:
    """The least that a cell gets: one in eight persons up to `FOLDS`, and one wherever there are enough for all."""
    return max(min(count // 8, FOLDS), int(count >= len(CELLS)))
