"""What the page shows and offers: words, messages, drawn copies and files."""

import csv
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_faces import bare, encode, files
from tiny_model import write_model

from shared.faces.image_io import MissingReaderError, UnusableImageError, decode
from shared.page.results import (
    Analysis,
    analyze,
    drawn_copies,
    message,
    percent,
    shown_copy,
    table,
    with_copies,
    write_files,
)
from shared.page.texts import ENGLISH, KOREAN
from shared.predictor import Age, Choice, Face, Photograph, Predictor
from shared.predictor.drawing import UNSURE


def face(mask: float = 0.7, width: float = 60.0) -> Face:
    return Face(
        box=(10.0, 20.0, 10 + width, 90.0),
        probability=1.0,
        landmarks=((0.0, 0.0),) * 5,
        mask=Choice("worn", {"worn": mask, "incorrect": 1 - mask, "none": 0.0}),
        gender=Choice("female", {"male": 0.25, "female": 0.75}),
        age=Age(33.4, 27.2, 41.0),
        band=Choice("30-59", {"<30": 0.3, "30-59": 0.6, ">=60": 0.1}),
        class_number=4,
        class_probabilities=(1 / 18,) * 18,
    )


def analysis(*faces: Face, name: str = "a.jpg", **values: object) -> Analysis:
    return Analysis(replace(Photograph(name, 100, 100, faces), **values), Path(name))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(write_model(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.fixture
def analyses(predictor: Predictor, tmp_path: Path) -> list[Analysis]:
    """A portrait, a broken file, and a portrait with the first one's name without its suffix."""
    contents = {"a.jpg": files()[0], "broken.jpg": b"no image", "a.png": encode(bare().pixels, "PNG")}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return with_copies([analyze(predictor, tmp_path / name, name) for name in contents])


def test_every_face_has_a_row_with_its_predictions() -> None:
    found = table([analysis(face(), face(0.6)), analysis(face(), name="b.jpg")], 0.0, ENGLISH)
    rows = [
        ["1", "mask worn 70 %", "female 75 %", "33 (27-41)", "30 to 59 60 %", "4", "a.jpg"],
        ["2", "mask worn 60 %", "female 75 %", "33 (27-41)", "30 to 59 60 %", "4", "a.jpg"],
        ["1", "mask worn 70 %", "female 75 %", "33 (27-41)", "30 to 59 60 %", "4", "b.jpg"],
    ]
    assert found["data"] == rows
    assert len(found["headers"]) == len(rows[0])


def test_a_prediction_below_the_threshold_is_unsure_and_so_is_its_class() -> None:
    (row,) = table([analysis(face())], 0.7, KOREAN)["data"]
    assert row == ["1", "착용 70 %", "여성 75 %", "33 (27-41)", "불확실 60 %", "불확실", "a.jpg"]


@pytest.mark.parametrize(("threshold", "unsure"), [(0.5, False), (0.9, True)])
def test_an_unsure_mask_has_a_box_of_its_own_colour(threshold: float, unsure: bool) -> None:
    drawn = shown_copy(np.zeros((100, 100, 3), np.uint8), analysis(face()).photograph, threshold)
    assert (drawn == UNSURE).all(axis=2).any() == unsure


def test_a_small_face_has_only_its_number() -> None:
    inks = [
        (shown_copy(np.zeros((800, 800, 3), np.uint8), replace(shown.photograph, width=800, height=800), 0.0) > 0)
        .any(axis=2)[100:]
        .sum()
        for shown in (analysis(face(width=150)), analysis(face(width=60)))
    ]
    assert inks[1] * 3 < inks[0]


@pytest.mark.parametrize(
    ("probability", "words"), [(1.0, "> 99 %"), (0.9949, "99 %"), (0.5, "50 %"), (0.0051, "1 %"), (0.0, "< 1 %")]
)
def test_no_probability_is_certain(probability: float, words: str) -> None:
    assert percent(probability) == words


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (analysis(face(), face()), "Faces: 2. Photographs: 1."),
        (analysis(), "a.jpg: no face was found"),
        (analysis(face(), turned=90), "turned by 90 degrees"),
        (analysis(face(), face(width=40)), "faces 2 are less than 48 pixels wide"),
        (analysis(face(), remarks=("truncated: a part of the image is missing",)), "a part of the image is missing"),
        (analysis(problem="truncated"), "a.jpg is incomplete"),
        (analysis(problem="too large: 1 x 1 pixels"), "a.jpg cannot be used: too large"),
        (
            replace(analysis(problem="HEIC: pip"), error=MissingReaderError("HEIC", "pip install x")),
            "The page cannot read HEIC. Please save a.jpg as JPEG",
        ),
        (replace(analysis(problem="empty file"), error=UnusableImageError("empty file")), "a.jpg is empty"),
    ],
)
def test_the_message_counts_faces_and_says_what_is_wrong(shown: Analysis, words: str) -> None:
    assert words in message([shown], ENGLISH)
    assert len(message([shown], KOREAN).splitlines()) == len(message([shown], ENGLISH).splitlines())


def test_the_files_hold_what_predict_writes(analyses: list[Analysis], predictor: Predictor, tmp_path: Path) -> None:
    csv_file, json_file = write_files(tmp_path, analyses)
    rows = list(csv.DictReader(io.StringIO(Path(csv_file).read_text(encoding="utf-8"))))
    assert [row["source"] for row in rows] == ["a.jpg", "broken.jpg", "a.png"]
    assert rows[1]["problem"] == "not an image"
    photographs = json.loads(Path(json_file).read_text(encoding="utf-8"))
    (expected,) = predictor(files()[0])
    assert photographs[0]["faces"] == expected.to_dict()["faces"]


def test_the_archive_has_a_copy_of_every_readable_photograph(analyses: list[Analysis]) -> None:
    shown, content = drawn_copies(analyses, 0.5)
    assert [name for _, name in shown] == ["a.jpg", "a.png"]
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.namelist() == [analyses[0].photograph.drawn, analyses[2].photograph.drawn] == ["a.jpg", "a-2.jpg"]
    assert decode(archive.read("a-2.jpg")).pixels.shape == bare().pixels.shape


def test_a_deleted_upload_is_an_error_that_the_page_can_name(analyses: list[Analysis]) -> None:
    analyses[0].path.unlink()
    with pytest.raises(FileNotFoundError):
        drawn_copies(analyses, 0.5)
