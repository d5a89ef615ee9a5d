"""The service as users start it: a process of its own on the loopback interface, with small untrained networks."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from drawn_faces import bare, broken_files, encode, files, png_header, portraits
from served import PATIENCE, ROOT, TOKEN, serving
from tiny_model import write_model

from shared.files import READY_MADE
from shared.messages import UserError
from shared.predictor import Predictor
from shared.serve import Options
from shared.serving.limits import Limits
from shared.serving.schema import PhotographResult

LIMITS = "--max-mb 1 --seconds 60 --waiting 40 --per-address 40 --batch 4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def address(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that all tests talk to, and that ends with status 0 at Ctrl-C."""
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(model, log, *LIMITS.split()) as (server, address):
        yield address
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 0
    assert log.read_text().splitlines()[-1] == "stopped"


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    head = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=address, headers=head, timeout=PATIENCE, trust_env=False) as client:
        yield client


def pair() -> bytes:
    """Two of the portraits side by side."""
    bare = [portrait.pixels for portrait in portraits() if portrait.kind == "normal"]
    return encode(np.concatenate(bare, axis=1))


def test_the_response_is_the_predictors_in_the_documented_form(client: httpx.Client, model: Path) -> None:
    for image in (files()[0], pair(), encode(bare().pixels, "AVIF")):
        response = client.post("/faces", content=image)
        assert response.status_code == 200, response.text
        answer = PhotographResult.model_validate_json(response.text)
        (expected,) = Predictor.load(model, device="cpu")(image)
        assert len(answer.faces) == len(expected.faces)
        assert (answer.width, answer.height) == (expected.width, expected.height)
        for face, known in zip(answer.faces, expected.faces, strict=True):
            assert face.box == pytest.approx(known.box, abs=0.11)
            assert face.class_number == known.class_number
            assert face.mask.probabilities == pytest.approx(dict(known.mask.probabilities), abs=1e-3)
            assert face.age.years == pytest.approx(known.age.years, abs=0.11)


def test_hostile_uploads_are_refused_and_the_next_image_is_predicted(client: httpx.Client) -> None:
    rng = np.random.default_rng(0)
    uploads = [content for content, _ in broken_files().values()]
    uploads += [png_header(60_000, 60_000), png_header(1, 2**31 - 1), b"GIF89a" + b"\xff" * 1000]
    uploads += [b"RIFF\xff\xff\xff\xffWEBPVP8X" + rng.bytes(40), b"II*\x00\xff\xff\xff\xff", b"BM" + rng.bytes(60)]
    uploads += [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
    for upload in uploads:
        response = client.post("/faces", content=upload)
        assert 400 <= response.status_code < 500, (upload[:20], response.text)
        assert response.json()["detail"]
    assert client.post("/faces", content=files()[0]).status_code == 200


def test_an_endless_upload_is_cut_off(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100_000):
            yield bytes(100_000)

    before = resident(client)
    with suppress(httpx.TransportError):  # Where the server hung up while the client was still talking.
        assert client.post("/faces", content=endless()).status_code == 413
    assert client.post("/faces", content=files()[0]).status_code == 200
    # Ten gigabytes were on their way; of a mebibyte of upload, some copies may live for a while.
    assert resident(client) - before < 100 * 2**20


def resident(client: httpx.Client) -> float:
    """Bytes of memory that the server holds."""
    lines = client.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("process_resident_memory_bytes ")))


def test_bytes_that_are_no_http_do_no_harm(client: httpx.Client, address: str) -> None:
    place = httpx.URL(address)
    for words in (
        b"\x16\x03\x01" + bytes(300),
        b"GET " + b"a" * 100_000,
        b"POST /faces HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
    ):
        with socket.create_connection((place.host, place.port or 0), timeout=PATIENCE) as connection:
            try:
                connection.sendall(words)
                connection.shutdown(socket.SHUT_WR)
                answered = connection.recv(100)
            except OSError:
                continue
            assert answered == b"" or b" 40" in answered or b" 431" in answered
    assert client.get("/health").status_code == 200


