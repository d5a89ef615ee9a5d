"""What an epoch shows: which images, how often, and on which of them a mask is drawn.

Every image of the base data is shown once, or, with `--balance`, every class equally often. The images of `--extra`
are shown `--extra-draws` times on average. Each combination of gender and age band gets the share of these draws that
it has in the base data, unless `--extra-balance` is "own"; within a combination, all images are shown equally often.

A share of the masked images, `--drawn-masks`, is replaced by the same person's bare face with a drawn mask of the same
state. Extra images show mask states as frequently as the base data; one that an image lacks is drawn on the person's
bare face. If no image of the base data is masked, base and extra images get masks as frequently as in the competition.
With `--drawn-masks 0` no masks are drawn.

The training loop only sees the resulting datasets and samplers, `FoldData`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.crops import CropSet
from shared.folds import check_folds
from shared.labels import BANDS, MASKS, age_band
from shared.mask_overlay.overlay import MaskOverlay
from shared.messages import UserError
from shared.specialist import Specialist
from shared.training.data import UNCHANGED, CropDataset, Draw, EpochSampler, SequentialSampler
from shared.training.options import SamplingOptions, TrainOptions

NONE = MASKS.index("none")

USUAL = (5 / 7, 1 / 7, 1 / 7)
"""Frequencies of the mask states in the competition, used if the base data has no masked image."""


@dataclass(frozen=True)
class FoldData:
    """What one fold learns from, and what it is scored on."""

    train: CropDataset
    sampler: EpochSampler
    held_out: CropDataset
    held_out_sampler: SequentialSampler
    truth: NDArray[np.int64]
    """True class of each held-out image as it is shown, (N,)."""
    seed: int
    recipe: str
    """Recipe id of the crops."""


def prepare_fold(
    specialist: Specialist, options: TrainOptions, table: pd.DataFrame, crops: CropSet, fold: int
) -> FoldData:
    """Split the manifest, which has a column `fold`, and build the datasets and samplers of a fold.

    Raises `UserError` if a person is in two folds.
    """
    check_folds(table["person"], table["fold"])
    held_out = (table["fold"] == fold).to_numpy()
    seed = (options.optimisation.seed * options.data.folds + fold) % 2**32
    train, sampler = _training_data(specialist, options, table, crops, ~held_out, seed)
    shown, in_order, truth = held_out_data(specialist, options, table, crops, held_out)
    return FoldData(train, sampler, shown, in_order, truth, seed, crops.recipe)


def _training_data(
    specialist: Specialist,
    options: TrainOptions,
    table: pd.DataFrame,
    crops: CropSet,
    rows: NDArray[np.bool_],
    seed: int,
) -> tuple[CropDataset, EpochSampler]:
    seen = table[rows].reset_index(drop=True)
    if "source" not in seen:
        seen = seen.assign(source="")
    known = crops.keep(seen["image"])
    overlay = MaskOverlay(seen, known.index)
    dataset = CropDataset(
        known,
        # Of the whole table: what a label stands for may depend on all labels, for example a top code.
        specialist.targets(table)[rows],
        specialist.window,
        options.model.input_size,
        specialist.augmentation(),
        overlay if options.sampling.drawn_masks else None,
        by_state(specialist.targets, table)[:, rows],
    )
    return dataset, TrainingSampler(specialist, seen, overlay.drawable, seed, options.sampling)


def held_out_data(
    specialist: Specialist, options: TrainOptions, table: pd.DataFrame, crops: CropSet, rows: NDArray[np.bool_]
) -> tuple[CropDataset, SequentialSampler, NDArray[np.int64]]:
    """Return the images that score an epoch, their order, and the true class of each as it is shown, (N,).

    If no image of the data shows a mask, masks are drawn on them, so that mask F1 can be measured.
    """
    unseen = table[rows].reset_index(drop=True)
    known, overlay, sampler = crops.keep(unseen["image"]), None, SequentialSampler(len(unseen))
    truth, classes = specialist.truth(unseen), by_state(specialist.truth, unseen)
    if options.sampling.drawn_masks and (table["mask"] == NONE).all() and (classes != classes[0]).any():
        overlay = MaskOverlay(unseen, known.index)
        sampler = drawn = MaskStateSampler(overlay.drawable)
        truth = classes[drawn.states, np.arange(len(unseen))]
    targets, size = specialist.targets(table)[rows], options.model.input_size
    return CropDataset(known, targets, specialist.window, size, transform=overlay), sampler, truth


def by_state(function: Callable[[pd.DataFrame], NDArray[Any]], table: pd.DataFrame) -> NDArray[Any]:
    """Return what a function gives if all images of the manifest had one mask state, by state: (states, rows, ...)."""
    return np.stack([function(table.assign(mask=state)) for state in range(len(MASKS))])


class MaskStateSampler(SequentialSampler):
    """Every image once, in order, each in the next mask state; the same masks in every pass."""

    def __init__(self, drawable: NDArray[np.bool_]):
        """Take a boolean mask (N,) of the images on which a mask can be drawn."""
        super().__init__(len(drawable))
        self.states = np.where(drawable, np.arange(len(drawable)) % len(MASKS), NONE)

    def __iter__(self) -> Iterator[Draw]:
        return (Draw(index, index, int(state)) for index, state in enumerate(self.states))


class TrainingSampler(EpochSampler):
    """The draws of an epoch from base and extra images, with the masks to draw."""

    def __init__(
        self,
        specialist: Specialist,
        table: pd.DataFrame,
        drawable: NDArray[np.bool_],
        seed: int,
        options: SamplingOptions,
    ):
        """Take the training rows, with a column `source`, and a boolean mask (N,) of bare faces that were found.

        Raises `UserError` if extra images would show the specialist almost only bare faces.
        """
        self._state = table["mask"].to_numpy(np.int64)
        self._options = options
        self._bare = _bare_image_of(table, drawable)
        base = (table["source"] == "").to_numpy()
        only_extra = not base.any()
        # Without base data the extra persons take its place.
        base = base | only_extra
        self._base, self._extra = np.flatnonzero(base), np.flatnonzero(~base)
        # Unknown genders and bands, -1, are cells of their own.
        bands = table["age"].map(age_band)
        self._cell = ((table["gender"] + 1) * (len(BANDS) + 1) + bands + 1).to_numpy(np.int64)
        self._extra_count = round(options.extra_draws * len(self._extra))
        super().__init__(len(self._base) + self._extra_count, seed)
        classes = by_state(specialist.truth, table)
        if options.drawn_masks == 0 and (self._extra_count or only_extra) and (classes != classes[0]).any():
            raise UserError(
                f"--extra has mostly bare faces, and without masks drawn on them the {specialist.name} specialist "
                "would see too many: set --drawn-masks above 0, or leave --extra out"
            )
        self._weights = self._base_weights(classes)

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng((self._seed, self.epoch))
        base, extra = self._draw_base(rng), self._draw_extra(rng)
        rows, states = (np.concatenate(both) for both in zip(base, extra, strict=True))
        indices, drawn = self._choose_images(rows, states, rng)
        seeds = rng.integers(2**31, size=len(indices))
        order = rng.permutation(len(indices))
        return (Draw(int(indices[at]), int(seeds[at]), int(drawn[at])) for at in order)

    def _base_weights(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how often each base image is wanted in each mask state, (images, states); sums to 1."""
        own = self._state[self._base]
        weights = np.eye(len(MASKS))[own]
        if self._options.drawn_masks and (own == NONE).all():
            weights[self._bare[self._base] >= 0] = USUAL
        if self._options.balance:
            class_of = classes[:, self._base].T
            counts = np.bincount(class_of.ravel() + 1, weights.ravel())
            # Images of unknown class, -1, are shown as often as the others are on average.
            counts[0] = counts[1:][counts[1:] > 0].mean()
            weights /= counts[class_of + 1].clip(1e-12)
        return weights / weights.sum()

    def _draw_base(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows, and the mask states in which they are wanted."""
        weights = self._weights
        if self._options.balance:
            flat = rng.choice(weights.size, size=len(weights), p=weights.ravel())
            return self._base[flat // len(MASKS)], flat % len(MASKS)
        return self._base, _choose(weights / weights.sum(1, keepdims=True), rng)

    def _draw_extra(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows of the extra folders, and the mask states in which they are wanted."""
        if not self._extra_count:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        # Weight of each cell of gender and age band in each mask state, as the base data has them.
        wanted = np.zeros((self._cell.max() + 1, len(MASKS)))
        np.add.at(wanted, self._cell[self._base], self._weights)
        available = np.bincount(self._cell[self._extra], minlength=len(wanted))
        share = wanted.sum(1) * (available > 0)
        if self._options.extra_balance == "own" or not share.sum():
            share = available / available.sum()
        cells = np.flatnonzero(share)
        # Apportion the draws: differences of the rounded cumulative shares add up to the wanted number.
        counts = np.diff(np.round(np.cumsum([0.0, *share[cells]]) / share.sum() * self._extra_count)).astype(int)
        rows = [
            _in_turn(self._extra[self._cell[self._extra] == cell], count, rng)
            for cell, count in zip(cells, counts, strict=True)
        ]
        drawn = np.concatenate(rows)
        if self._options.drawn_masks == 0:
            return drawn, self._state[drawn]
        # A cell without base persons takes the mask states of all.
        states = np.where(wanted.sum(1, keepdims=True) > 0, wanted, wanted.sum(0))
        return drawn, _choose((states / states.sum(1, keepdims=True))[self._cell[drawn]], rng)

    def _choose_images(
        self, rows: NDArray[np.int64], states: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the image to load for each row and state, and the mask to draw on it or `UNCHANGED`."""
        bare = self._bare[rows]
        has_state = self._state[rows] == states
        replaced = (states != NONE) & (rng.random(len(rows)) < self._options.drawn_masks)
        change = (bare >= 0) & (~has_state | replaced)
        drawn = np.where(change & (states != NONE), states, UNCHANGED)
        return np.where(change, bare, rows), drawn


def _bare_image_of(table: pd.DataFrame, drawable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for every row the row of the same person's first drawable bare image; -1 if there is none."""
    rows = pd.Series(np.arange(len(table)), index=pd.Index(table["person"]))[drawable]
    first = rows[~rows.index.duplicated()]
    return first.reindex(table["person"]).fillna(-1).to_numpy(np.int64)


def _in_turn(rows: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return `count` of the rows in random order; the numbers of times that two rows occur differ by at most one."""
    rounds = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)] or [rows[:0]])[:count]


def _choose(shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw one column for each row of probabilities."""
    return np.minimum((rng.random((len(shares), 1)) > np.cumsum(shares, axis=1)).sum(1), shares.shape[1] - 1)
