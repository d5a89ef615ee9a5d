"""The service as people start it: a process of its own on the loopback interface, with small untrained networks."""

import asyncio
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from drawn_faces import broken_files, encode, files, png_header, portraits
from served import PATIENCE, TOKEN, serving
from tiny_model import write_model

from shared.messages import UserError
from shared.predictor import Predictor
from shared.serve import Options
from shared.serving.schema import PhotographAnswer
from shared.serving.server import TOKEN_VARIABLE, find_token

LIMITS = "--max-mb 1 --seconds 60 --waiting 40 --batch 4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def address(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server that all tests talk to, and that ends well with Ctrl-C."""
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


def test_the_answer_is_that_of_the_predictor_in_the_form_that_is_described(client: httpx.Client, model: Path) -> None:
    for image in (files()[0], pair()):
        response = client.post("/faces", content=image)
        assert response.status_code == 200, response.text
        answer = PhotographAnswer.model_validate_json(response.text)
        (expected,) = Predictor.load(model, device="cpu")(image)
        assert len(answer.faces) == len(expected.faces)
        assert (answer.width, answer.height) == (expected.width, expected.height)
        for face, known in zip(answer.faces, expected.faces, strict=True):
            assert face.box == pytest.approx(known.box, abs=0.11)
            assert face.class_number == known.class_number
            assert face.mask.probabilities == pytest.approx(dict(known.mask.probabilities), abs=1e-3)
            assert face.age.years == pytest.approx(known.age.years, abs=0.11)


def test_clients_at_once_get_the_answers_to_their_own_images(address: str) -> None:
    images = files()[:6]
    head = {"Authorization": f"Bearer {TOKEN}"}

    async def ask(client: httpx.AsyncClient, at: int) -> Any:
        response = await client.post("/faces", content=images[at])
        assert response.status_code == 200, response.text
        return response.json()["faces"][0]["landmarks"]

    async def talk() -> None:
        async with httpx.AsyncClient(base_url=address, headers=head, timeout=PATIENCE, trust_env=False) as client:
            alone = [np.array(await ask(client, at)) for at in range(len(images))]
            for at, one in enumerate(alone):  # Or else a mixture would go unseen.
                assert all(np.abs(one - other).max() > 1 for other in alone[:at])
            order = [at % len(images) for at in range(30)]
            for at, together in zip(order, await asyncio.gather(*(ask(client, at) for at in order)), strict=True):
                assert np.abs(alone[at] - together).max() < 0.3

    asyncio.run(talk())


def test_hostile_uploads_are_refused_and_the_next_image_is_answered(client: httpx.Client) -> None:
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


def test_what_is_no_http_harms_nobody(client: httpx.Client, address: str) -> None:
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


def test_without_the_token_nobody_is_answered(address: str) -> None:
    with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as stranger:
        assert stranger.post("/faces", content=files()[0]).status_code == 401
        assert stranger.get("/health").status_code == 200


def test_health_and_metrics_tell_how_it_goes(client: httpx.Client) -> None:
    assert client.get("/health").json()["status"] == "ok"
    client.post("/faces", content=files()[0])
    text = client.get("/metrics").text
    assert 'face18_requests_total{status="200"}' in text
    assert "process_resident_memory_bytes" in text


def test_who_has_begun_to_ask_is_answered_before_it_stops(model: Path, tmp_path: Path) -> None:
    log, head = tmp_path / "log", {"Authorization": f"Bearer {TOKEN}"}
    with serving(model, log) as (server, address):

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


def _listens(address: str) -> bool:
    place = httpx.URL(address)
    try:
        socket.create_connection((place.host, place.port or 0), timeout=1).close()
    except OSError:
        return False
    return True


def test_options_that_make_no_sense_are_refused_by_name() -> None:
    for name, value in (("port", 70_000), ("batch", 0), ("waiting", 0), ("max_pixels", 0), ("threads", -1)):
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')}"):
            Options(**{name: value})
    for name, amount in (("max_mb", 0.0), ("seconds", -1.0), ("batch_wait_ms", -1.0)):
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')}"):
            Options(**{name: amount})


def test_a_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert find_token(None) is None
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert find_token(None) == TOKEN
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}-of-a-file\n")
    assert find_token(file) == f"{TOKEN}-of-a-file"
    file.write_text("short")
    with pytest.raises(UserError, match="at least 16"):
        find_token(file)
    with pytest.raises(UserError, match="missing"):
        find_token(tmp_path / "missing")
