"""One row per image of the competition folder: what a row says, in which order, and which splits there are."""

import math
from pathlib import Path

import pandas as pd
import pytest
from tiny_competition import image, people, write_csv, write_eval, write_train

from shared.check import Options
from shared.check import main as check
from shared.folds import assign_folds
from shared.labels import IMAGE_KINDS, age_band
from shared.manifest import (
    list_images,
    load_evaluation,
    load_training,
    split_folder,
    split_folders,
)
from shared.messages import UserError

OWN_COLUMNS = ["image", "person", "path", "kind", "mask", "gender", "age", "age_low", "age_high"]


def test_every_image_is_a_row_in_the_order_of_the_table_and_then_of_kinds(competition: Path) -> None:
    table = load_training(competition / "train")
    assert list(table.columns) == [*OWN_COLUMNS, "race"]
    assert table["person"].tolist() == [row["id"] for row in people(12) for _ in IMAGE_KINDS]
    assert table["kind"].tolist() == list(IMAGE_KINDS) * 12
    assert table["mask"].tolist() == [0, 0, 0, 0, 0, 1, 2] * 12
    first = table.iloc[0]
    assert (first["image"], first["gender"], first["age"]) == ("000001_male_Asian_20/mask1.jpg", 0, 20.0)
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in table["path"])


def test_further_columns_come_through_as_text_but_never_in_the_place_of_our_own(tmp_path: Path) -> None:
    folder = write_train(tmp_path, people(2), ["normal"])
    rows = [
        row | {"glasses": worn, "mask": "all", "": "x"} for row, worn in zip(people(2), ("yes", "007"), strict=True)
    ]
    write_csv(folder / "train.csv", list(rows[0]), rows)
    table = load_training(folder)
    assert list(table.columns) == [*OWN_COLUMNS, "race", "glasses"]
    assert table["glasses"].tolist() == ["yes", "007"]
    assert table["mask"].tolist() == [2, 2]


def test_ids_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    ids = ["000020", "001498-1", "NA", "nan", "1e5", "007", "7"]
    rows = [row | {"id": id_} for row, id_ in zip(people(len(ids)), ids, strict=True)]
    table = load_training(write_train(tmp_path, rows, ["normal"]))
    assert table["person"].tolist() == ids


def test_suffixes_count_in_any_case(tmp_path: Path) -> None:
    folder = write_train(tmp_path, people(1), [])
    for name in ("mask1.JPG", "mask2.jpeg", "mask3.webp", "normal.Png"):
        (folder / "images" / people(1)[0]["path"] / name).write_bytes(image())
    assert load_training(folder)["kind"].tolist() == ["mask1", "mask2", "mask3", "normal"]


def test_hidden_files_folders_and_files_that_are_no_images_are_passed_over(tmp_path: Path) -> None:
    folder = write_train(tmp_path, people(1), ["mask1", "normal"])
    person = folder / "images" / people(1)[0]["path"]
    for name in ("._mask1.jpg", ".DS_Store", "notes.txt", "mask2.json"):
        (person / name).write_bytes(b"")
    (person / "mask3.jpg").mkdir()
    assert load_training(folder)["kind"].tolist() == ["mask1", "normal"]


def test_a_byte_order_mark_blank_rows_and_blanks_around_values_do_no_harm(competition: Path) -> None:
    before = load_training(competition / "train")
    table = competition / "train" / "train.csv"
    text = table.read_text(encoding="utf-8").replace(",", " , ").replace("\n", "\r\n,,,,\r\n\r\n")
    table.write_bytes(text.encode("utf-8-sig"))
    pd.testing.assert_frame_equal(load_training(competition / "train"), before)


def test_eval_images_come_in_the_order_of_info_csv(competition: Path) -> None:
    table = load_evaluation(competition / "eval")
    assert list(table.columns) == ["image", "path"]
    assert table["image"].tolist()[:4] == ["9male.jpg", "8male.jpg", "7male.jpg", "6female.jpg"]
    assert all(Path(path).is_file() for path in table["path"])
    assert list_images(competition / "eval")["image"].tolist() == table["image"].tolist()


def test_eval_images_may_lie_in_folders_and_have_known_persons(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "a" / "1.jpg").write_bytes(image())
    write_csv(tmp_path / "info.csv", ("ImageID", "ans", "person"), [{"ImageID": "a/1.jpg", "ans": 0, "person": "007"}])
    assert load_evaluation(tmp_path)[["image", "person"]].to_numpy().tolist() == [["a/1.jpg", "007"]]