GENERATED = """
import sys
from face18_client import AuthenticatedClient, models, types
from face18_client.api.default import faces, faces_v1, metrics, ready
address, token, file = sys.argv[1:]
client = AuthenticatedClient(address, token)
with open(file, "rb") as image:
    form = models.FacesImageForm(image=types.File(payload=image, file_name="a.jpg"))
    result = faces.sync(client=client, body=form)
    refused = faces.sync(client=AuthenticatedClient(address, "wrong"), body=form)
assert isinstance(result, models.PhotographResult), result
assert isinstance(refused, models.Problem), refused
assert len(result.faces) == 1 and sum(result.faces[0].mask.probabilities.additional_properties.values()) > 0.99
several = [types.File(payload=open(file, "rb"), file_name=name) for name in ("a.jpg", "b.jpg")]
answer = faces_v1.sync(client=client, body=models.FacesV1ImagesForm(images=several))
assert isinstance(answer, models.ImagesResult), answer
assert [(one.source, one.status, len(one.faces)) for one in answer.images] == [("a.jpg", 200, 1), ("b.jpg", 200, 1)]
assert answer.model == ready.sync(client=client)
assert b"face18_requests_total" in metrics.sync_detailed(client=client).content
"""
"""Sends an image with the client that openapi-python-client generates."""


def test_a_generated_client_gets_predictions(client: httpx.Client, address: str, tmp_path: Path) -> None:
    pytest.importorskip("openapi_python_client", reason="openapi-python-client is not installed")
    description, config, image = (tmp_path / name for name in ("openapi.json", "config.yml", "image.jpg"))
    description.write_bytes(client.get("/openapi.json").content)
    config.write_text("post_hooks: []")  # Otherwise the client is formatted.
    image.write_bytes(files()[0])
    generate = f"generate --path {description} --config {config} --meta none --output-path {tmp_path / 'face18_client'}"
    subprocess.run([sys.executable, "-m", "openapi_python_client", *generate.split()], check=True)
    subprocess.run([sys.executable, "-c", GENERATED, address, TOKEN, str(image)], check=True, cwd=tmp_path)


def test_a_request_that_has_begun_gets_its_response_before_the_service_stops(tmp_path: Path) -> None:
    log, head = tmp_path / "log", {"Authorization": f"Bearer {TOKEN}"}
    with serving(READY_MADE, log, "--runtime", "onnx") as (server, address):

        def interrupted() -> Iterator[bytes]:
            yield files()[0][:1000]
            while "progress 1.0" not in httpx.get(f"{address}/metrics", headers=head, trust_env=False).text:
                time.sleep(0.01)
            server.send_signal(signal.SIGTERM)
            while _listens(address):
                time.sleep(0.01)
            yield files()[0][1000:]

        response = httpx.post(
            f"{address}/faces", content=interrupted(), headers=head, timeout=PATIENCE, trust_env=False
        )
        assert response.status_code == 200
        assert response.json()["faces"]
        assert server.wait(PATIENCE) == 0
    assert log.read_text().splitlines()[-1] == "stopped"


def test_two_processes_answer_share_their_metrics_and_both_reload(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    log, head = tmp_path / "log", {"Authorization": f"Bearer {TOKEN}"}
    with serving(READY_MADE, log, *["--processes", "2", "--runtime", "onnx"]) as (server, address):

        def metrics() -> str:
            return httpx.get(f"{address}/metrics", headers=head, timeout=PATIENCE, trust_env=False).text

        for _ in range(6):  # A new connection each, so that they do not all reach one process.
            response = httpx.post(
                f"{address}/faces", content=files()[0], headers=head, timeout=PATIENCE, trust_env=False
            )
            assert response.status_code == 200
        assert 'face18_requests_total{status="200"} 6.0' in metrics()
        server.send_signal(signal.SIGHUP)
        until = time.monotonic() + PATIENCE
        while log.read_text().count("was loaded again") < 2:
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        assert "face18_build_info" in metrics()
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0
    assert log.read_text().splitlines()[-1] == "stopped"


def test_processes_without_a_model_end_with_the_reason() -> None:
    command = [
        sys.executable,
        "-m",
        "shared.serve",
        "--port",
        "0",
        "--processes",
        "2",
        "--runtime",
        "onnx",
        "--model",
        "gone.zip",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT)
    assert ended.returncode != 0
    assert "gone.zip does not exist" in ended.stderr


def _listens(address: str) -> bool:
    place = httpx.URL(address)
    try:
        socket.create_connection((place.host, place.port or 0), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("batch", 0), ("waiting", 0), ("per_address", 0), ("max_pixels", 0)],
        *[("max_mb", 0.0), ("seconds", -1.0), ("images", 0)],
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_its_flag(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')}"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("port", 70_000), ("threads", -1), ("processes", 0), ("cors", ("https://a.example/",))]
)
def test_an_option_that_makes_no_sense_is_refused_by_its_flag(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"--{name}"):
        Options(**{name: value})
