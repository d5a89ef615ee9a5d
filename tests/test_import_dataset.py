"""Every published layout, made up small, becomes a competition folder with the right labels."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.import_dataset import DATASETS, Options, main
from shared.messages import UserError


def image(file: Path, side: int = 40) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.full((side, side, 3), 120, np.uint8))


def table(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def fairface(folder: Path) -> None:
    table(
        folder / "fairface_label_train.csv",
        "file,age,gender,race,service_test",
        "train/1.jpg,50-59,Male,East Asian,True",
        "train/2.jpg,more than 70,Female,Indian,False",
    )
    image(folder / "train/1.jpg")
    image(folder / "train/2.jpg")


def utkface(folder: Path) -> None:
    image(folder / "26_1_2_20170116184024662.jpg.chip.jpg")
    image(folder / "part1" / "100_0_0_20170112213500903.jpg")
    image(folder / "notes.jpg")


def all_age_faces(folder: Path) -> None:
    image(folder / "original images" / "07380A02.jpg")
    image(folder / "original images" / "07381A65.jpg")


def agedb(folder: Path) -> None:
    image(folder / "0_MariaCallas_35_f.jpg")
    image(folder / "1_MariaCallas_40_f.jpg")
    image(folder / "2_GlennClose_62_f.jpg")


def imdb_clean(folder: Path) -> None:
    table(
        folder / "imdb_train_new_1024.csv",
        "filename,age,gender,x_min,y_min,x_max,y_max",
        "02/nm0000002_rm1_1924-9-16_1991.jpg,67,F,10,10,20,20",
    )
    image(folder / "02/nm0000002_rm1_1924-9-16_1991.jpg")


def lagenda(folder: Path) -> None:
    table(
        folder / "lagenda_annotation.csv",
        "img_name,age,gender,face_x0,face_y0,face_x1,face_y1",
        "a.jpg,34.5,M,0,0,10,10",
        "a.jpg,-1,F,20,20,30,30",
        "a.jpg,20,F,-1,-1,-1,-1",
    )
    image(folder / "a.jpg")


def face_mask_detection(folder: Path) -> None:
    def face(name: str, x: int) -> str:
        box = f"<bndbox><xmin>{x}</xmin><ymin>5</ymin><xmax>{x + 10}</xmax><ymax>15</ymax></bndbox>"
        return f"<object><name>{name}</name>{box}</object>"

    faces = face("with_mask", 0) + face("without_mask", 12) + face("mask_weared_incorrect", 25)
    table(folder / "annotations/m0.xml", f"<annotation><filename>m0.png</filename>{faces}</annotation>")
    image(folder / "images/m0.png")


EXPECTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "fairface": (fairface, "train_1 male 50-59 normal, train_2 female 70+ normal"),
    "utkface": (
        utkface,
        "26_1_2_20170116184024662_jpg_chip female 26 normal, 100_0_0_20170112213500903 male 100 normal",
    ),
    "all-age-faces": (all_age_faces, "07380A02 female 2 normal, 07381A65 male 65 normal"),
    "agedb": (
        agedb,
        "0_MariaCallas_35_f female 35 normal, 1_MariaCallas_40_f female 40 normal, 2_GlennClose_62_f female 62 normal",
    ),
    "imdb-clean": (imdb_clean, "02_nm0000002_rm1_1924-9-16_1991 female 67 normal"),
    "lagenda": (lagenda, "a-0 male 34.5 normal, a-1 female unknown normal"),
    "face-mask-detection": (
        face_mask_detection,
        "m0-0 unknown unknown mask1, m0-1 unknown unknown normal, m0-2 unknown unknown incorrect_mask",
    ),
}
"""What makes each data set, and the faces found in it: id, gender, age and name of the image."""


def rows_of(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.reader(opened))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_published_layout_becomes_a_competition_folder(name: str, tmp_path: Path) -> None:
    make, expected = EXPECTED[name]
    make(tmp_path / "source")
    main(Options(name, tmp_path / "source", tmp_path / "out"))  # type: ignore[arg-type]
    train = tmp_path / "out" / "train"
    found = [
        " ".join([*row[:3], *(file.stem for file in (train / "images" / row[3]).iterdir())])
        for row in rows_of(train / "train.csv")[1:]
    ]
    assert sorted(found) == sorted(expected.split(", "))
    assert json.loads((train / "SOURCE.json").read_text(encoding="utf-8"))["licence"] == DATASETS[name].licence


def test_every_data_set_is_tested() -> None:
    assert EXPECTED.keys() == DATASETS.keys()


def test_faces_of_one_person_are_paired(tmp_path: Path) -> None:
    agedb(tmp_path / "source")
    main(Options("agedb", tmp_path / "source", tmp_path / "out"))
    pairs = rows_of(tmp_path / "out/train/same_person.csv")
    assert pairs == [["id", "other"], ["0_MariaCallas_35_f", "1_MariaCallas_40_f"]]


def test_a_face_of_a_group_is_cut_out_with_a_margin_and_stays_within_the_image(tmp_path: Path) -> None:
    lagenda(tmp_path / "source")
    main(Options("lagenda", tmp_path / "source", tmp_path / "out"))
    sizes = [cv2.imread(str(tmp_path / f"out/train/images/{id}/normal.jpg")).shape[:2] for id in ("a-0", "a-1")]
    # Boxes of 10 pixels with 4 around them; the first lies in the corner of the image.
    assert sizes == [(14, 14), (18, 18)]


def test_a_missing_image_is_named_and_the_others_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fairface(tmp_path / "source")
    (tmp_path / "source/train/1.jpg").unlink()
    main(Options("fairface", tmp_path / "source", tmp_path / "out"))
    assert "1 face left out" in (told := capsys.readouterr().out)
    assert "train/1.jpg" in told
    assert [row[0] for row in rows_of(tmp_path / "out/train/train.csv")] == ["id", "train_2"]


def test_what_cannot_be_imported_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        main(Options("utkface", tmp_path / "nothing", tmp_path / "out"))
    with pytest.raises(UserError, match=r"fairface_label_\*\.csv"):
        main(Options("fairface", tmp_path, tmp_path / "out"))
    with pytest.raises(UserError, match="no labelled image"):
        main(Options("agedb", tmp_path, tmp_path / "out"))
    with pytest.raises(UserError, match="needs no import"):
        main(Options("boostcamp", tmp_path, tmp_path / "out"))
    (tmp_path / "out/train").mkdir(parents=True)
    with pytest.raises(UserError, match="exists"):
        main(Options("utkface", tmp_path, tmp_path / "out"))
