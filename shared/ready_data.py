"""Public photographs for the ready-made model: crops and labels, the draws of an epoch, and their augmentation.

The folder holds `people.csv` (file, person, gender, age_low, age_high, mask, source, licence, credit) and
`photographs/`. An age lies between age_low and age_high; gender, age or mask may be empty.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from shared.crops import CROP_SIZE, PRIOR, UNREADABLE, Window
from shared.faces.cache import make_crops
from shared.labels import GENDERS, MASKS
from shared.mask_overlay.overlay import MaskOverlay

WORN, INCORRECT, NONE = range(len(MASKS))
UNKNOWN = -1
FOLDS = 3
CHOOSING = ("fairface", "masks")
"""Sources whose persons are held out in turn to choose options: the only sources photographed in the wild."""

Pixels = NDArray[Any]
"""uint8 RGB (height, width, 3), or (N, height, width, 3)."""


class People(NamedTuple):
    """Crops and labels of N photographs."""

    table: pd.DataFrame
    """Columns source, person, gender and mask (indices or -1), age_low and age_high (years, NaN if unknown), fold."""
    crops: Pixels
    """(N, 256, 256, 3), RGB."""
    overlay: MaskOverlay
    """Draws masks and objects on a crop."""


def load_people(data: Path, crops: Path) -> People:
    """The photographs of a folder; a photograph without a detected face is left out."""
    people = pd.read_csv(data / "people.csv")
    table_of_images = pd.DataFrame(
        {"image": people["file"], "path": [str(data / "photographs" / f) for f in people["file"]]}
    )
    cropped = make_crops(table_of_images, crops, progress=False)
    index = cropped.index.loc[people["file"]]
    found = ~index["found"].isin((PRIOR, UNREADABLE)).to_numpy()
    people, index = people[found].reset_index(drop=True), index[found]
    table = pd.DataFrame(
        {
            "source": people["source"],
            "person": people["person"],
            "gender": _places(people["gender"], GENDERS),
            # Sources that do not name a mask state have bare faces.
            "mask": _places(people["mask"].fillna("none"), MASKS),
            "age_low": people["age_low"].astype(float),
            "age_high": people["age_high"].astype(float),
        }
    )
    table["fold"] = _folds(table)
    return People(table, np.stack([cropped.read(file) for file in people["file"]]), MaskOverlay(table, index))


def _places(values: pd.Series, names: tuple[str, ...]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(value, UNKNOWN) for value in values], np.int64)


def _folds(table: pd.DataFrame) -> NDArray[np.int64]:
    """Thirds of the persons of the sources for choosing; -1 in the others, which are always trained on."""
    folds = np.full(len(table), UNKNOWN)
    for source in CHOOSING:
        rows = np.flatnonzero(table["source"] == source)
        persons, codes = np.unique(table["person"].to_numpy()[rows], return_inverse=True)
        folds[rows] = np.random.default_rng(18).permutation(len(persons))[codes] % FOLDS
    return folds


# The draws of an epoch

WORN_SHARE = 0.6
"""Of the drawn masks; the others are worn wrongly."""


class Example(NamedTuple):
    row: int
    state: int
    """The mask state to be drawn, or -1."""
    seed: int


class Mixture(NamedTuple):
    """How an epoch is put together; see the options of the same names."""

    draws: int
    masks: float
    doubled: str


def epoch_of(people: People, rows: NDArray[np.int64], mixture: Mixture, seed: tuple[int, int]) -> list[Example]:
    """The draws of an epoch: sources weighed by the square root of their size, one of them twice."""
    rng = np.random.default_rng(seed)
    sources = people.table["source"].to_numpy()[rows]
    counts = pd.Series(sources).value_counts()
    weights = np.array([1 / math.sqrt(counts[source]) for source in sources])
    weights[sources == mixture.doubled] *= 2
    chosen = rows[_systematic(weights, mixture.draws, rng)]
    drawn = people.overlay.drawable[chosen] & (rng.random(len(chosen)) < mixture.masks)
    states = np.where(rng.random(len(chosen)) < WORN_SHARE, WORN, INCORRECT)
    states = np.where(drawn, states, UNKNOWN)
    seeds = rng.integers(2**31, size=len(chosen))
    order = rng.permutation(len(chosen))
    return [Example(int(chosen[at]), int(states[at]), int(seeds[at])) for at in order]


def _systematic(weights: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places drawn in proportion to the weights, each as often as expected to within one."""
    shuffled = rng.permutation(len(weights))
    edges = np.cumsum(weights[shuffled]) / weights.sum() * count
    return shuffled[np.searchsorted(edges, np.arange(count) + rng.random(), side="right").clip(max=len(weights) - 1)]


class Examples(Dataset[tuple[Tensor, int, int]]):
    """Augmented images of an epoch: uint8 (size, size, 3), the row and the mask state they show."""

    def __init__(self, people: People, window: Window, size: int):
        self.people, self.window, self.size = people, window, size
        self._states = people.table["mask"].to_numpy()
        self.examples: list[Example] = []

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> tuple[Tensor, int, int]:
        example = self.examples[place]
        crop = self.people.overlay(self.people.crops[example.row], example.row, example.state, example.seed)
        rng = np.random.default_rng((example.seed, 19))
        image = degrade(warp(crop, self.window, self.size, rng), rng)
        own = self._states[example.row]
        return torch.from_numpy(image), example.row, int(own) if example.state == UNKNOWN else example.state


def warp(crop: Pixels, window: Window, size: int, rng: np.random.Generator) -> Pixels:
    """The window of a crop, moved, turned, scaled and perhaps mirrored."""
    side = CROP_SIZE * rng.uniform(0.72, 1.02)
    centre = CROP_SIZE * (np.array([window.centre_x, window.centre_y]) + rng.normal(0, 0.025, 2))
    angle = rng.normal(0, 0.14)
    # Twice the pixels, then their mean: a warp by itself would alias.
    scale = 2 * size / side
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[mirror * math.cos(angle), mirror * math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) * scale
    matrix = np.hstack([turn, (size - turn @ centre)[:, None]])
    doubled = cv2.warpAffine(crop, matrix, (2 * size, 2 * size), borderValue=(127, 127, 127))
    return cv2.resize(doubled, (size, size), interpolation=cv2.INTER_AREA)


def degrade(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Poorer in every way that photographs of faces are: small, blurred, dark, tinted, grey, noisy, compressed."""
    size = len(image)
    chance = rng.random(8)
    if chance[0] < 0.5:
        small = round(math.exp(rng.uniform(math.log(28), math.log(112))))
        shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        back = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(rng.integers(2))]
        image = cv2.resize(shrunk, (size, size), interpolation=back)
    if chance[1] < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0))
    if chance[2] < 0.7:
        # Gamma, then contrast around the middle and brightness, in one table.
        levels = 255 * np.linspace(0, 1, 256) ** math.exp(rng.normal(0, 0.3))
        levels = (levels - 127) * rng.uniform(0.65, 1.3) + 127 + rng.uniform(-25, 25)
        image = cv2.LUT(image, levels.clip(0, 255).astype(np.uint8))
    if chance[3] < 0.4:
        image = np.clip(image * rng.uniform(0.82, 1.2, 3).astype(np.float32), 0, 255).astype(np.uint8)
    if chance[4] < 0.12:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    if chance[5] < 0.15:
        noise = rng.normal(0, rng.uniform(3, 14), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if chance[6] < 0.5:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 91))])
        kept = cv2.imdecode(data, cv2.IMREAD_COLOR)
        image = image if kept is None else kept
    return np.ascontiguousarray(image)
