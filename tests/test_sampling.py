"""What an epoch shows of base and extra images."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared.labels import MASKS, age_band
from shared.messages import UserError
from shared.training.data import UNCHANGED, Draw
from shared.training.options import SamplingOptions
from shared.training.sampling import MaskStateSampler, TrainingSampler

WORN, INCORRECT, NONE = range(3)
SEVEN = (*[WORN] * 5, INCORRECT, NONE)


def rows(persons: int, states: tuple[int, ...], gender: int, age: int, source: str = "", name: str = "p") -> list[Any]:
    return [
        {"person": f"{source}{name}{person}", "mask": mask, "gender": gender, "age": age, "source": source}
        for person in range(persons)
        for mask in states
    ]


def table_of(*parts: list[Any]) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part])


BASE = table_of(rows(30, SEVEN, 1, 25, name="young"), rows(10, SEVEN, 0, 65, name="old"))
BOTH = table_of(BASE.to_dict("records"), rows(50, (NONE,), 1, 25, "x", "young"), rows(200, (NONE,), 0, 65, "x", "old"))


def draws(table: pd.DataFrame, specialist: Any = GENDER, epoch: int = 0, **how: Any) -> list[Draw]:
    order = TrainingSampler(
        specialist,
        table,
        (table["mask"] == NONE).to_numpy(),
        seed=1,
        options=SamplingOptions(**{"drawn_masks": 0.0, **how}),
    )
    order.epoch = epoch
    drawn = list(order)
    assert len(drawn) == len(order)
    return drawn


def states_of(table: pd.DataFrame, drawn: list[Draw]) -> NDArray[np.int64]:
    """The mask state that each draw shows."""
    own = table["mask"].to_numpy()
    return np.array([own[draw.row] if draw.state == UNCHANGED else draw.state for draw in drawn])


def test_every_base_image_comes_once_where_nothing_is_drawn() -> None:
    drawn = draws(BASE)
    assert sorted(draw.row for draw in drawn) == list(range(len(BASE)))
    assert {draw.state for draw in drawn} == {UNCHANGED}


def test_a_drawn_mask_takes_the_place_of_a_masked_image_of_the_same_person_and_state() -> None:
    drawn = draws(BASE, drawn_masks=0.5)
    assert Counter(states_of(BASE, drawn)) == Counter(BASE["mask"])
    assert Counter(BASE["person"].iloc[[draw.row for draw in drawn]]) == Counter(BASE["person"])
    share = np.mean([draw.state != UNCHANGED for draw in drawn])
    # Half of six in seven: 0.43, standard deviation 0.03.
    assert 0.33 < share < 0.53
    assert all(BASE["mask"].iloc[draw.row] == NONE for draw in drawn if draw.state != UNCHANGED)


def test_extra_persons_come_in_the_balance_of_the_base_data() -> None:
    drawn = [draw for draw in draws(BOTH, drawn_masks=0.5) if BOTH["source"].iloc[draw.row] == "x"]
    assert len(drawn) == 250
    bands = BOTH["age"].iloc[[draw.row for draw in drawn]].map(age_band)
    # 30 of 40 base persons are young, though 200 of 250 extra ones are old.
    assert (bands == 0).mean() == pytest.approx(0.75, abs=0.01)
    shares = np.bincount(states_of(BOTH, drawn), minlength=3) / len(drawn)
    # Standard deviations 0.029, 0.022.
    assert shares == pytest.approx([5 / 7, 1 / 7, 1 / 7], abs=0.09)
    young = Counter(draw.row for draw in drawn if BOTH["age"].iloc[draw.row] == 25)
    assert max(young.values()) - min(young.values()) <= 1


def test_extra_persons_come_as_they_are_where_that_is_asked_for() -> None:
    drawn = [draw for draw in draws(BOTH, drawn_masks=0.5, extra_balance="own") if BOTH["source"].iloc[draw.row] == "x"]
    assert sorted(draw.row for draw in drawn) == list(range(len(BASE), len(BOTH)))


def test_an_epoch_is_as_long_as_asked_for() -> None:
    assert len(draws(BOTH, drawn_masks=0.5, extra_draws=2.0)) == len(BASE) + 2 * 250
    assert len(draws(BOTH, drawn_masks=0.5, extra_draws=0.0)) == len(BASE)


def test_without_drawn_masks_extra_faces_stay_bare_and_teach_no_masks() -> None:
    drawn = draws(BOTH)
    assert {draw.state for draw in drawn} == {UNCHANGED}
    with pytest.raises(UserError, match="--drawn-masks"):
        draws(BOTH, MASK)


def test_masks_are_learnt_from_bare_faces_alone_in_the_competitions_balance_or_in_equal_parts() -> None:
    bare = table_of(rows(700, (NONE,), 1, 25))
    usual = np.bincount(states_of(bare, draws(bare, MASK, drawn_masks=0.5)), minlength=3) / 700
    assert usual == pytest.approx([5 / 7, 1 / 7, 1 / 7], abs=0.06)
    equal = np.bincount(states_of(bare, draws(bare, MASK, drawn_masks=0.5, balance=True)), minlength=3) / 700
    assert equal == pytest.approx([1 / 3] * 3, abs=0.07)


def test_balance_holds_for_extra_persons_too() -> None:
    drawn = draws(BOTH, drawn_masks=0.5, balance=True)
    extra = [draw.row for draw in drawn if BOTH["source"].iloc[draw.row] == "x"]
    assert BOTH["gender"].iloc[extra].mean() == pytest.approx(0.5, abs=0.01)


def test_epochs_differ_and_each_is_the_same_again() -> None:
    assert draws(BOTH, drawn_masks=0.5) == draws(BOTH, drawn_masks=0.5)
    assert draws(BOTH, drawn_masks=0.5) != draws(BOTH, drawn_masks=0.5, epoch=1)


def test_bare_held_out_faces_are_scored_in_every_state() -> None:
    order = MaskStateSampler(np.array([True] * 6 + [False]))
    assert [draw.state for draw in order] == [*range(len(MASKS))] * 2 + [NONE]
    assert list(order) == list(order)
