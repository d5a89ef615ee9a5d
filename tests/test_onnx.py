"""The same answers without torch: exported networks agree with PyTorch, and predicting imports nothing of it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from drawn_faces import bare, files, portraits
from served import PATIENCE, TOKEN, serving
from tiny_model import BACKBONE, SIZE, random_network, write_model

from pipelines.gender.specialist import GENDER
from shared.bundle import Options, main
from shared.crops import Window
from shared.faces.alignment import RECIPE
from shared.messages import UserError
from shared.predictor import Predictor
from shared.predictor.detect import detect_faces
from shared.predictor.ensemble import FoldNetwork, onnx_metadata, open_session
from shared.predictor.onnx_export import TOLERANCE, check_network
from shared.predictor.torch_networks import logits_of

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model = write_model(folder / "outputs")
    main(Options(out=folder / "face18", model=model, onnx=True, crops=folder / "none"))
    return folder / "face18"


@pytest.fixture(scope="module")
def crops() -> list[np.ndarray]:
    return [
        face.crop
        for found in detect_faces([portrait.pixels for portrait in portraits()], faces="main")
        for face in found.faces
    ]


def test_every_exported_network_was_checked_and_its_difference_is_told_in_the_card(bundle: Path) -> None:
    card = (bundle / "MODEL_CARD.md").read_text()
    exported = sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*.onnx"))
    assert exported == [
        *("age/0/fold0.onnx", "detector/onet.onnx", "detector/pnet.onnx", "detector/rnet.onnx"),
        *("gender/0/fold0.onnx", "mask/0/fold0.onnx"),
    ]
    for name in exported:
        told = card.split(f"{name}: largest difference from PyTorch ")[1].split()[0]
        assert 0 <= float(told) <= TOLERANCE == 1e-4


def test_logits_agree_for_any_number_of_images(bundle: Path, crops: list[np.ndarray]) -> None:
    torch_, onnx_ = (Predictor.load(bundle, runtime=runtime, device="cpu") for runtime in ("torch", "onnx"))
    for task in ("mask", "gender", "age"):
        one, other = torch_.specialists[task].networks[0], onnx_.specialists[task].networks[0]
        assert (one.window, one.size) == (other.window, other.size)
        for count in (1, 2, 5, len(crops)):
            images = one.inputs(crops[:count])
            np.testing.assert_allclose(other.logits(images), one.logits(images), atol=1e-4)


def test_the_detector_finds_the_same_faces(bundle: Path) -> None:
    detector = Predictor.load(bundle, runtime="onnx").detector
    pair = np.hstack([bare().pixels, bare().pixels[:, ::-1]])
    images = [*(portrait.pixels for portrait in portraits()[:7]), pair, np.full((90, 40, 3), 127, np.uint8)]
    for one, other in zip(detect_faces(images), detect_faces(images, detector), strict=True):
        assert len(one.faces) == len(other.faces)
        for face, same in zip(one.faces, other.faces, strict=True):
            # OpenCV cuts at a thirty-second of a pixel, so that the last digit of a box may change what is seen.
            np.testing.assert_allclose(face.landmarks, same.landmarks, atol=0.5)
            np.testing.assert_allclose(face.box, same.box, atol=0.5)


def test_predicting_by_onnx_imports_no_torch_and_answers_the_same(bundle: Path, tmp_path: Path) -> None:
    photograph = tmp_path / "portrait.jpg"
    photograph.write_bytes(files()[0])
    code = (
        "import sys; from shared.commands import parse; from shared.predict import Options, main; "
        "main(parse(Options(), sys.argv[1:])); "
        "print(sorted({'torch', 'timm', 'torchvision', 'accelerate'} & set(sys.modules)), file=sys.stderr)"
    )
    words = [str(photograph), "--model", str(bundle), "--runtime", "onnx", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr.strip() == "[]"
    (told,) = json.loads(done.stdout)
    (expected,) = Predictor.load(bundle, device="cpu")(photograph)
    (face,) = told["faces"]
    assert face["class"] == expected.faces[0].class_number
    assert face["box"] == pytest.approx(expected.faces[0].box, abs=0.5)


def test_the_service_answers_by_onnx_without_torch(bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from shared.commands import parse; from shared.serve import Options, main; "
        "main(parse(Options(), sys.argv[1:])); "
        "print(sorted({'torch', 'timm', 'torchvision', 'accelerate'} & set(sys.modules)))"
    )
    log = tmp_path / "log"
    with serving(bundle, log, "--runtime", "onnx", program=("-c", code)) as (server, address):
        head = {"Authorization": f"Bearer {TOKEN}"}
        told = httpx.post(
            f"{address}/faces", content=files()[0], headers=head, timeout=PATIENCE, trust_env=False
        ).json()
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 0
    assert log.read_text().splitlines()[-2:] == ["stopped", "[]"]
    (expected,) = Predictor.load(bundle, device="cpu")(files()[0])
    (face,) = told["faces"]
    assert face["class"] == expected.faces[0].class_number
    assert face["box"] == pytest.approx(expected.faces[0].box, abs=0.5)


def test_both_runtimes_answer_the_same_for_the_same_crops(bundle: Path) -> None:
    one, other = (Predictor.load(bundle, runtime=runtime, device="cpu") for runtime in ("torch", "onnx"))
    found = one.detect([portrait.pixels for portrait in portraits()[:7]], faces="main")
    for photograph, same in zip(one.predict(found), other.predict(found), strict=True):
        for face, twin in zip(photograph.faces, same.faces, strict=True):
            assert face.class_number == twin.class_number
            assert face.class_probabilities == pytest.approx(twin.class_probabilities, abs=2e-4)
            assert face.age.years == pytest.approx(twin.age.years, abs=0.01)


def test_an_export_that_differs_from_pytorch_is_refused(bundle: Path, crops: list[np.ndarray]) -> None:
    content = (bundle / "gender/0/fold0.onnx").read_bytes()
    network = random_network(GENDER.outputs, 1)
    member = FoldNetwork(Window(), SIZE, logits_of(network, "cpu"), network)
    with pytest.raises(UserError, match="ONNX differs from PyTorch by"):
        check_network(content, member, crops, "gender")


def test_an_onnx_file_carries_its_passport(bundle: Path) -> None:
    session = open_session((bundle / "mask/0/fold0.onnx").read_bytes(), "mask")
    metadata = onnx_metadata(session, "mask")
    assert (metadata.specialist, metadata.backbone, metadata.size) == ("mask", BACKBONE, SIZE)
    assert metadata.recipe == RECIPE.id


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no ONNX file that can be run"),
        (b"text", "no ONNX file that can be run"),
        (None, "not an ONNX file of face18"),
    ],
)
def test_a_foreign_onnx_file_is_refused(bundle: Path, tmp_path: Path, content: bytes | None, reason: str) -> None:
    copy = tmp_path / "face18"
    for path in bundle.rglob("*.*"):
        (copy / path.relative_to(bundle)).parent.mkdir(parents=True, exist_ok=True)
        (copy / path.relative_to(bundle)).write_bytes(path.read_bytes())
    stranger = (bundle / "detector/rnet.onnx").read_bytes() if content is None else content
    (copy / "mask/0/fold0.onnx").write_bytes(stranger)
    with pytest.raises(UserError, match=reason):
        Predictor.load(copy, runtime="onnx")


def test_a_graph_that_reads_other_files_is_refused(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(str(bundle / "mask/0/fold0.onnx"))
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(100_000_000 // 100))
    tensor = next(tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(secret))
    with pytest.raises(UserError, match="no ONNX file that can be run"):
        open_session(model.SerializeToString(), "mask")
