"""Where a training starts from, and a head on a frozen body whose features are computed once."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from drawn_faces import portraits
from sklearn.linear_model import LogisticRegression
from tiny_model import shipped_detector
from tiny_training import FLAGS, write_data

from pipelines.age.options import DEFAULTS as AGE_DEFAULTS
from pipelines.age.specialist import AGE
from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared import bundle
from shared.faces.alignment import RECIPE
from shared.labels import IMAGE_KINDS
from shared.messages import UserError
from shared.predictor import Predictor
from shared.specialist import Specialist
from shared.training import frozen
from shared.training.model import Features, Network, load_weights
from shared.training.options import TrainOptions
from shared.training.run import labelled_crops, train
from shared.training.start import read_start
from shared.training.tta import View, ensemble_probabilities

READY_FLAGS = {name: value for name, value in FLAGS.items() if name not in ("backbone", "pretrained", "size")}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, 12, IMAGE_KINDS, recipe=RECIPE.id)
    return folder


@pytest.fixture
def ready(data: Path, tmp_path: Path) -> TrainOptions:
    """Options of the plain command, on an input so small that it takes seconds."""
    return TrainOptions.of(
        data=data / "data", crops=data / "crops", outputs=tmp_path / "run", **{**READY_FLAGS, "size": 48}
    )


@pytest.fixture
def tiny(ready: TrainOptions) -> TrainOptions:
    """A frozen head on the smallest network, with random weights."""
    return ready.with_values(**{**FLAGS, "only_fold": None, "freeze": "body"})


def seen_by(network: Network, images: torch.Tensor, view: View) -> torch.Tensor:
    """Probabilities (B, K) of images in a view."""
    return network(view.of(images)).softmax(1)


def forbid(*_: object) -> None:
    raise AssertionError("not to be called")


@pytest.mark.parametrize("specialist", [MASK, GENDER, AGE], ids=lambda specialist: specialist.name)
def test_the_plain_command_trains_a_head_on_the_ready_made_model(ready: TrainOptions, specialist: Specialist) -> None:
    train(specialist, ready)
    state = load_weights(ready.run.outputs / "fold0/weights.safetensors").state_dict()
    start = read_start("ready", specialist).state
    body = [name for name in state if "classifier" not in name]
    assert len(body) > 20
    assert all(torch.equal(state[name], start[name]) for name in body)


def test_a_start_says_what_it_was_trained_on() -> None:
    sources = {each["source"]: each["licence"] for each in read_start("ready", GENDER).sources}
    assert sources["fairface"] == "CC BY 4.0"


def test_without_freezing_the_head_of_the_same_specialist_is_taken_over(ready: TrainOptions) -> None:
    train(GENDER, ready.with_values(freeze="none", lr=1e-30, weight_decay=0.0, size=32))
    state = load_weights(ready.run.outputs / "fold0/weights.safetensors").state_dict()
    start = read_start("ready", GENDER).state
    assert state.keys() == start.keys()
    assert all(torch.allclose(state[name], start[name], atol=1e-6) for name in state)


def test_each_fold_starts_from_the_fold_of_a_run_that_has_not_seen_its_persons(
    tiny: TrainOptions, tmp_path: Path
) -> None:
    train(GENDER, tiny.with_values(freeze="none"))
    again = tiny.with_values(
        start=str(tiny.run.outputs),
        backbone=None,
        pretrained=True,
        size=None,
        freeze="none",
        lr=1e-30,
        weight_decay=0.0,
    )
    train(GENDER, again.with_values(outputs=tmp_path / "again"))
    for fold in ("fold0", "fold1"):
        files = [tmp_path / run / fold / "weights.safetensors" for run in ("run", "again")]
        first, second = (dict(load_weights(file).named_parameters()) for file in files)
        assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first), fold
    with pytest.raises(UserError, match="persons whom a fold here holds out"):
        train(GENDER, again.with_values(outputs=tmp_path / "others", folds=3))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("nowhere.zip", "there is no such file or folder"),
        (str(Path(__file__).parent), "neither a run with a trained fold nor a bundle"),
    ],
)
def test_a_start_without_weights_is_refused(ready: TrainOptions, start: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(GENDER, ready.with_values(start=start))


def test_a_start_of_another_backbone_is_refused(ready: TrainOptions) -> None:
    with pytest.raises(UserError, match="does not fit --backbone test_efficientnet"):
        train(GENDER, ready.with_values(start="ready", backbone="test_efficientnet", size=32))


def test_a_fitted_head_is_the_logistic_regression_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(3, size=200)
    features = random.normal(size=(200, 5)) + np.eye(3, 5)[labels]
    penalty = 0.02
    seen = torch.tensor(features, dtype=torch.float32)
    weight, bias = frozen.fit_head(seen, torch.tensor(labels), torch.nn.functional.cross_entropy, 3, penalty)
    scale = features.std(0, ddof=1)
    reference = LogisticRegression(C=1 / (2 * len(labels) * penalty), tol=1e-9, max_iter=1000)
    expected = reference.fit((features - features.mean(0)) / scale, labels).predict_proba(
        (features - features.mean(0)) / scale
    )
    found = (seen @ weight.T + bias).softmax(1).numpy()
    assert found == pytest.approx(expected, abs=1e-3)


def test_features_are_computed_once_for_all_folds_seeds_and_specialists(
    tiny: TrainOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The random body depends on the seed: it is taken from a run instead.
    train(GENDER, tiny.with_values(freeze="none", only_fold=0))
    start = {"start": str(tiny.run.outputs), "backbone": None, "pretrained": True, "only_fold": 0}
    frozen_options = tiny.with_values(**start, drawn_masks=0.0, window=(0.9, 0.5, 0.5))
    train(GENDER, frozen_options.with_values(outputs=tmp_path / "one"))
    monkeypatch.setattr(Features, "forward", forbid)
    train(GENDER, frozen_options.with_values(outputs=tmp_path / "two", seed=3, weight_decay=0.1))
    train(AGE, AGE_DEFAULTS.with_values(**{**frozen_options.values(), "outputs": tmp_path / "three"}))


def test_features_follow_their_crop_and_a_broken_file_of_them_is_made_again(tiny: TrainOptions, tmp_path: Path) -> None:
    train(GENDER, tiny)
    crops = tmp_path / "crops"
    shutil.copytree(tiny.data.crops, crops)
    for file in crops.rglob("*.npz"):
        file.write_bytes(b"")
    index = pd.read_csv(crops / "train/index.csv", dtype=str, keep_default_na=False)
    for file in index["file"][1:]:
        shutil.copy(crops / "train" / index["file"][0], crops / "train" / file)
    # As of a crop without a found face, of which the eyes alone are assumed.
    index.assign(left_eye_x="2.0", nose_x="").to_csv(crops / "train/index.csv", index=False)
    train(GENDER, tiny.with_values(crops=crops, outputs=tmp_path / "other"))
    first, second = (pd.read_csv(run / "oof.csv")["male"].to_numpy() for run in (tiny.run.outputs, tmp_path / "other"))
    assert np.ptp(second[:10]) < 1e-4 < np.ptp(first)  # All crops are the same now.


def test_a_frozen_network_predicts_as_the_whole_network(tiny: TrainOptions) -> None:
    train(GENDER, tiny)
    table, crops = labelled_crops(tiny.data)
    window = GENDER.window
    for fold in range(2):
        file = tiny.run.outputs / f"fold{fold}"
        held_out = table[table["fold"] == fold]["image"]
        network = load_weights(file / "weights.safetensors")
        images = torch.from_numpy(np.stack([window.cut(crops.read(image), 32) for image in held_out]))
        with torch.inference_mode():
            (expected,) = ensemble_probabilities([partial(seen_by, network, images)], "flip")
        oof = pd.read_csv(file / "oof.csv").set_index("image").loc[held_out]
        assert oof[list(GENDER.classes)].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_a_bundle_runs_a_shared_frozen_body_once_in_both_runtimes(
    tiny: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(GENDER, tiny.with_values(freeze="none", only_fold=0))
    start = {"start": str(tiny.run.outputs), "backbone": None, "pretrained": True, "only_fold": 0}
    for specialist in (MASK, GENDER, AGE):
        outputs = tmp_path / "outputs" / specialist.name
        values = {**tiny.values(), **start, "window": (0.9, 0.5, 0.5), "outputs": outputs}
        train(specialist, (AGE_DEFAULTS if specialist is AGE else TrainOptions()).with_values(**values))
    monkeypatch.setattr("shared.predictor.onnx_export.export_detector", shipped_detector)
    bundle.main(bundle.Options(out=tmp_path / "face18", model=tmp_path / "outputs", onnx=True, crops=tmp_path / "none"))
    exported = [path.parent.name for path in (tmp_path / "face18").rglob("*.onnx")]
    assert sorted(exported) == ["body", "detector", "detector", "detector"]
    assert len(list((tmp_path / "face18/body").iterdir())) == 2  # One file for each runtime.

    pixels, ran = [portraits()[0].pixels], []
    run = onnxruntime.InferenceSession.run

    def watched(session: onnxruntime.InferenceSession, *given: object) -> object:
        ran.append(session.get_outputs()[0].name)
        return run(session, *given)

    by_onnx = Predictor.load(tmp_path / "face18", runtime="onnx")
    (image,) = by_onnx(pixels, faces="main")
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", watched)
    by_onnx.detect(pixels, faces="main")
    detector_runs = len(ran)
    by_onnx([pixels[0][:, ::-1]], faces="main")
    # Of three specialists: the image and its mirror image.
    assert len(ran) - 2 * detector_runs == 2
    for model in ("face18", "outputs"):
        other = Predictor.load(tmp_path / model, runtime="torch", device="cpu")
        assert other.description.fingerprint == image.model.fingerprint
        # On one crop: each runtime has a detector of its own, whose crops differ by a hundredth of a pixel.
        crops = [face.crop for face in other.detect(pixels, faces="main")[0].faces]
        for task, expected in by_onnx.probabilities(crops).items():
            assert other.probabilities(crops)[task] == pytest.approx(expected, abs=1e-4), (model, task)
    again = {**tiny.values(), "start": str(tmp_path / "face18"), "backbone": None, "pretrained": True, "only_fold": 0}
    train(GENDER, TrainOptions().with_values(**{**again, "outputs": tmp_path / "again"}))
