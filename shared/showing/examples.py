"""Photographs to begin with: drawn faces, alone and together, so that nobody real is shown."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.files import replacing
from shared.labels import INCORRECT, NORMAL, WORN
from shared.portraits import draw_person
from shared.sample_data import encode

SITTERS = ((67, True, 3, NORMAL), (24, False, 5, WORN[0]), (41, True, 8, INCORRECT), (52, False, 2, NORMAL))
"""Years, whether female, seed, and which of a person's images."""


def draw_examples(folder: Path) -> list[Path]:
    """A group and three portraits, as files; those that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("group", *(f"portrait{number}" for number in (1, 2, 3)))
    paths = [folder / f"{name}.jpg" for name in names]
    if not all(path.is_file() for path in paths):
        portraits = [_portrait(*sitter) for sitter in SITTERS]
        for path, pixels in zip(paths, [group(portraits), *portraits], strict=False):
            with replacing(path) as temporary:
                temporary.write_bytes(encode(pixels))
    return paths


def group(portraits: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """An even number of portraits of the same size in two rows, (2 * H, W, 3)."""
    half = len(portraits) // 2
    rows = [np.concatenate(row, axis=1) for row in (portraits[:half], portraits[half:])]
    return np.concatenate(rows)


def _portrait(age: int, female: bool, seed: int, kind: str) -> NDArray[np.uint8]:
    drawn = draw_person(age, female, np.random.SeedSequence(seed))
    return next(portrait.pixels for portrait in drawn if portrait.kind == kind)