def test_a_data_folder_may_be_the_competition_or_one_split_of_it(competition: Path) -> None:
    assert split_folders(competition) == {"train": competition / "train", "eval": competition / "eval"}
    assert split_folders(competition / "train") == {"train": competition / "train"}
    assert split_folders(competition / "eval") == {"eval": competition / "eval"}
    with pytest.raises(UserError, match="no eval images"):
        split_folder(competition / "train", "eval")
    with pytest.raises(UserError, match=r"no portraits in .*\n.*--data FOLDER"):
        split_folders(competition / "nowhere")


def test_a_folder_with_both_tables_is_ambiguous(competition: Path) -> None:
    (competition / "train" / "info.csv").write_bytes(b"ImageID,ans\n")
    with pytest.raises(UserError, match="both"):
        split_folders(competition / "train")


def test_the_command_shows_what_is_in_a_folder(competition: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(Options(competition, folds=2))
    shown = capsys.readouterr().out
    assert "84 images of 12 persons" in shown
    assert [line.split() for line in shown.splitlines() if line.startswith("together")] == [
        ["together", "12", "6", "6"]
    ]
    assert "9 images to predict" in shown


def test_a_check_with_fewer_persons_than_folds_and_a_fault_still_shows_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_train(tmp_path / "train", people(3))
    write_eval(tmp_path)
    check(Options(tmp_path))
    shown = capsys.readouterr().out
    assert "21 images of 3 persons" in shown
    assert "3 persons cannot fill 5 folds" in shown
    assert "9 images to predict" in shown
    (tmp_path / "train/images" / people(3)[0]["path"] / "mask1.jpg").rename(tmp_path / "train/images/mask9.jpg")
    (tmp_path / "train/images" / people(3)[1]["path"] / "odd.jpg").write_bytes(image())
    with pytest.raises(UserError, match=r"odd\.jpg"):
        check(Options(tmp_path))
    assert "9 images to predict" in capsys.readouterr().out


def test_header_names_may_be_in_any_case(competition: Path) -> None:
    before = load_training(competition / "train"), load_evaluation(competition / "eval")
    for table in (competition / "train/train.csv", competition / "eval/info.csv"):
        head, rows = table.read_text(encoding="utf-8").split("\n", 1)
        table.write_text(f"{head.swapcase()}\n{rows}", encoding="utf-8")
    pd.testing.assert_frame_equal(
        load_training(competition / "train").drop(columns="RACE"), before[0].drop(columns="race")
    )
    pd.testing.assert_frame_equal(load_evaluation(competition / "eval"), before[1])


@pytest.mark.parametrize(
    ("label", "low", "high", "age", "band"),
    [
        ("34", 34, 34, 34, 1),
        ("29.6", 29.6, 29.6, 29.6, 0),
        ("20-29", 20, 29, 24.5, 0),
        ("60+", 60, 120, 60, 2),
        ("25-34", 25, 34, math.nan, -1),
        ("unknown", 0, 120, math.nan, -1),
    ],
)
def test_an_age_may_be_an_interval_or_unknown(
    label: str, low: float, high: float, age: float, band: int, tmp_path: Path
) -> None:
    persons = [{**people(1)[0], "age": label}]
    write_train(tmp_path, persons)
    row = load_training(tmp_path).iloc[0]
    assert (row["age_low"], row["age_high"]) == (low, high)
    assert row["age"] == age or (math.isnan(row["age"]) and math.isnan(age))
    assert age_band(row["age"]) == band


def test_an_age_may_be_two_columns_and_a_gender_unknown(tmp_path: Path) -> None:
    person = people(1)[0]
    write_train(tmp_path, [person])
    labels = {"id": "1", "gender": "unknown", "age_low": "20", "age_high": "29", "path": person["path"]}
    write_csv(tmp_path / "train.csv", tuple(labels), [labels])
    row = load_training(tmp_path).iloc[0]
    assert (row["gender"], row["age"], row["age_low"], row["age_high"]) == (-1, 24.5, 20, 29)


def test_persons_of_unknown_gender_or_age_are_spread_over_the_folds_and_leave_the_others_where_they_are() -> None:
    known = pd.DataFrame([{"person": f"{at:02d}", "gender": at % 2, "age": 20 + at} for at in range(20)])
    unknown = pd.DataFrame([{"person": f"u{at}", "gender": -1, "age": math.nan} for at in range(4)])
    folds = assign_folds(pd.concat([known, unknown], ignore_index=True), 2)
    assert folds.loc[unknown["person"]].value_counts().to_dict() == {0: 2, 1: 2}
