"""What is wrong in train.csv and info.csv is told with its row, and can be left out."""

import csv
from pathlib import Path

import pytest
from tiny_competition import image, people, write_csv

from shared.manifest import (
    load_evaluation,
    load_training,
)
from shared.messages import UserError


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


FAULTS: dict[str, tuple[tuple[str, str], str]] = {
    "unknown gender": (("female", "femal"), "row 5 (000004): gender 'femal'"),
    "age beyond a life": ((",65,", ",121,"), "row 4 (000003): age '121'"),
    "age no number": ((",65,", ",old,"), "row 4 (000003): age 'old'"),
    "age blank": ((",65,", ",,"), "row 4 (000003): age ''"),
    "duplicate id": (("000002,", "000001,"), "row 3 (000001): id 000001 is that of row 2 already"),
    "duplicate path": (("000002_male_Asian_40", "000001_male_Asian_20"), "row 3 (000002): path"),
    "duplicate path in other words": (("000002_male_Asian_40", "./000001_male_Asian_20/"), "row 3 (000002): path"),
    "blank id": (("000002,", ","), "row 3 (): the id is blank"),
    "blank path": (("000002_male_Asian_40", ""), "row 3 (000002): path ''"),
    "path outside": (("000002_male_Asian_40", "../images/000002_male_Asian_40"), "row 3 (000002): path '../"),
    "missing folder": (
        ("000002_male_Asian_40", "elsewhere"),
        "No such file or directory: images/elsewhere",
    ),
    "endless path": (("000002_male_Asian_40", "x" * 5000), "File name too long"),
    "too many values": (("000002,male,", "000002,male,male,"), "row 3 (000002): 6 values under 5 columns"),
    "too few values": (("000002,male,Asian,40,000002_male_Asian_40", "000002,male"), "row 3 (000002):"),
}


