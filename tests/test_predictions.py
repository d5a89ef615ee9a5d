"""Prediction files, and the held-out files of three specialists joined."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import write_runs

from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import join_held_out, read_held_out, read_predictions, write_predictions
from shared.labels import BANDS, GENDERS
from shared.messages import UserError


def held_out() -> pd.DataFrame:
    """Six images of three persons, two folds."""
    return pd.DataFrame(
        {
            "image": [f"p{number}/normal.jpg" for number in range(6)],
            "person": ["007", "007", "001498-1", "001498-1", "NA", "NA"],
            "fold": [0, 0, 1, 1, 0, 0],
            "truth": [0, 0, 1, 1, 1, 1],
            "male": [0.9, 0.8, 0.25, 0.0, 0.5, 1 / 3],
            "female": [0.1, 0.2, 0.75, 1.0, 0.5, 2 / 3],
        }
    )


@given(
    st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1), min_size=1, max_size=8, unique=True),
    st.integers(0, 99),
)
def test_what_is_written_is_read_again_whatever_images_are_called(names: list[str], seed: int) -> None:
    probabilities = np.random.default_rng(seed).dirichlet([0.3] * len(BANDS), len(names))
    table = pd.DataFrame(probabilities, columns=list(BANDS), index=pd.Index(names, name="image")).assign(age=31.5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new" / "eval.csv"
        for written in (table, table.reset_index()):
            write_predictions(path, written)
            pd.testing.assert_frame_equal(read_predictions(path, BANDS), table, rtol=1e-5, atol=1e-6)


def test_persons_stay_text_and_folds_and_truth_integers(tmp_path: Path) -> None:
    path = tmp_path / "oof.csv"
    write_predictions(path, held_out())
    table = read_held_out(path, GENDERS)
    assert table["person"].tolist() == held_out()["person"].tolist()
    assert table["fold"].tolist() == held_out()["fold"].tolist()
    assert (table["truth"].dtype, table["male"].dtype) == (np.int64, np.float64)


CLASSES_ALONE = "image,male,female\n"
FAULTS: dict[str, tuple[str, str]] = {
    "empty": ("", "is not a prediction file"),
    "only a header": (CLASSES_ALONE, "holds no predictions"),
    "no image": ("male,female\n1,0\n", "lacks the columns image"),
    "of another specialist": ("image,worn,incorrect,none\na,1,0,0\n", "lacks the columns male, female"),
    "an image twice": (CLASSES_ALONE + "a,1,0\nb,1,0\na,1,0\n", "1 of 3 images are there twice: a"),
    "an image without name": (CLASSES_ALONE + ",1,0\n", "have no name"),
    "not a number": (CLASSES_ALONE + "a,high,0\nb,1,0\n", "1 of 2 images have a probability that is missing"),
    "blank": (CLASSES_ALONE + "a,,1\n", "1 of 1 images have a probability that is missing"),
    "below zero": (CLASSES_ALONE + "a,-0.5,1.5\n", "below zero: a"),
    "infinite": (CLASSES_ALONE + "a,inf,0\n", "do not sum to one: a"),
    "too many values": (CLASSES_ALONE + "a,1,0,0\n", "is not a prediction file"),
    "one row too long": (CLASSES_ALONE + "a,1,0\nb,1,0,0\n", "is not a prediction file"),
}


@pytest.mark.parametrize(("content", "told"), FAULTS.values(), ids=FAULTS)
def test_a_file_with_a_fault_is_refused_whole(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "eval.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_predictions(path, GENDERS)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "eval.csv").write_bytes(b"\x80\x04\x95\xff")
    with pytest.raises(UserError, match="is not a prediction file"):
        read_predictions(tmp_path / "eval.csv", GENDERS)
    with pytest.raises(UserError, match="is missing"):
        read_predictions(tmp_path / "absent.csv", GENDERS)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("truth", 2, "1 of 6 images have a truth that is not one of 0-1: p0/normal.jpg"),
        ("truth", 0.5, "have a truth"),
        ("truth", "male", "have a truth"),
        ("fold", -1, "have no fold"),
        ("fold", "", "have no fold"),
        ("person", "", "have no person"),
        ("fold", 1, "1 person in two folds"),
    ],
)
def test_held_out_predictions_that_make_no_sense_are_refused(
    tmp_path: Path, column: str, value: str | float, told: str
) -> None:
    table = held_out().astype({column: object})
    table.loc[0, column] = value
    write_predictions(tmp_path / "oof.csv", table)
    with pytest.raises(UserError) as caught:
        read_held_out(tmp_path / "oof.csv", GENDERS)
    assert "oof.csv: " in str(caught.value)
    assert told in str(caught.value)


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
