"""`Predictor`: for a portrait the same predictions as the commands give, and more faces in a group."""

import doctest
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn_faces import bare, broken_files, encode, files, portraits
from tiny_competition import write_csv
from tiny_model import SPECIALISTS, write_fold, write_model

import combine
from shared.crops import Window, open_crops
from shared.faces.mtcnn import Faces
from shared.fusion.fusion import SPECIALISTS as CLASSES
from shared.fusion.predictions import read_predictions
from shared.labels import decode_class
from shared.messages import UserError
from shared.predictor import Face, Photograph, Predictor, detect, drawing, predictor, results
from shared.predictor.detect import turn
from shared.predictor.ensemble import FoldNetwork, SpecialistEnsemble, predict_batch
from shared.training.inference import predict
from shared.training.options import PredictOptions


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "outputs", folds=2)


@pytest.fixture(scope="module")
def predict_faces(model: Path) -> Predictor:
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


def test_a_portrait_gets_the_predictions_of_the_three_predict_commands_and_combine(
    model: Path, predict_faces: Predictor, tmp_path: Path
) -> None:
    names = [f"{number}.jpg" for number in range(0, len(files()), 3)]
    data = tmp_path / "eval"
    write_csv(data / "info.csv", ("ImageID", "ans"), [{"ImageID": name, "ans": 0} for name in names])
    (data / "images").mkdir()
    for name in names:
        (data / "images" / name).write_bytes(files()[int(name.removesuffix(".jpg"))])
    crops, out = tmp_path / "crops", tmp_path / "submission.csv"
    for specialist in SPECIALISTS:
        predict(specialist, PredictOptions(data, crops, model / specialist.name, device="cpu", workers=0))
    combine.main(combine.Options(out, data, *((model / task,) for task in CLASSES)))
    submitted = pd.read_csv(out).set_index("ImageID")["ans"]

    detected = predict_faces.detect([data / "images" / name for name in names])
    stored_crops = open_crops(crops)
    for name, photograph in zip(names, detected, strict=True):
        assert len(photograph.faces) == 1
        assert np.array_equal(photograph.faces[0].crop, stored_crops.read(name))
    probabilities = predict_faces.probabilities([photograph.faces[0].crop for photograph in detected])
    for specialist in SPECIALISTS:
        stored = read_predictions(model / specialist.name / "eval.csv", specialist.classes).loc[names]
        own = specialist.columns(probabilities[specialist.name].mean(axis=0))
        np.testing.assert_allclose(own, stored[own.columns], atol=2e-6)
    faces = [photograph.faces[0] for photograph in predict_faces.predict(detected)]
    assert [face.class_number for face in faces] == submitted.loc[names].tolist()
    ages = read_predictions(model / "age" / "eval.csv", CLASSES["age"]).loc[names, "age"]
    np.testing.assert_allclose([face.age.years for face in faces], ages, atol=1e-3)


def test_the_predictions_of_a_face_agree_with_each_other(predict_faces: Predictor) -> None:
    face = predict_faces([bare().pixels])[0].faces[0]
    parts = zip((face.mask, face.gender, face.band), CLASSES.values(), decode_class(face.class_number), strict=True)
    for choice, names, index in parts:
        assert choice.name == names[index]
        assert sum(choice.probabilities.values()) == pytest.approx(1)
    assert face.age.low <= face.age.years <= face.age.high
    assert sum(face.class_probabilities) == pytest.approx(1)
    product = face.mask.probability * face.gender.probability * face.band.probability
    assert face.class_probabilities[face.class_number] == pytest.approx(product)


def test_every_face_of_a_group_is_found_in_reading_order_with_one_main_face(predict_faces: Predictor) -> None:
    widths = (190, 384, 240, 150)
    (photograph,), (portrait,) = (predict_faces([group(widths)], faces) for faces in ("all", "main"))
    middles = [(face.box[0] + face.box[2]) / 2 for face in photograph.faces]
    assert (np.searchsorted(np.cumsum((0, *widths)), middles) - 1).tolist() == [0, 1, 2, 3]
    assert [face.main for face in photograph.faces] == [False, True, False, False]
    (main,) = portrait.faces
    assert_alike(main, photograph.faces[1])


