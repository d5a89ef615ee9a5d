from pathlib import Path

import pandas as pd
import pytest
from tiny_competition import people, write_train

from shared.labels import CLASS_COUNT, age_band, decode_class, encode_class
from shared.manifest import load_training
from shared.messages import UserError


@pytest.mark.parametrize("number", range(18))
def test_every_class_comes_back_from_its_attributes(number: int) -> None:
    assert encode_class(*decode_class(number)) == number


@pytest.mark.parametrize(
    ("attributes", "number"),
    [((0, 0, 0), 0), ((0, 0, 2), 2), ((0, 1, 0), 3), ((1, 0, 0), 6), ((1, 1, 1), 10), ((2, 0, 0), 12), ((2, 1, 2), 17)],
)
def test_classes_are_numbered_as_in_the_competition(attributes: tuple[int, int, int], number: int) -> None:
    assert encode_class(*attributes) == number


@pytest.mark.parametrize("attributes", [(3, 0, 0), (0, 2, 0), (0, 0, 3), (-1, 0, 0)])
def test_attributes_out_of_range_are_refused(attributes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        encode_class(*attributes)


@pytest.mark.parametrize("number", [-1, CLASS_COUNT])
def test_a_class_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="0-17"):
        decode_class(number)


@pytest.mark.parametrize(("age", "band"), [(0, 0), (29, 0), (29.9, 0), (30, 1), (59, 1), (59.9, 1), (60, 2), (120, 2)])
def test_bands_begin_at_30_and_at_60(age: float, band: int) -> None:
    assert age_band(age) == band


SHIPPED = Path(__file__).parents[1] / "shared" / "fixes" / "boostcamp.csv"


def fixed(competition: Path, *files: str) -> pd.DataFrame:
    paths = []
    for number, rows in enumerate(files):
        path = competition / f"fixes{number}.csv"
        path.write_text(f"id,image,field,value\n{rows}\n", encoding="utf-8")
        paths.append(path)
    return load_training(competition / "train", paths)


def person(table: pd.DataFrame, id_: str) -> pd.DataFrame:
    return table[table["person"] == id_].set_index("kind")


def test_the_mask_state_of_one_image_is_corrected_and_its_file_stays(competition: Path) -> None:
    table = fixed(competition, "000002,normal,mask,incorrect\n000002,incorrect_mask,mask,none")
    assert person(table, "000002")["mask"].tolist() == [0, 0, 0, 0, 0, 2, 1]
    assert person(table, "000002")["image"]["normal"].endswith("/normal.jpg")
    assert person(table, "000001")["mask"].tolist() == [0, 0, 0, 0, 0, 1, 2]


def test_gender_and_age_are_corrected_on_all_images_of_a_person_and_no_other(competition: Path) -> None:
    before = load_training(competition / "train")
    table = fixed(competition, "000001,,gender,female\n000001,,age,31.5")
    assert set(person(table, "000001")["gender"]) == {1}
    assert set(person(table, "000001")["age"]) == {31.5}
    others = before["person"] != "000001"
    pd.testing.assert_frame_equal(table[others], before[others])


def test_a_flip_turns_either_gender_into_the_other(competition: Path) -> None:
    table = fixed(competition, "000001,,gender,flip", "000004,,gender,flip")
    assert set(person(table, "000001")["gender"]) == {1}
    assert set(person(table, "000004")["gender"]) == {0}


def test_fixes_of_others_are_told_and_no_more(competition: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = fixed(competition, "000001,,gender,female\n999999,,gender,flip\n1,,age,40")
    assert set(person(table, "000001")["gender"]) == {1}
    told = capsys.readouterr().err
    assert "2 of 3 label fixes" in told
    assert "999999 gender, 1 age" in told


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("000001,,race,Asian", "field 'race'"),
        ("000001,,gender,unknown", "gender 'unknown' is none of male, female, flip"),
        ("000001,,age,200", "age '200'"),
        ("000001,normal,mask,off", "mask 'off' is none of worn, incorrect, none"),
        ("000001,,mask,none", "image ''"),
        ("000001,mask6,mask,none", "image 'mask6'"),
        ("000001,normal,gender,male", "image must be blank"),
        ("000001,normal,age,20", "image must be blank"),
    ],
)
def test_a_fix_that_cannot_be_made_is_refused_with_its_row(competition: Path, row: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        fixed(competition, f"000002,,age,41\n{row}")
    assert "fixes0.csv" in str(caught.value)
    assert "row 3 (000001): " in str(caught.value)
    assert told in str(caught.value)


def test_a_label_that_is_fixed_twice_is_refused_naming_both_places(competition: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)fixes1.csv row 2: 000001 gender, as in .*fixes0.csv row 2"):
        fixed(competition, "000001,,gender,flip", "000001,,gender,flip")


def test_a_file_of_fixes_that_is_missing_or_lacks_a_column_is_refused(competition: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.csv is missing"):
        load_training(competition / "train", [competition / "absent.csv"])
    with pytest.raises(UserError, match="lacks the column image, field, value"):
        load_training(competition / "train", [competition / "train" / "train.csv"])


def test_the_shipped_fixes_are_those_on_which_several_teams_agree(tmp_path: Path) -> None:

    swapped = ["000020", "004418", "005227"]
    flipped = ["006359", "006360", "006361", "006362", "006363", "006364", "004432", "001498-1"]
    rows = [row | {"id": id_} for row, id_ in zip(people(12), [*swapped, *flipped, "000021"], strict=True)]
    folder = write_train(tmp_path, rows)
    before, after = load_training(folder), load_training(folder, [SHIPPED])
    for id_ in swapped:
        assert person(after, id_)["mask"][["incorrect_mask", "normal"]].tolist() == [2, 1]
    changed = before["person"][before["gender"] != after["gender"]].unique()
    assert sorted(changed) == sorted(flipped)
    assert (before["mask"] != after["mask"]).sum() == 2 * len(swapped)
    assert before["age"].equals(after["age"])


def test_shipped_fixes_are_found_by_their_name_from_any_folder(
    competition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    load_training(competition / "train", [Path("boostcamp")])
    assert "label fixes concern images that are not here" in capsys.readouterr().err
    with pytest.raises(UserError, match="absent is missing"):
        load_training(competition / "train", [Path("absent")])
