"""ONNX: exported networks agree with PyTorch, and predicting by onnxruntime imports nothing of torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from drawn_faces import bare, files, portraits
from tiny_model import SIZE, random_network, write_model

from pipelines.gender.specialist import GENDER
from shared.bundle import Options, main
from shared.crops import Window
from shared.messages import UserError
from shared.predictor import Predictor
from shared.predictor.ensemble import open_session
from shared.predictor.onnx_export import TOLERANCE, check
from shared.predictor.predictor import quick_runtime

ROOT = Path(__file__).parents[1]
PREDICT = """
import sys
from shared.commands import parse
from shared.predict import Options, main
main(parse(Options(), sys.argv[1:]))
print(sorted({"torch", "timm", "torchvision", "accelerate"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    main(Options(out=folder / "face18", model=write_model(folder / "outputs"), onnx=True, crops=folder / "none"))
    return folder / "face18"


@pytest.fixture(scope="module")
def by_torch(bundle: Path) -> Predictor:
    return Predictor.load(bundle, device="cpu")


@pytest.fixture(scope="module")
def by_onnx(bundle: Path) -> Predictor:
    return Predictor.load(bundle, runtime="onnx")


@pytest.fixture(scope="module")
def crops(by_torch: Predictor) -> list[np.ndarray]:
    detected = by_torch.detect([portrait.pixels for portrait in portraits()], faces="main")
    return [face.crop for photograph in detected for face in photograph.faces]


def test_every_exported_network_was_checked_and_the_card_has_its_difference(bundle: Path) -> None:
    card = (bundle / "MODEL_CARD.md").read_text()
    exported = sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*.onnx"))
    assert exported == [
        *("age/0/fold0.onnx", "detector/onet.onnx", "detector/pnet.onnx", "detector/rnet.onnx"),
        *("gender/0/fold0.onnx", "mask/0/fold0.onnx"),
    ]
    for name in exported:
        difference = card.split(f"{name}: largest difference from PyTorch ")[1].split()[0]
        assert 0 <= float(difference) <= TOLERANCE == 1e-4


def test_the_detector_finds_the_same_faces(by_torch: Predictor, by_onnx: Predictor) -> None:
    pair = np.hstack([bare().pixels, bare().pixels[:, ::-1]])
    images = [*(portrait.pixels for portrait in portraits()[:7]), pair, np.full((90, 40, 3), 127, np.uint8)]
    for one, other in zip(by_torch.detect(images), by_onnx.detect(images), strict=True):
        assert len(one.faces) == len(other.faces)
        for face, same in zip(one.faces, other.faces, strict=True):
            # OpenCV cuts at a thirty-second of a pixel, so that the last digit of a box may change what is seen.
            np.testing.assert_allclose(face.landmarks, same.landmarks, atol=0.5)
            np.testing.assert_allclose(face.box, same.box, atol=0.5)


def test_both_runtimes_predict_the_same_for_the_same_crops(by_torch: Predictor, by_onnx: Predictor) -> None:
    detected = by_torch.detect([portrait.pixels for portrait in portraits()[:7]], faces="main")
    for photograph, same in zip(by_torch.predict(detected), by_onnx.predict(detected), strict=True):
        for face, other in zip(photograph.faces, same.faces, strict=True):
            assert face.class_number == other.class_number
            assert face.class_probabilities == pytest.approx(other.class_probabilities, abs=2e-4)
            assert face.age.years == pytest.approx(other.age.years, abs=0.01)


def test_predicting_by_onnx_imports_no_torch(bundle: Path, by_torch: Predictor, tmp_path: Path) -> None:
    photograph = tmp_path / "portrait.jpg"
    photograph.write_bytes(files()[0])
    words = [sys.executable, "-c", PREDICT, str(photograph)]
    words += ["--model", str(bundle), "--runtime", "onnx", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr.strip() == "[]"
    (face,) = json.loads(done.stdout)[0]["faces"]
    (expected,) = by_torch(photograph)[0].faces
    assert face["class"] == expected.class_number
    assert face["box"] == pytest.approx(expected.box, abs=0.5)


def test_onnx_is_the_quick_runtime_of_bundles_that_have_it(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.predictor.predictor.which", lambda _: None)
    assert quick_runtime(bundle) == "onnx"
    assert quick_runtime(bundle.parent) == "torch", "run folders have no ONNX files"
    monkeypatch.setattr("shared.predictor.predictor.which", lambda program: f"/usr/bin/{program}")
    assert quick_runtime(bundle) == "torch", "a GPU is quicker"


def test_an_export_that_differs_from_pytorch_is_refused(bundle: Path, crops: list[np.ndarray]) -> None:
    content = (bundle / "gender/0/fold0.onnx").read_bytes()
    module = random_network(GENDER.outputs, 1)
    images = np.stack([Window().cut(crop, SIZE) for crop in crops])
    with pytest.raises(UserError, match="ONNX differs from PyTorch by"):
        check(content, module, [images], "gender")


def test_a_bundle_holds_no_path_of_the_machine_that_made_it(bundle: Path) -> None:
    exported = list(bundle.rglob("*.onnx"))
    assert exported
    for file in exported:
        assert str(ROOT).encode() not in file.read_bytes(), "torch notes its stack trace in every node"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"text", "no ONNX file that can be run"),
        (None, "not an ONNX file of face18"),
    ],
)
def test_a_foreign_onnx_file_is_refused(bundle: Path, tmp_path: Path, content: bytes | None, reason: str) -> None:
    shutil.copytree(bundle, tmp_path / "face18")
    foreign = (bundle / "detector/rnet.onnx").read_bytes() if content is None else content
    (tmp_path / "face18/mask/0/fold0.onnx").write_bytes(foreign)
    with pytest.raises(UserError, match=reason):
        Predictor.load(tmp_path / "face18", runtime="onnx")


def test_a_graph_that_reads_other_files_is_refused(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(str(bundle / "mask/0/fold0.onnx"))
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(1_000_000))
    tensor = next(tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(secret))
    with pytest.raises(UserError, match="no ONNX file that can be run"):
        open_session(model.SerializeToString(), "mask")


def test_onnxruntime_prepares_no_statistics_for_its_maker(tmp_path: Path) -> None:
    code = "from shared.predictor import Predictor; Predictor.load(runtime='onnx')"
    # In a bare environment: it sends none in a CI system either, and keeps the number of the machine in the home.
    bare_environment = {"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=bare_environment, cwd=tmp_path)
    assert not [*tmp_path.rglob("*")]
