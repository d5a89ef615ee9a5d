from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_runs import write_runs

from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import join_held_out
from shared.messages import UserError


def oof_files(*outputs: Path) -> dict[str, list[Path]]:
    return {task: [folder / task / "oof.csv" for folder in outputs] for task in SPECIALISTS}


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(path, dtype={"person": str})).to_csv(path, index=False)


def test_all_three_specialists_are_lined_up_by_image(competition: Path, tmp_path: Path) -> None:
    outputs = write_runs(competition, tmp_path / "outputs")
    edit(outputs / "gender" / "oof.csv", lambda table: table.sample(frac=1, random_state=0))
    held_out = join_held_out(oof_files(outputs))
    assert len(held_out.persons) == 84
    assert held_out.persons.nunique() == 12
    for task, classes in SPECIALISTS.items():
        assert held_out.predictions[task].index.equals(held_out.persons.index)
        np.testing.assert_array_equal(
            held_out.predictions[task][list(classes)].to_numpy().argmax(1), held_out.truth[task]
        )


def test_only_images_that_all_runs_hold_out_are_joined(competition: Path, tmp_path: Path) -> None:
    outputs = write_runs(competition, tmp_path / "outputs")
    edit(outputs / "mask" / "oof.csv", lambda table: table[table["fold"] == 0])
    edit(outputs / "age" / "oof.csv", lambda table: table[table["fold"] != 2])
    held_out = join_held_out(oof_files(outputs))
    assert set(held_out.folds) == {0}
    assert {len(table) for table in held_out.predictions.values()} == {len(held_out.folds)} == {28}


def test_several_runs_are_averaged(competition: Path, tmp_path: Path) -> None:
    runs = [write_runs(competition, tmp_path / str(seed), doubt=0.5, seed=seed) for seed in range(2)]
    single = [join_held_out(oof_files(folder)).predictions["mask"] for folder in runs]
    both = join_held_out(oof_files(*runs)).predictions["mask"]
    np.testing.assert_allclose(both.to_numpy(), (single[0].to_numpy() + single[1].to_numpy()) / 2)


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("fold", lambda table: table.assign(fold=(table["fold"] + 1) % 3)),
        ("person", lambda table: table.assign(person="x" + table["person"])),
    ],
)
def test_specialists_that_disagree_about_a_person_are_not_joined(
    competition: Path, tmp_path: Path, column: str, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    outputs = write_runs(competition, tmp_path / "outputs")
    edit(outputs / "age" / "oof.csv", change)
    with pytest.raises(UserError, match=f"disagree about the {column} of 84 images: 000001_male_Asian_20/mask1.jpg"):
        join_held_out(oof_files(outputs))


def test_runs_with_other_labels_are_not_joined(competition: Path, tmp_path: Path) -> None:
    runs = [write_runs(competition, tmp_path / str(seed)) for seed in range(2)]
    edit(runs[1] / "gender" / "oof.csv", lambda table: table.assign(truth=1 - table["truth"]))
    with pytest.raises(UserError, match=r"disagree about the truth of 84 images.*--fixes"):
        join_held_out(oof_files(*runs))


def test_runs_that_hold_out_different_folds_have_nothing_to_join(competition: Path, tmp_path: Path) -> None:
    outputs = write_runs(competition, tmp_path / "outputs")
    edit(outputs / "mask" / "oof.csv", lambda table: table[table["fold"] == 0])
    edit(outputs / "age" / "oof.csv", lambda table: table[table["fold"] == 1])
    with pytest.raises(UserError, match="no image is held out in all"):
        join_held_out(oof_files(outputs))
