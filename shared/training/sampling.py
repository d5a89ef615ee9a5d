"""What an epoch shows: which images, and on which a mask is drawn.

Every image of the base data comes once, or, with classes to balance, every class equally often. Beside them come as
many of the extra folders as they have images, times `extra_draws`: their persons are drawn so that gender, age band
and mask state are as frequent as in the base data, each image of a cell equally often.

A share of the masked images gives way to the same person's bare one with a mask of the same state drawn on it. Whose
images are all bare gets masks as often as the base data has them, or, where it has none either, as the competition.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.labels import BANDS, MASKS, age_band
from shared.messages import UserError
from shared.specialist import Specialist
from shared.training.data import AS_IT_IS, Draw, SequentialSampler, ShuffledSampler
from shared.training.options import SamplingOptions

NONE = MASKS.index("none")
USUAL = (5 / 7, 1 / 7, 1 / 7)
"""Of the mask states, in the competition: where no masked image says how frequent they are."""


class MaskStateSampler(SequentialSampler):
    """Every image once, in order, each in the next mask state; the same masks whenever it is gone through."""

    def __init__(self, drawable: NDArray[np.bool_]):
        """On which images a mask can be drawn, (N,)."""
        super().__init__(len(drawable))
        self.states = np.where(drawable, np.arange(len(drawable)) % len(MASKS), NONE)

    def __iter__(self) -> Iterator[Draw]:
        return (Draw(place, place, int(state)) for place, state in enumerate(self.states))


def by_state(of: Any, table: pd.DataFrame) -> NDArray[Any]:
    """What `of`, a function of the manifest, says of each row in each mask state: (states, rows, ...)."""
    return np.stack([of(table.assign(mask=state)) for state in range(len(MASKS))])


class TrainingSampler(ShuffledSampler):
    """The draws of an epoch from base and extra images, with masks to be drawn."""

    def __init__(
        self, specialist: Specialist, table: pd.DataFrame, drawable: NDArray[np.bool_], seed: int, how: SamplingOptions
    ):
        """`table` holds the training rows with a column `source`; `drawable` says whose face is bare and was found.

        Raises `UserError` where extra images would show the specialist nothing but bare faces.
        """
        self._state = table["mask"].to_numpy(np.int64)
        self._how = how
        self._bare = _bare_image_of(table, drawable)
        base = (table["source"] == "").to_numpy()
        only_extra = not base.any()
        # Without base data the extra persons take its place.
        base = base | only_extra
        self._base, self._extra = np.flatnonzero(base), np.flatnonzero(~base)
        self._cell = (table["gender"] * len(BANDS) + table["age"].map(age_band)).to_numpy(np.int64)
        self._further = round(how.extra_draws * len(self._extra))
        super().__init__(len(self._base) + self._further, seed)
        classes = by_state(specialist.truth, table)
        if how.drawn_masks == 0 and (self._further or only_extra) and (classes != classes[0]).any():
            raise UserError(
                f"--extra has mostly bare faces, and without masks drawn on them the {specialist.name} specialist "
                "would see too many: set --drawn-masks above 0, or leave --extra out"
            )
        self._weights_by_state = self._weigh(classes)

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng((self._seed, self.epoch))
        base, extra = self._draw_base(rng), self._draw_extra(rng)
        rows, states = (np.concatenate(both) for both in zip(base, extra, strict=True))
        places, drawn = self._realise(rows, states, rng)
        seeds = rng.integers(2**31, size=len(places))
        order = rng.permutation(len(places))
        return (Draw(int(places[at]), int(seeds[at]), int(drawn[at])) for at in order)

    def _weigh(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """How often each base image is to come in each mask state, (images, states); sums to 1."""
        own = self._state[self._base]
        weights = np.eye(len(MASKS))[own]
        if self._how.drawn_masks and (own == NONE).all():
            weights[self._bare[self._base] >= 0] = USUAL
        if self._how.balance:
            of = classes[:, self._base].T
            weights /= np.bincount(of.ravel(), weights.ravel())[of].clip(1e-12)
        return weights / weights.sum()

    def _draw_base(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows, and the mask states in which they are wanted."""
        weights = self._weights_by_state
        if self._how.balance:
            flat = rng.choice(weights.size, size=len(weights), p=weights.ravel())
            return self._base[flat // len(MASKS)], flat % len(MASKS)
        return self._base, _choose(weights / weights.sum(1, keepdims=True), rng)

    def _draw_extra(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same of the extra folders, every cell as often as it should come, within it each row in turn."""
        if not self._further:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        wanted = np.zeros((self._cell.max() + 1, len(MASKS)))
        np.add.at(wanted, self._cell[self._base], self._weights_by_state)
        there = np.bincount(self._cell[self._extra], minlength=len(wanted))
        share = there / there.sum() if self._how.extra_balance == "own" else wanted.sum(1) * (there > 0)
        if not share.sum():
            share = there / there.sum()
        cells = np.flatnonzero(share)
        counts = np.diff(np.round(np.cumsum([0.0, *share[cells]]) / share.sum() * self._further)).astype(int)
        rows = [
            _in_turn(self._extra[self._cell[self._extra] == cell], count, rng)
            for cell, count in zip(cells, counts, strict=True)
        ]
        drawn = np.concatenate(rows)
        if self._how.drawn_masks == 0:
            return drawn, self._state[drawn]
        # A cell without base persons takes the mask states of all.
        states = np.where(wanted.sum(1, keepdims=True) > 0, wanted, wanted.sum(0))
        return drawn, _choose((states / states.sum(1, keepdims=True))[self._cell[drawn]], rng)

    def _realise(
        self, rows: NDArray[np.int64], states: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which image to read for each row and state, and the mask to be drawn on it or `AS_IT_IS`."""
        bare = self._bare[rows]
        has_it = self._state[rows] == states
        instead = (states != NONE) & (rng.random(len(rows)) < self._how.drawn_masks)
        change = (bare >= 0) & (~has_it | instead)
        drawn = np.where(change & (states != NONE), states, AS_IT_IS)
        return np.where(change, bare, rows), drawn


def _bare_image_of(table: pd.DataFrame, drawable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For every row the row of the same person's bare image that a mask can be drawn on; -1 where there is none."""
    places = pd.Series(np.arange(len(table)), index=pd.Index(table["person"]))[drawable]
    first = places[~places.index.duplicated()]
    return first.reindex(table["person"]).fillna(-1).to_numpy(np.int64)


def _in_turn(rows: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many of the rows, in random order, none of them twice more often than another."""
    rounds = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)] or [rows[:0]])[:count]


def _choose(shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """One column for each row of probabilities."""
    return np.minimum((rng.random((len(shares), 1)) > np.cumsum(shares, axis=1)).sum(1), shares.shape[1] - 1)
