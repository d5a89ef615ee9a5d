"""The application with a `predict` that returns which image it got: what is accepted, what is refused."""

import asyncio
import base64
import hashlib
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
from drawn_faces import encode, files, png_header

from shared.faces.image_io import MissingReaderError, UnusableImageError, decode
from shared.messages import UserError
from shared.serving.app import Model, create_app
from shared.serving.limits import Limits
from shared.serving.schema import ImagesResult

TOKEN = "a-token-for-the-tests-only"
FORM = "multipart/form-data; boundary=b"
FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n'
ABOUT = {"name": "a.zip", "trained_on": "drawings", "fingerprint": "0123456789abcdef"}
Client = httpx.AsyncClient
Predict = Callable[[Sequence[bytes]], Sequence[dict[str, Any]]]


def fingerprint(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def predict(images: Sequence[bytes]) -> list[dict[str, Any]]:
    """The hash of each image, where the remarks belong."""
    rest = {"width": 1, "height": 1, "faces": [], "problem": None, "upright": True, "turned": 0, "model": ABOUT}
    return [{**rest, "source": fingerprint(image), "remarks": [fingerprint(image)]} for image in images]


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
    **options: Any,
) -> None:
    """Start the application, let a client talk to it, stop it."""
    app = create_app(lambda: Model(ABOUT, decode, predict), limits, token, **options)

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


def as_json(*images: bytes) -> dict[str, Any]:
    body = {"images": [{"content": base64.b64encode(image).decode()} for image in images]}
    return {"json": body}


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ({"content": files()[0]}, ["image 1"]),
        ({"files": [("a", ("one.jpg", files()[0])), ("b", ("\ub450.jpg", files()[1]))]}, ["one.jpg", "\ub450.jpg"]),
        (as_json(*files()[:3]), ["image 1", "image 2", "image 3"]),
        ({"json": {"images": [{"name": "x", **as_json(files()[0])["json"]["images"][0]}]}}, ["x"]),
    ],
    ids=["body", "form", "JSON", "JSON with a name"],
)
def test_several_images_are_answered_in_their_order_with_their_names(
    request_: dict[str, Any], names: list[str]
) -> None:
    async def conversation(client: Client) -> None:
        response = await client.post("/v1/faces", **request_)
        answer = ImagesResult.model_validate_json(response.text)
        assert [image.source for image in answer.images] == names
        assert [image.remarks for image in answer.images] == [[fingerprint(image)] for image in files()[: len(names)]]
        assert answer.model.model_dump() == ABOUT

    talk(conversation)


def test_an_image_with_a_problem_does_not_stop_the_others() -> None:
    def fragile(images: Sequence[bytes]) -> list[dict[str, Any]]:
        if files()[1] in images:
            raise RuntimeError("/secret/path")
        return predict(images)

    images = as_json(files()[0], b"", b"no image", bytes(200_000), png_header(9000, 9000), files()[1], files()[2])[
        "json"
    ]
    images["images"].append({"content": "no base64!"})

    async def conversation(client: Client) -> None:
        response = await client.post("/v1/faces", json=images)
        assert response.status_code == 200
        answer = ImagesResult.model_validate_json(response.text)
        assert [image.status for image in answer.images] == [200, 422, 415, 413, 413, 500, 200, 422]
        assert [image.problem is None for image in answer.images] == [image.status == 200 for image in answer.images]
        assert "secret" not in response.text
        assert "base64" in (answer.images[-1].problem or "")

    talk(conversation, Limits(max_mb=0.1), predict=fragile)


@pytest.mark.parametrize(
    ("request_", "status", "sentence"),
    [
        ({}, 400, "at least one image"),
        ({"data": {"note": "a"}, "files": {"b": (None, "no file")}}, 400, "at least one image"),
        (as_json(), 400, "at least one image"),
        ({"json": {"image": "a"}}, 400, "images: Field required"),
        ({"json": {"images": ["a"]}}, 400, "images.0: Input should be an object"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "Invalid JSON"),
        (as_json(*[b"a"] * 50), 413, "50 images; a request may have 16"),
        ({"content": bytes(200_000)}, 413, "104,858 bytes"),
        ({"files": [("a", ("a", bytes(100_000)))] * 6}, 413, "419,432"),
    ],
)
def test_a_request_with_no_images_or_too_many_is_refused(request_: dict[str, Any], status: int, sentence: str) -> None:
    async def conversation(client: Client) -> None:
        response = await client.post("/v1/faces", **request_)
        assert (response.status_code, list(response.json())) == (status, ["detail"])
        assert sentence in response.json()["detail"]

    talk(conversation, Limits(max_mb=0.1))


