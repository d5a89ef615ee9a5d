"""A student of all three specialists: one network, trained without the persons it is scored on."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from drawn_faces import files
from tiny_model import entries
from tiny_training import FLAGS, write_data

from pipelines.age.specialist import AGE
from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared import student
from shared.bundle import Options, main
from shared.bundle_source import MANIFEST
from shared.faces.alignment import RECIPE
from shared.fusion.predictions import HeldOut
from shared.messages import UserError
from shared.predictor import Predictor
from shared.predictor.bundle_file import CARD, DETECTOR_FILES, onnx_name
from shared.training.fit import FoldTraining
from shared.training.options import TrainOptions
from shared.training.run import train
from shared.training.run_folder import CheckpointMetadata
from shared.training.sampling import FoldData, prepare_fold


class Made(NamedTuple):
    """A bundle of a student of runs with two folds, and the data that it was trained on."""

    options: Options
    seen: FoldData


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("student")
    write_data(folder, recipe=RECIPE.id)
    runs = TrainOptions.of(data=folder / "data", crops=folder / "crops", **{**FLAGS, "only_fold": None})
    for specialist in (MASK, GENDER, AGE):
        train(specialist, runs.with_values(outputs=folder / "runs" / specialist.name, predict_eval=False))
    caught: list[FoldData] = []

    def spy(*arguments: Any) -> FoldData:
        caught.append(prepare_fold(*arguments))
        return caught[-1]

    options = Options(folder / "quick.zip", folder / "runs", crops=folder / "crops", student=True, size=32, epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(student, "prepare_fold", spy)
        main(replace(options, onnx=True))
    return Made(options, *caught)


def test_one_network_answers_for_all_three_specialists(made: Made) -> None:
    content = entries(made.options.out)
    assert set(content) == {MANIFEST, CARD, student.NAME, onnx_name(student.NAME), *DETECTOR_FILES}
    by_torch, by_onnx = (Predictor.load(made.options.out, runtime=runtime) for runtime in ("torch", "onnx"))
    (photograph,) = by_torch(files()[:1])
    for face in photograph.faces:
        assert (sum(face.mask.probabilities.values()), sum(face.gender.probabilities.values())) == pytest.approx((1, 1))
        assert face.age.low <= face.age.years <= face.age.high
    assert photograph.faces
    crops = [np.asarray(made.seen.held_out.crops.read(image)) for image in made.seen.held_out.crops.index.index[:3]]
    for task, expected in by_torch.probabilities(crops).items():
        np.testing.assert_allclose(by_onnx.probabilities(crops)[task], expected, atol=1e-4)


def test_held_out_persons_are_in_no_batch_of_the_training(made: Made) -> None:
    folds = pd.read_csv(made.options.model / "mask/oof.csv").set_index("image")["fold"]
    images = made.seen.train.crops.index.index
    drawn = {images[draw.row] for epoch in range(3) for draw in made.seen.sampler}
    assert set(folds[list(drawn)]) == {1}
    assert set(folds[made.seen.held_out.crops.index.index]) == {0}


def test_card_and_terminal_show_the_student_beside_its_teachers(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(replace(made.options, out=tmp_path / "plain.zip"))
    printed, card = capsys.readouterr().out, entries(tmp_path / "plain.zip")[CARD].decode()
    for score in (
        "all 18 classes, macro F1",
        "mask, macro F1",
        "gender, macro F1",
        "age, macro F1",
        "age error in years",
    ):
        assert score in printed
        assert f"{score}, on 6 persons held out from all of them: student " in card
    assert "Scored on 18 images of 6 persons" in card


def test_a_finished_student_is_not_trained_again_and_needs_no_network_of_another_fold(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FoldTraining, "run", lambda *_: pytest.fail("trained again"))
    runs = shutil.copytree(made.options.model, tmp_path / "runs")
    for weights in runs.glob("*/fold1/weights.safetensors"):
        weights.write_bytes(b"broken")
    main(replace(made.options, model=runs, out=tmp_path / "again.zip"))
    assert entries(tmp_path / "again.zip")[student.NAME] == entries(made.options.out)[student.NAME]


class TrainedError(Exception):
    """Raised in place of a training."""


@pytest.mark.parametrize("lost", [True, False], ids=["no weights", "another size"])
def test_a_student_is_trained_again_if_its_weights_are_missing_and_replaced_with_a_note_if_it_is_another(
    lost: bool, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def instead(*_: object) -> None:
        raise TrainedError

    monkeypatch.setattr(FoldTraining, "run", instead)
    runs = shutil.copytree(made.options.model, tmp_path / "runs")
    if lost:
        (runs / "student/fold0/weights.safetensors").unlink()
    with pytest.raises(TrainedError):
        main(replace(made.options, model=runs, size=32 if lost else 48, out=tmp_path / "again.zip"))
    assert ("held a student of other options" in capsys.readouterr().err) != lost


def test_a_bundle_is_not_written_into_the_folder_of_the_student(made: Made, tmp_path: Path) -> None:
    runs = shutil.copytree(made.options.model, tmp_path / "runs", ignore=shutil.ignore_patterns("student"))
    with pytest.raises(UserError, match="student would overwrite its input"):
        main(replace(made.options, model=runs, out=runs / "student"))
    assert not (runs / "student").exists()


def test_an_input_that_no_bundle_may_have_is_refused_before_the_training(made: Made) -> None:
    with pytest.raises(UserError, match="--size must be at most 1024 pixels, not 2000"):
        main(replace(made.options, size=2000))


def without_fold(number: int) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        shutil.rmtree(folder / f"runs/age/fold{number}")
        oof = pd.read_csv(folder / "runs/age/oof.csv", dtype={"person": str})
        oof[oof["fold"] != number].to_csv(folder / "runs/age/oof.csv", index=False)

    return remove


def repaint(folder: Path) -> None:
    """Give every crop the pixels of the first."""
    first, *others = sorted((folder / "crops/train").glob("*.jpg"))
    for file in others:
        shutil.copyfile(first, file)
    shutil.rmtree(folder / "crops/train/features", ignore_errors=True)


def make_corn(folder: Path) -> None:
    """Make the header of a network say that it was trained with --loss corn."""
    file = folder / "runs/age/fold0/weights.safetensors"
    file.write_bytes(file.read_bytes().replace(b"softmax", b"cornmax"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (make_corn, "age/fold0/weights.safetensors is not .* only runs of --loss years"),
        (lambda folder: shutil.rmtree(folder / "crops/train"), "do not exist. Make the crops with"),
        (without_fold(0), r"needs fold 0 and oof.csv of .*age: train them with python -m pipelines.age.train"),
        (without_fold(1), "only fold 0: train all folds"),
        (lambda folder: (folder / "runs/mask/oof.csv").unlink(), "needs fold 0 and oof.csv of .*mask"),
        (repaint, "are not the crops that the mask runs were trained on"),
    ],
    ids=["corn", "no crops", "no fold 0", "fold 0 alone", "no oof.csv", "other crops"],
)
def test_runs_that_a_student_cannot_learn_from_are_refused(
    made: Made, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    for name in ("runs", "crops"):
        shutil.copytree(made.options.model.parent / name, tmp_path / name)
    change(tmp_path)
    with pytest.raises(UserError, match=message):
        main(replace(made.options, model=tmp_path / "runs", crops=tmp_path / "crops", out=tmp_path / "out.zip"))
    assert not (tmp_path / "out.zip").exists()


def test_a_missing_ready_made_model_is_named(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student, "READY_MADE", tmp_path / "ready.zip")
    with pytest.raises(UserError, match=r"ready.zip, which is missing: install face18 again"):
        main(made.options)


def test_targets_are_half_the_label_and_half_the_teachers() -> None:
    images = ["exact", "60 or older", "band alone"]
    ages = pd.DataFrame({"true_age": [20.0, 60.0, np.nan], "top_coded": [0.0, 1.0, 0.0]}, index=images)
    truth = {"mask": np.array([0, 1, 2]), "gender": np.array([0, 0, 1]), "age": np.array([0, 2, 1])}
    held_out = HeldOut({"age": ages}, truth, pd.Series(images, images), pd.Series(1, images))
    teachers = {"mask": np.full((3, 3), 1 / 3), "gender": np.full((3, 2), 0.5), "age": np.full((3, 101), 1 / 101)}
    heads = {"mask": [0, 3], "gender": [3, 5], "age": [5, 106]}
    metadata = CheckpointMetadata("all", [], {}, "", 106, 32, "", heads=heads)
    mask, gender, age = np.split(student.soft_targets(held_out, teachers, metadata), [3, 5], axis=1)
    assert mask.tolist() == np.eye(3).tolist()
    assert gender.tolist() == [[0.75, 0.25], [0.75, 0.25], [0.25, 0.75]]
    assert age.sum(1) == pytest.approx(np.ones(3), abs=1e-5)
    assert age[0].argmax() == 20
    for row, years in ((1, range(60, 101)), (2, range(30, 60))):
        inside = np.isin(np.arange(101), years)
        assert age[row][~inside] == pytest.approx(0.5 / 101)
        assert age[row][inside] == pytest.approx(0.5 / 101 + 0.5 / len(years))