def test_small_faces_of_a_large_photograph_are_found_though_portraits_are_decoded_at_reduced_size(
    predict_faces: Predictor,
) -> None:
    # 3600 x 2400 pixels, faces of some 60: at the size that the crop stage decodes they have 15.
    scene = np.full((2400, 3600, 3), 128, np.uint8)
    row = group((140,) * 8, height=187)
    scene[1200 : 1200 + row.shape[0], 400 : 400 + row.shape[1]] = row
    (photograph,) = predict_faces.detect([encode(scene, quality=92)])
    assert (photograph.width, photograph.height) == (3600, 2400)
    columns = sorted(int(((face.box[0] + face.box[2]) / 2 - 400) // 140) for face in photograph.faces)
    assert columns == list(range(8))
    assert all(40 < face.box[2] - face.box[0] < 110 for face in photograph.faces)


def test_a_doubtful_face_is_accepted_if_it_is_about_as_large_as_the_main_one(
    predict_faces: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.pad(bare().pixels, ((0, 0), (0, 1200), (0, 0)), constant_values=128)
    main = predict_faces.detect([pixels], "main")[0].faces[0]
    wide = main.box[2] - main.box[0]

    def place(left: float, size: float) -> tuple[np.ndarray, np.ndarray]:
        box = np.array([left, 100, left + size * wide, 100 + size * wide])
        return box, box[:2] + size * wide * np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])

    seen = [(600, 1.0, 0.75), (900, 0.3, 0.75), (1200, 0.3, 0.95), (1400, 1.0, 0.75)]
    boxes, landmarks = zip(*(place(left, size) for left, size, _ in seen), strict=True)
    faces = Faces(np.stack(boxes), np.array([probability for *_, probability in seen]), np.stack(landmarks))
    monkeypatch.setattr(detect, "detect", lambda *_: [faces])
    others = [face for face in predict_faces.detect([pixels])[0].faces if not face.main]
    assert [round(face.box[0]) for face in others] == [600, 1200, 1400]


def test_a_portrait_has_no_second_face(predict_faces: Predictor) -> None:
    detected = predict_faces.detect([portrait.pixels for portrait in portraits()])
    assert [len(photograph.faces) for photograph in detected] == [1] * len(portraits())


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_a_photograph_on_its_side_or_upside_down_is_turned_and_the_turn_reported(
    predict_faces: Predictor, clockwise: int
) -> None:
    upright = [portrait.pixels for portrait in portraits()]
    photographs = predict_faces([turn(pixels, 360 - clockwise) for pixels in upright])
    righted = [number for number, photograph in enumerate(photographs) if photograph.turned == clockwise]
    assert len(righted) >= 0.75 * len(upright)
    expected = predict_faces(upright)
    assert all(photograph.turned == 0 for photograph in expected)
    for number in righted:
        assert "turned" in photographs[number].remarks[0]
        assert photographs[number].to_dict()["upright"] is False
        assert (photographs[number].width, photographs[number].height) == (384, 512)
        assert_alike(photographs[number].faces[0], expected[number].faces[0])


def test_small_faces_get_a_remark(predict_faces: Predictor) -> None:
    (photograph,) = predict_faces.detect([group((190, 384, 80))])
    widths = [face.box[2] - face.box[0] for face in photograph.faces]
    assert widths[0] > 48 > widths[2]
    assert photograph.remarks == ("face 3 is less than 48 pixels wide: predictions are unreliable",)


def test_a_fingerprint_identifies_weights_and_decisions(model: Path, predict_faces: Predictor, tmp_path: Path) -> None:
    assert predict_faces.name == model.name
    shutil.copytree(model, tmp_path / "copy")
    assert Predictor.load(tmp_path / "copy", device="cpu").fingerprint == predict_faces.fingerprint
    write_fold(tmp_path / "copy/age/fold1", "age", 7)
    assert Predictor.load(tmp_path / "copy", device="cpu").fingerprint != predict_faces.fingerprint


def test_path_content_and_pixels_get_the_same_prediction(predict_faces: Predictor, tmp_path: Path) -> None:
    content = encode(bare().pixels, "PNG")
    path = tmp_path / "portrait.png"
    path.write_bytes(content)
    photographs = predict_faces([path, str(path), content, bare().pixels])
    assert [photograph.source for photograph in photographs] == [str(path), str(path), "bytes", "pixels"]
    for photograph in (*photographs, *predict_faces(path)):
        (face,) = photograph.faces
        assert_alike(face, photographs[0].faces[0])


def test_a_source_that_cannot_be_read_gets_a_problem_and_the_rest_predictions(
    predict_faces: Predictor, tmp_path: Path
) -> None:
    broken = broken_files()
    images = [*(data for data, _ in broken.values()), tmp_path / "gone.jpg", np.zeros((5, 5), np.uint8), files()[0]]
    *bad, good = predict_faces(images)
    reasons = [*(reason for _, reason in broken.values()), "no such file", "not RGB pixels"]
    for photograph, reason in zip(bad, reasons, strict=True):
        assert reason in (photograph.problem or "")
        assert photograph.faces == ()
    assert good.problem is None
    assert len(good.faces) == 1


def test_a_photograph_without_a_face_has_none(predict_faces: Predictor) -> None:
    nobody = Photograph("pixels", 400, 300, (), model=predict_faces.description)
    assert predict_faces([np.full((300, 400, 3), 90, np.uint8)]) == [nobody]
    assert predict_faces([]) == []


def test_predictions_are_plain_values_for_json(predict_faces: Predictor) -> None:
    photograph = predict_faces([bare().pixels])[0]
    face, expected = json.loads(json.dumps(photograph.to_dict()))["faces"][0], photograph.faces[0]
    assert face["class"] == expected.class_number
    assert face["box"] == pytest.approx(expected.box, abs=0.06)
    assert face["mask"]["probabilities"] == pytest.approx(expected.mask.probabilities, abs=1e-4)
    assert (len(face["class_probabilities"]), len(face["landmarks"])) == (18, 5)


def test_batches_of_any_size_give_the_same_probabilities(predict_faces: Predictor) -> None:
    crops = [face.crop for photograph in predict_faces.detect([group((300, 384, 300))]) for face in photograph.faces]
    single = replace(predict_faces, batch_size=1).probabilities(crops)
    for task, probabilities in predict_faces.probabilities(crops).items():
        np.testing.assert_allclose(single[task], probabilities, atol=1e-6)


def test_a_network_that_specialists_share_runs_once_and_each_reads_its_own_outputs() -> None:
    seen: list[np.ndarray] = []

    def logits(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return np.tile(np.log(np.array([1, 3, 1, 4], np.float32)), (len(images), 1))

    heads = {"mask": (0, 2), "gender": (2, 4)}
    shared = {
        task: SpecialistEnsemble(((FoldNetwork(Window(), 32, logits, "", head=head),),), ("flip",))
        for task, head in heads.items()
    }
    crop = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    found = predict_batch(shared, [crop, crop])
    assert len(seen) == 2, "one run for each view"
    assert np.array_equal(seen[0], seen[1][:, :, ::-1])
    np.testing.assert_allclose(found["mask"], [[[0.25, 0.75]] * 2], atol=1e-6)
    np.testing.assert_allclose(found["gender"], [[[0.2, 0.8]] * 2], atol=1e-6)


def test_without_a_model_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist.*shared\.bundle.*pipelines\.mask\.train"):
        Predictor.load(tmp_path / "gone.zip")
    with pytest.raises(UserError, match=r"holds no trained mask and no gender and no age.*pipelines\.mask\.train"):
        Predictor.load(tmp_path)


def test_examples_in_docstrings_run(model: Path, tmp_path: Path) -> None:
    portrait = tmp_path / "portrait.png"
    portrait.write_bytes(encode(bare().pixels, "PNG"))
    names = {"model": model, "portrait": portrait, "Predictor": Predictor, "np": np}
    examples = 0
    for module in (detect, drawing, predictor, results):
        for test in doctest.DocTestFinder().find(module, globs={**vars(module), **names}):
            outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
            assert outcome.failed == 0, test.name
            examples += outcome.attempted
    assert examples > 10
