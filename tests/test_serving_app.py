"""The application with a `predict` that returns which image it got: what is accepted, what is refused."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
from drawn_faces import encode, files, png_header

from shared.faces.image_io import MissingReaderError, UnusableImageError, decode
from shared.serving.app import create_app
from shared.serving.limits import Limits

TOKEN = "a-token-for-the-tests-only"
FORM = "multipart/form-data; boundary=b"
FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n'
Client = httpx.AsyncClient
Predict = Callable[[Sequence[bytes]], Sequence[dict[str, Any]]]


def fingerprint(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def predict(images: Sequence[bytes]) -> list[dict[str, Any]]:
    return [{"source": fingerprint(image), "width": 1, "height": 1, "faces": [], "problem": None} for image in images]


def waiting_predict() -> tuple[threading.Event, Predict]:
    """A `predict` that waits for an event."""
    go_on = threading.Event()

    def wait(images: Sequence[bytes]) -> list[dict[str, Any]]:
        go_on.wait(30)
        return predict(images)

    return go_on, wait


def talk(
    conversation: Callable[[Client], Awaitable[None]],
    limits: Limits | None = None,
    token: str | None = None,
    predict: Predict = predict,
    decode: Callable[[bytes], bytes] = bytes,
) -> None:
    """Start the application, let a client talk to it, stop it."""
    app = create_app(decode, predict, limits, token)

    async def run() -> None:
        async with app.router.lifespan_context(app), client_at("10.0.0.1", app) as client:
            await asyncio.wait_for(conversation(client), 60)

    asyncio.run(run())


def client_at(address: str, app: Any) -> Client:
    return Client(transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://test")


async def refused(client: Client, status: int, **request: Any) -> str:
    """Send a request; return the sentence of its refusal."""
    response = await client.post("/faces", **request)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["detail"]
    assert ("Retry-After" in response.headers) == (status in (429, 503))
    return str(response.json()["detail"])


async def slowly() -> AsyncIterator[bytes]:
    yield files()[0][:1000]
    await asyncio.sleep(30)


async def in_progress(client: Client, count: int) -> None:
    """Wait until so many requests are in the service."""
    while f"face18_requests_in_progress {count}.0" not in (await client.get("/metrics")).text:
        await asyncio.sleep(0.01)


def as_form(image: bytes) -> dict[str, Any]:
    return {"files": {"image": ("a.jpg", image)}}


def test_an_image_is_accepted_as_a_form_and_as_the_body() -> None:
    async def conversation(client: Client) -> None:
        for request in ({"content": files()[0]}, as_form(files()[0]), {**as_form(files()[0]), "data": {"note": "a"}}):
            response = await client.post("/faces", **request)
            assert response.status_code == 200, response.text
            assert response.json()["source"] == fingerprint(files()[0])

    talk(conversation)


def test_an_image_with_too_many_pixels_never_reaches_the_decoder() -> None:
    seen: list[bytes] = []

    def remember(images: Sequence[bytes]) -> list[dict[str, Any]]:
        seen.extend(images)
        return predict(images)

    async def conversation(client: Client) -> None:
        assert "300 x 300" in await refused(client, 413, content=png_header(300, 300))
        assert "384 x 512" in await refused(client, 413, content=files()[0])
        assert (await client.post("/faces", content=encode(decode(files()[0]).pixels[::8, ::8]))).status_code == 200

    talk(conversation, Limits(max_pixels=80_000), predict=remember)
    assert len(seen) == 1


@pytest.mark.parametrize(("kind", "head"), [("image/jpeg", b""), (FORM, FORM_HEAD)], ids=["body", "form"])
@pytest.mark.parametrize("announced", [{}, {"Content-Length": "3000000"}], ids=["unannounced", "announced"])
def test_a_file_that_is_too_long_is_refused_while_it_arrives(kind: str, head: bytes, announced: dict[str, str]) -> None:
    sent: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        yield head
        for _ in range(30):
            sent.append(100_000)
            yield bytes(100_000)

    async def conversation(client: Client) -> None:
        headers = {"Content-Type": kind, **announced}
        assert "104,858 bytes" in await refused(client, 413, content=endless(), headers=headers)
        assert sum(sent) < 1_000_000

    talk(conversation, Limits(max_mb=0.1))


@pytest.mark.parametrize(
    "request_",
    [
        {"files": [("image", ("a.jpg", b"a")), ("image", ("b.jpg", b"b"))]},
        {"files": {"note": (None, "no file")}},
        {"content": b"a", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"a", "headers": {"Content-Type": FORM}},
        {"content": b"a", "headers": {"Content-Type": f"multipart/form-data; boundary={'b' * 999}"}},
        {"content": FORM_HEAD + b"a", "headers": {"Content-Type": FORM}},
    ],
    ids=["two files", "no file", "no boundary", "no form", "long boundary", "no end"],
)
def test_a_form_without_exactly_one_file_is_refused(request_: dict[str, Any]) -> None:
    async def conversation(client: Client) -> None:
        assert "form" in await refused(client, 400, **request_)

    talk(conversation)


def test_with_a_token_predictions_and_metrics_require_it() -> None:
    async def conversation(client: Client) -> None:
        for value in (None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \u00e4"):
            headers = {} if value is None else {"Authorization": value.encode()}
            response = await client.post("/faces", content=files()[0], headers=headers)
            assert response.status_code == 401, value
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert (await client.get("/metrics", headers=headers)).status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.post("/faces", content=files()[0], headers=headers)).status_code == 200
        assert (await client.get("/metrics", headers=headers)).status_code == 200
        assert (await client.get("/health")).json()["status"] == "ok"

    talk(conversation, token=TOKEN)


def test_a_full_service_refuses_further_images() -> None:
    go_on, predict = waiting_predict()

    async def conversation(client: Client) -> None:
        accepted = [asyncio.create_task(client.post("/faces", content=files()[at])) for at in range(3)]
        await in_progress(client, 3)
        assert "too many" in await refused(client, 503, content=files()[3])
        go_on.set()
        for at, task in enumerate(accepted):
            assert (await task).json()["source"] == fingerprint(files()[at])

    talk(conversation, Limits(waiting=3), predict=predict)


def test_large_images_wait_for_each_other_and_others_do_not_wait_for_them() -> None:
    large, go_on = png_header(7000, 7000), threading.Event()

    def decode(data: bytes) -> bytes:
        if data == large:
            go_on.wait(30)
        return data

    async def conversation(client: Client) -> None:
        accepted = [asyncio.create_task(client.post("/faces", content=large)) for _ in range(2)]
        await in_progress(client, 2)
        assert (await client.post("/faces", content=files()[0])).status_code == 200
        assert "large images" in await refused(client, 503, content=large)
        go_on.set()
        assert [(await task).status_code for task in accepted] == [200, 200]

    talk(conversation, Limits(waiting=8), decode=decode)


@pytest.mark.parametrize(
    ("problem", "status", "sentence"),
    [
        (UnusableImageError("truncated"), 422, "truncated"),
        (UnusableImageError("not an image"), 415, "not an image"),
        (UnusableImageError("too large: 9 x 9 pixels"), 413, "too large: 9 x 9 pixels"),
        (MissingReaderError("HEIC", "pip install x"), 415, "does not read HEIC: send JPEG"),
    ],
)
def test_an_image_that_cannot_be_decoded_is_refused_with_the_reason(
    problem: UnusableImageError, status: int, sentence: str
) -> None:
    def decode(_: bytes) -> bytes:
        raise problem

    async def conversation(client: Client) -> None:
        assert sentence in await refused(client, status, content=files()[0])

    talk(conversation, decode=decode)


def test_slow_bodies_of_one_address_take_no_place_from_others() -> None:
    app = create_app(bytes, predict, Limits(waiting=4, per_address=6))

    async def run() -> None:
        async with app.router.lifespan_context(app), client_at("10.0.0.1", app) as slow, client_at("::2", app) as other:
            bodies = [asyncio.create_task(slow.post("/faces", content=slowly())) for _ in range(6)]
            await in_progress(other, 6)
            assert "this address" in await refused(slow, 429, content=files()[0])
            assert (await other.post("/faces", content=files()[0])).status_code == 200
            for body in bodies:
                body.cancel()
            await asyncio.gather(*bodies, return_exceptions=True)
            await in_progress(other, 0)
            assert (await slow.post("/faces", content=files()[0])).status_code == 200

    asyncio.run(run())


def test_bodies_that_arrive_share_a_bound_on_memory() -> None:
    async def nearly() -> AsyncIterator[bytes]:
        yield bytes(90_000)
        await asyncio.sleep(30)

    async def conversation(client: Client) -> None:
        bodies = [asyncio.create_task(client.post("/faces", content=nearly())) for _ in range(2)]
        await in_progress(client, 2)
        assert "arrive at once" in await refused(client, 503, content=bytes(90_000))
        for body in bodies:
            body.cancel()
        await asyncio.gather(*bodies, return_exceptions=True)

    talk(conversation, Limits(waiting=2, max_mb=0.1))


def test_requests_that_take_too_long_are_refused() -> None:
    go_on, predict = waiting_predict()

    async def conversation(client: Client) -> None:
        assert "0.3 s" in await refused(client, 408, content=slowly())
        assert "0.3 s" in await refused(client, 503, content=files()[0])
        go_on.set()

    talk(conversation, Limits(seconds=0.3), predict=predict)


def test_a_failure_is_reported_without_its_details() -> None:
    def fail(_: Sequence[bytes]) -> list[dict[str, Any]]:
        raise RuntimeError("/secret/path")

    async def conversation(client: Client) -> None:
        assert "secret" not in await refused(client, 500, content=files()[0])

    talk(conversation, predict=fail)


def test_many_clients_at_once_get_the_results_of_their_own_images() -> None:
    images = [encode(decode(data).pixels[::4, ::4], quality=80 + at % 3) for at, data in enumerate(files())]

    async def conversation(client: Client) -> None:
        async def one(start: int) -> None:
            for number in range(8):
                image = images[(start + 3 * number) % len(images)]
                response = await client.post("/faces", **(as_form(image) if number % 2 else {"content": image}))
                assert response.json()["source"] == fingerprint(image)

        await asyncio.gather(*(one(start) for start in range(32)))
        text = (await client.get("/metrics")).text
        assert 'face18_requests_total{status="200"} 256.0' in text
        assert "face18_batch_images_sum 256.0" in text

    talk(conversation, Limits(per_address=32))


def test_the_description_fetches_nothing_from_other_servers_and_names_every_status() -> None:
    async def conversation(client: Client) -> None:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert "//" not in page.text.replace("http://test", "")
        assert "PhotographResult" in page.text
        api = (await client.get("/openapi.json")).json()
        responses = api["paths"]["/faces"]["post"]["responses"]
        assert {"200", "400", "401", "408", "413", "415", "422", "429", "500", "503"} <= responses.keys()
        assert "bearer" in api["components"]["securitySchemes"]
        # What /metrics declares is what it returns.
        declared = api["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
        assert [(await client.get("/metrics")).headers["Content-Type"].split(";")[0]] == list(declared)

    talk(conversation)
