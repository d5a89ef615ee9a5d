"""Answers for any photograph: the same as the commands give for a portrait, and more where there are more faces."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn_faces import bare, broken_files, encode, files, portraits
from tiny_competition import write_csv
from tiny_model import SPECIALISTS, write_model

import combine
from shared.crops import open_crops
from shared.faces.mtcnn import Faces
from shared.fusion.fusion import SPECIALISTS as CLASSES
from shared.fusion.predictions import read_predictions
from shared.labels import decode_class
from shared.messages import UserError
from shared.predictor import Face, Photograph, Predictor
from shared.predictor import detect as finding
from shared.training.inference import predict
from shared.training.options import PredictOptions


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "outputs", folds=2)


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor.load(model, device="cpu")


def group(widths: tuple[int, ...], height: int = 512) -> np.ndarray:
    """Portraits of different persons and masks side by side on grey, each so wide, standing on the ground."""
    parts = []
    for number, width in enumerate(widths):
        portrait = portraits()[(5 * number) % len(portraits())].pixels
        small = cv2.resize(portrait, (width, width * 4 // 3), interpolation=cv2.INTER_AREA)
        parts.append(np.pad(small, ((height - len(small), 0), (0, 0), (0, 0)), constant_values=128))
    return np.hstack(parts)


def assert_alike(face: Face, other: Face) -> None:
    """The same face; sums of floats depend on how many go through a network together."""
    assert face.class_number == other.class_number
    assert face.box == pytest.approx(other.box, abs=0.05)
    assert np.array(face.landmarks) == pytest.approx(np.array(other.landmarks), abs=0.05)
    assert face.class_probabilities == pytest.approx(other.class_probabilities, abs=1e-5)
    assert face.age.years == pytest.approx(other.age.years, abs=1e-3)


def test_a_portrait_gets_what_the_three_predict_commands_and_combine_answer(
    model: Path, predictor: Predictor, tmp_path: Path
) -> None:
    names = [f"{number}.jpg" for number in range(0, len(files()), 3)]
    data = tmp_path / "eval"
    write_csv(data / "info.csv", ("ImageID", "ans"), [{"ImageID": name, "ans": 0} for name in names])
    (data / "images").mkdir()
    for name in names:
        (data / "images" / name).write_bytes(files()[int(name.removesuffix(".jpg"))])
    crops, out = tmp_path / "crops", tmp_path / "submission.csv"
    for specialist in SPECIALISTS:
        run = model / specialist.name
        predict(specialist, PredictOptions(data, crops, run, device="cpu", workers=0))
    combine.main(combine.Options(out, data, *((model / task,) for task in CLASSES)))
    submitted = pd.read_csv(out).set_index("ImageID")["ans"]

    found = predictor.detect([data / "images" / name for name in names])
    cut = open_crops(crops)
    for name, photograph in zip(names, found, strict=True):
        assert len(photograph.faces) == 1
        assert np.array_equal(photograph.faces[0].crop, cut.read(name))
    said = predictor.probabilities([photograph.faces[0].crop for photograph in found])
    for specialist in SPECIALISTS:
        stored = read_predictions(model / specialist.name / "eval.csv", specialist.classes).loc[names]
        own = specialist.columns(said[specialist.name])
        np.testing.assert_allclose(own, stored[own.columns], atol=2e-6)
    answers = predictor.predict(found)
    assert [photograph.faces[0].class_number for photograph in answers] == submitted.loc[names].tolist()
    ages = read_predictions(model / "age" / "eval.csv", CLASSES["age"]).loc[names, "age"]
    np.testing.assert_allclose([photograph.faces[0].age.years for photograph in answers], ages, atol=1e-3)


def test_a_face_is_answered_for_in_one_voice(predictor: Predictor) -> None:
    face = predictor([bare().pixels])[0].faces[0]
    mask, gender, band = decode_class(face.class_number)
    assert face.mask.name == CLASSES["mask"][mask]
    assert face.gender.name == CLASSES["gender"][gender]
    assert face.band.name == CLASSES["age"][band]
    assert face.age.low <= face.age.years <= face.age.high
    assert sum(face.class_probabilities) == pytest.approx(1)
    for choice in (face.mask, face.gender, face.band):
        assert sum(choice.probabilities.values()) == pytest.approx(1)
    product = face.mask.probability * face.gender.probability * face.band.probability
    assert face.class_probabilities[face.class_number] == pytest.approx(product)


def test_every_face_of_a_group_is_found_the_main_one_first_then_from_left_to_right(predictor: Predictor) -> None:
    widths = (190, 384, 240, 150)
    photograph = predictor([group(widths)])[0]
    places = [(face.box[0] + face.box[2]) / 2 for face in photograph.faces]
    edges = np.cumsum((0, *widths))
    standing = np.searchsorted(edges, places) - 1
    assert standing.tolist() == [1, 0, 2, 3]


def test_small_faces_of_a_large_photograph_are_found_though_portraits_are_decoded_at_reduced_size(
    predictor: Predictor,
) -> None:
    # 3600 x 2400 pixels, faces of some 60: at the size that the crop stage decodes they have 15.
    scene = np.full((2400, 3600, 3), 128, np.uint8)
    row = group((140,) * 8, height=187)
    scene[1200 : 1200 + row.shape[0], 400 : 400 + row.shape[1]] = row
    photograph = predictor([encode(scene, quality=92)])[0]
    assert (photograph.width, photograph.height) == (3600, 2400)
    columns = sorted(int(((face.box[0] + face.box[2]) / 2 - 400) // 140) for face in photograph.faces)
    assert columns == list(range(8))
    assert all(40 < face.box[2] - face.box[0] < 110 for face in photograph.faces)


def test_a_doubtful_face_is_believed_where_it_is_about_as_large_as_the_main_one(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.pad(bare().pixels, ((0, 0), (0, 1200), (0, 0)), constant_values=128)
    main = predictor.detect([pixels], "main")[0].faces[0]
    wide = main.box[2] - main.box[0]

    def place(left: float, size: float) -> tuple[np.ndarray, np.ndarray]:
        box = np.array([left, 100, left + size * wide, 100 + size * wide])
        return box, box[:2] + size * wide * np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])

    seen = [(600, 1.0, 0.75), (900, 0.3, 0.75), (1200, 0.3, 0.95), (1400, 1.0, 0.75)]
    boxes, landmarks = zip(*(place(left, size) for left, size, _ in seen), strict=True)
    faces = Faces(np.stack(boxes), np.array([probability for *_, probability in seen]), np.stack(landmarks))
    monkeypatch.setattr(finding, "detect", lambda *_: [faces])
    others = predictor.detect([pixels])[0].faces[1:]
    assert [round(face.box[0]) for face in others] == [600, 1200, 1400]


def test_asked_for_the_main_face_alone_it_gives_the_same_face(predictor: Predictor) -> None:
    pixels = group((190, 384))
    every, main = predictor([pixels])[0], predictor([pixels], faces="main")[0]
    assert len(every.faces) == 2
    (face,) = main.faces
    assert_alike(face, every.faces[0])


def test_a_portrait_has_no_face_besides_its_own(predictor: Predictor) -> None:
    found = predictor.detect([portrait.pixels for portrait in portraits()])
    assert [len(photograph.faces) for photograph in found] == [1] * len(portraits())


def test_path_bytes_and_pixels_get_the_same_answer(predictor: Predictor, tmp_path: Path) -> None:
    data = encode(bare().pixels, "PNG")
    path = tmp_path / "portrait.png"
    path.write_bytes(data)
    answers = predictor([path, str(path), data, bare().pixels])
    assert [answer.source for answer in answers] == [str(path), str(path), "bytes", "pixels"]
    for answer in (*answers, *predictor(path)):
        (face,) = answer.faces
        assert_alike(face, answers[0].faces[0])


def test_what_cannot_be_read_is_told_and_the_rest_answered(predictor: Predictor, tmp_path: Path) -> None:
    broken = broken_files()
    images = [*(data for data, _ in broken.values()), tmp_path / "gone.jpg", np.zeros((5, 5), np.uint8), files()[0]]
    *bad, good = predictor(images)
    reasons = [*(reason for _, reason in broken.values()), "no such file", "not RGB pixels"]
    for photograph, reason in zip(bad, reasons, strict=True):
        assert photograph.problem is not None
        assert reason in photograph.problem
        assert photograph.faces == ()
    assert good.problem is None
    assert len(good.faces) == 1


def test_a_photograph_without_a_face_has_none(predictor: Predictor) -> None:
    assert predictor([np.full((300, 400, 3), 90, np.uint8)]) == [Photograph("pixels", 400, 300, ())]
    assert predictor([]) == []


def test_answers_are_plain_values_for_json(predictor: Predictor) -> None:
    photograph = predictor([bare().pixels])[0]
    told = json.loads(json.dumps(photograph.to_dict()))
    face = told["faces"][0]
    assert face["class"] == photograph.faces[0].class_number
    assert face["box"] == pytest.approx(photograph.faces[0].box, abs=0.06)
    assert face["mask"]["probabilities"] == pytest.approx(photograph.faces[0].mask.probabilities, abs=1e-4)
    assert len(face["class_probabilities"]) == 18
    assert len(face["landmarks"]) == 5


def test_many_faces_are_answered_for_in_batches_as_one_by_one(predictor: Predictor, model: Path) -> None:
    crops = [face.crop for found in predictor.detect([group((300, 384, 300))]) for face in found.faces]
    small = Predictor.load(model, device="cpu", batch_size=1)
    for task, said in predictor.probabilities(crops).items():
        np.testing.assert_allclose(small.probabilities(crops)[task], said, atol=1e-6)


def test_without_a_model_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist.*shared\.bundle.*make demo"):
        Predictor.load(tmp_path / "gone.zip")
    with pytest.raises(UserError, match=r"holds no trained mask and no gender and no age.*pipelines\.mask\.train"):
        Predictor.load(tmp_path)