@pytest.mark.parametrize(("change", "told"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_with_its_row_and_can_be_left_out(
    competition: Path, tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    edit(competition / "train" / "train.csv", *change)
    with pytest.raises(UserError) as caught:
        load_training(competition / "train")
    assert told in str(caught.value)
    assert str(caught.value).startswith("1 fault in ")
    assert "--skip-bad" in str(caught.value)

    table = load_training(competition / "train", skip_bad=True, rejected=tmp_path / "rejected.csv")
    assert table["person"].nunique() == 11
    assert (tmp_path / "rejected.csv").is_file()


@pytest.mark.parametrize(
    ("added", "told", "left"),
    [
        ("portrait.jpg", "portrait.jpg", 84),
        ("normal.jxl", "normal.jxl", 84),
        ("mask1.png", "mask1.jpg and mask1.png", 83),
    ],
)
def test_a_fault_of_one_image_costs_that_image_alone(
    competition: Path, tmp_path: Path, added: str, told: str, left: int
) -> None:
    (competition / "train" / "images" / people(1)[0]["path"] / added).write_bytes(image())
    with pytest.raises(UserError, match="row 2 .000001.*" + told):
        load_training(competition / "train")
    assert len(load_training(competition / "train", skip_bad=True, rejected=tmp_path / "rejected.csv")) == left


def test_a_person_without_any_image_is_a_fault(competition: Path) -> None:
    for file in (competition / "train" / "images" / people(1)[0]["path"]).iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"row 2 \(000001\): images/000001_male_Asian_20 has no image"):
        load_training(competition / "train")


def test_many_faults_are_one_error_with_the_first_of_them_and_a_count(competition: Path) -> None:
    table = competition / "train" / "train.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("male,", "robot,"), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_training(competition / "train")
    message = str(caught.value)
    assert message.startswith("12 faults in ")
    assert "row 2 (" in message
    assert "row 11 (" in message
    assert "row 12 (" not in message
    assert "... and 2 more" in message


def test_what_is_left_out_is_listed_by_table_and_forgotten_once_mended(competition: Path, tmp_path: Path) -> None:
    rejected = tmp_path / "out" / "rejected.csv"
    edit(competition / "train" / "train.csv", ",65,", ",650,")
    edit(competition / "eval" / "info.csv", "9male.jpg", "absent.jpg")
    load_training(competition / "train", skip_bad=True, rejected=rejected)
    load_evaluation(competition / "eval", skip_bad=True, rejected=rejected)
    told = [(Path(table).name, row, name) for table, row, name, _ in read_csv(rejected)[1:]]
    assert told == [("train.csv", "4", "000003"), ("info.csv", "2", "absent.jpg")]
    edit(competition / "train" / "train.csv", ",650,", ",65,")
    load_training(competition / "train", skip_bad=True, rejected=rejected)
    assert [name for _, _, name, _ in read_csv(rejected)[1:]] == ["absent.jpg"]


STRUCTURES: dict[str, tuple[bytes | None, str]] = {
    "absent": (None, "is missing"),
    "no byte": (b"", "lacks the column id, gender, age, path"),
    "only a header": (b"id,gender,race,age,path\n", "is empty"),
    "no age column": (b"id,gender,race,path\n1,male,Asian,1\n", "lacks the column age"),
    "two age columns": (b"id,gender,age,age,path\n1,male,1,1,1\n", "column age more than once"),
    "semicolons": (b"id;gender;race;age;path\n1;male;Asian;1;1\n", "separated by something else than commas"),
    "korean encoding": ("id,gender,age,path\n1,남,1,1\n".encode("cp949"), "not UTF-8 text (line 2)"),
    "utf-16": ("id,gender,age,path\n1,male,1,1\n".encode("utf-16"), "not UTF-8 text (line 1)"),
    "a spreadsheet": (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00", "is not text"),
    "an open quote": (b'id,gender,age,path\n"1,male,1,1\n', "is not a CSV"),
    "an endless value": (b"id,gender,age,path\n" + b"1" * 200_000, "is not a CSV"),
}


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize(("content", "told"), STRUCTURES.values(), ids=STRUCTURES)
def test_a_table_that_is_none_is_refused_even_with_skip_bad(
    competition: Path, content: bytes | None, told: str, skip_bad: bool
) -> None:
    table = competition / "train" / "train.csv"
    table.unlink() if content is None else table.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_training(competition / "train", skip_bad=skip_bad)
    assert str(table) in str(caught.value)
    assert told in str(caught.value)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ("id", "gender", "age", "path"), people(0))
    with pytest.raises(UserError, match="images is missing"):
        load_training(tmp_path)


def test_when_every_row_is_left_out_there_is_nothing_to_work_with(competition: Path, tmp_path: Path) -> None:
    table = competition / "train" / "train.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("Asian,", "Asian,x"), encoding="utf-8")
    with pytest.raises(UserError, match="no usable row is left"):
        load_training(competition / "train", skip_bad=True, rejected=tmp_path / "rejected.csv")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent.jpg", "(absent.jpg): there is no such file below images/"),
        ("../images/9male.jpg", "no plain path below images/"),
        ("./9male.jpg", "no plain path below images/"),
        ("/etc/passwd", "no plain path below images/"),
        ("", "no plain path below images/"),
        ("8male.jpg", "is that of row 2 already"),
        ("x" * 5000 + "/1.jpg", "there is no such file below images/"),
    ],
)
def test_a_faulty_row_of_info_csv_is_told_and_can_be_left_out(
    competition: Path, tmp_path: Path, name: str, told: str
) -> None:
    info = competition / "eval" / "info.csv"
    edit(info, "9male.jpg,0\n8male.jpg,0\n", f"8male.jpg,0\n{name},0\n")
    with pytest.raises(UserError) as caught:
        load_evaluation(competition / "eval")
    assert "row 3 (" in str(caught.value)
    assert told in str(caught.value)
    assert len(load_evaluation(competition / "eval", skip_bad=True, rejected=tmp_path / "rejected.csv")) == 8


def test_a_table_that_cannot_be_read_is_refused(competition: Path) -> None:
    (competition / "train" / "train.csv").unlink()
    (competition / "train" / "train.csv").mkdir()
    with pytest.raises(UserError, match="cannot read"):
        load_training(competition / "train")