def test_the_model_that_answers_is_named_by_readiness_and_metrics() -> None:
    async def conversation(client: Client) -> None:
        assert (await client.get("/health/ready")).json() == ABOUT
        metrics = (await client.get("/metrics")).text
        assert 'face18_build_info{fingerprint="0123456789abcdef",model="a.zip",version=' in metrics

    talk(conversation)


def test_sighup_loads_the_model_again_and_a_broken_one_does_not_replace_it(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    go_on, wait = waiting_predict()
    loads = iter([Model({**ABOUT, "name": "old"}, bytes, wait), UserError("broken"), Model(ABOUT, bytes, predict)])

    def load() -> Model[bytes]:
        model = next(loads)
        if isinstance(model, UserError):
            raise model
        return model

    async def names(client: Client, said: str) -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        while said not in capsys.readouterr().out + caplog.text:
            await asyncio.sleep(0.01)
        return str((await client.get("/health/ready")).json()["name"])

    async def run() -> None:
        app = create_app(load)
        async with app.router.lifespan_context(app), client_at("10.0.0.1", app) as client:
            begun = asyncio.create_task(client.post("/v1/faces", content=files()[0]))
            await in_progress(client, 1)
            assert await names(client, "the old one goes on: broken") == "old"
            assert await names(client, "was loaded again: a.zip") == "a.zip"
            go_on.set()
            assert (await begun).json()["model"]["name"] == "old"
            assert (await client.post("/v1/faces", content=files()[0])).json()["model"] == ABOUT

    asyncio.run(asyncio.wait_for(run(), 60))


def test_every_response_has_a_request_id_and_a_line_in_the_access_log(capsys: pytest.CaptureFixture[str]) -> None:
    async def conversation(client: Client) -> None:
        for given, kept in (("my-id.1", True), ("", False), ('no "id"', False), ("x" * 200, False)):
            response = await client.post("/v1/faces", **as_json(*files()[:2]), headers={"X-Request-ID": given})
            answered = response.headers["X-Request-ID"]
            assert (answered == given) == kept
            line = json.loads(capsys.readouterr().out)
            assert line["request_id"] == answered
            assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/faces", 200)
            assert (line["client"], line["images"], line["faces"]) == ("10.0.0.1", 2, 0)
        assert (await client.get("/nowhere")).headers["X-Request-ID"]
        assert json.loads(capsys.readouterr().out)["status"] == 404

    talk(conversation, access_log=True)


def test_pages_of_the_given_origins_and_no_others_may_send_requests() -> None:
    async def conversation(client: Client) -> None:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        for origin, allowed in (("https://a.example", True), ("https://b.example", False)):
            preflight = await client.options("/v1/faces", headers={"Origin": origin, **asked})
            response = await client.post("/v1/faces", content=files()[0], headers={"Origin": origin})
            for one in (preflight, response):
                assert (one.headers.get("Access-Control-Allow-Origin") == origin) == allowed

    talk(conversation, cors=["https://a.example"])


def test_head_and_options_are_answered_and_other_methods_refused() -> None:
    async def conversation(client: Client) -> None:
        for path, methods in (("/v1/faces", {"POST"}), ("/faces", {"POST"}), ("/health/live", {"GET", "HEAD"})):
            options = await client.options(path)
            assert options.status_code == 204
            assert set(options.headers["Allow"].split(", ")) == methods
            other = await client.delete(path)
            assert (other.status_code, other.json()["detail"]) == (405, f"{path} does not take DELETE")
        for path in ("/health", "/health/live", "/health/ready", "/metrics", "/docs"):
            assert (await client.head(path)).status_code == 200

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
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.headers["Retry-After"]) == (503, "1")
        assert (await client.get("/health/live")).status_code == 200
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
    app = create_app(lambda: Model(ABOUT, bytes, predict), Limits(waiting=4, per_address=6))

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
            for number in range(4):
                image = images[(start + 3 * number) % len(images)]
                response = await client.post("/faces", **(as_form(image) if number % 2 else {"content": image}))
                assert response.json()["source"] == fingerprint(image)

        await asyncio.gather(*(one(start) for start in range(16)))
        text = (await client.get("/metrics")).text
        assert 'face18_requests_total{status="200"} 64.0' in text
        assert "face18_batch_images_sum 64.0" in text

    talk(conversation, Limits(per_address=16))


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
