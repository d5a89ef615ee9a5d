"""The service with an answering that tells which image it was asked about: what is let in, what is refused."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
from drawn_faces import broken_files, encode, files, png_header

from shared.faces.image_io import UnusableImageError, decode
from shared.serving.app import create_app
from shared.serving.limits import Limits

TOKEN = "a-token-for-the-tests-only"
Client = httpx.AsyncClient
Answers = Callable[[Sequence[bytes]], Sequence[dict[str, Any]]]


def fingerprint(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def answer(image: bytes) -> dict[str, Any]:
    problem = None
    try:
        decode(image)
    except UnusableImageError as error:
        problem = str(error)
    return {"source": fingerprint(image), "width": 1, "height": 1, "faces": [], "problem": problem}


def answering(images: Sequence[bytes]) -> list[dict[str, Any]]:
    return [answer(image) for image in images]


def talk(
    conversation: Callable[[Client], Awaitable[None]],
    limits: Limits | None = None,
    token: str | None = None,
    answers: Answers = answering,
) -> None:
    """Start the application, let a client talk to it, stop it."""
    app = create_app(answers, limits, token)

    async def run() -> None:
        client = Client(transport=httpx.ASGITransport(app), base_url="http://test")
        async with app.router.lifespan_context(app), client:
            await asyncio.wait_for(conversation(client), 60)

    asyncio.run(run())


def as_form(image: bytes, name: str = "a.jpg") -> dict[str, Any]:
    return {"files": {"image": (name, image)}}


async def refused(client: Client, status: int, **request: Any) -> str:
    """The sentence of a refusal."""
    response = await client.post("/faces", **request)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["detail"]
    return str(response.json()["detail"])


def test_a_image_is_answered_as_a_form_and_as_it_is() -> None:
    async def conversation(client: Client) -> None:
        forms = [{"content": files()[0]}, as_form(files()[0]), {**as_form(files()[0]), "data": {"note": "a field"}}]
        for request in forms:
            response = await client.post("/faces", **request)
            assert response.status_code == 200, response.text
            assert response.json()["source"] == fingerprint(files()[0])

    talk(conversation)


def test_an_unusable_file_is_refused_with_a_sentence() -> None:
    async def conversation(client: Client) -> None:
        for name, (content, _) in broken_files().items():
            for request in ({"content": content}, as_form(content, name)):
                response = await client.post("/faces", **request)
                assert response.status_code in (413, 415, 422), (name, response.text)
                assert response.json()["detail"], name

    talk(conversation)


def test_a_image_that_claims_too_many_pixels_never_reaches_the_decoder() -> None:
    asked: list[bytes] = []

    def remember(images: Sequence[bytes]) -> list[dict[str, Any]]:
        asked.extend(images)
        return answering(images)

    async def conversation(client: Client) -> None:
        assert "300 x 300" in await refused(client, 413, content=png_header(300, 300))
        assert "384 x 512" in await refused(client, 413, content=files()[0])
        assert (await client.post("/faces", content=encode(decode(files()[0]).pixels[::8, ::8]))).status_code == 200

    talk(conversation, Limits(pixels=80_000), answers=remember)
    assert len(asked) == 1


FORM = "multipart/form-data; boundary=b"
BEGIN = b'--b\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n'


@pytest.mark.parametrize(("kind", "begin"), [("image/jpeg", b""), (FORM, BEGIN)], ids=["as it is", "form"])
def test_a_file_that_is_too_long_is_refused_while_it_arrives(kind: str, begin: bytes) -> None:
    async def endless(sent: list[int]) -> AsyncIterator[bytes]:
        yield begin
        for _ in range(300):
            sent.append(10_000)
            yield bytes(10_000)

    async def conversation(client: Client) -> None:
        for announced in ({}, {"Content-Length": "3000000"}):
            sent: list[int] = []
            head = {"Content-Type": kind, **announced}
            assert "20,000 bytes" in await refused(client, 413, content=endless(sent), headers=head)
            assert sum(sent) < 300_000

    talk(conversation, Limits(upload_bytes=20_000))


def test_forms_without_one_file_are_refused() -> None:
    two = [("image", ("a.jpg", files()[0])), ("image", ("b.jpg", files()[1]))]

    async def conversation(client: Client) -> None:
        assert "one file" in await refused(client, 400, files=two)
        assert "one file" in await refused(client, 400, files={"note": (None, "no file")})
        for kind in ("multipart/form-data", FORM, f"multipart/form-data; boundary={'b' * 999}"):
            await refused(client, 400, content=files()[0], headers={"Content-Type": kind})
        await refused(client, 400, content=BEGIN + files()[0], headers={"Content-Type": FORM})

    talk(conversation)


def test_with_a_token_only_those_who_send_it_are_answered() -> None:
    async def conversation(client: Client) -> None:
        for value in (None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \u00e4"):
            head = {} if value is None else {"Authorization": value.encode()}
            response = await client.post("/faces", content=files()[0], headers=head)
            assert response.status_code == 401, value
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert (await client.get("/metrics", headers=head)).status_code == 401
        head = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.post("/faces", content=files()[0], headers=head)).status_code == 200
        assert (await client.get("/metrics", headers=head)).status_code == 200
        assert (await client.get("/health")).json()["status"] == "ok"

    talk(conversation, token=TOKEN)


def test_who_comes_when_the_house_is_full_is_told_to_come_again() -> None:
    go_on = threading.Event()

    def slow(images: Sequence[bytes]) -> list[dict[str, Any]]:
        go_on.wait(30)
        return answering(images)

    async def conversation(client: Client) -> None:
        inside = [asyncio.create_task(client.post("/faces", content=files()[at])) for at in range(3)]
        while (await client.get("/metrics")).text.find("face18_requests_in_progress 3.0") < 0:
            await asyncio.sleep(0.01)
        response = await client.post("/faces", content=files()[3])
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) >= 1
        go_on.set()
        for at, task in enumerate(inside):
            assert (await task).json()["source"] == fingerprint(files()[at])

    talk(conversation, Limits(waiting=3), answers=slow)


def test_who_waits_too_long_for_an_answer_is_told_so() -> None:
    go_on = threading.Event()

    def stuck(images: Sequence[bytes]) -> list[dict[str, Any]]:
        go_on.wait(30)
        return answering(images)

    async def conversation(client: Client) -> None:
        response = await client.post("/faces", content=files()[0])
        assert response.status_code == 503
        assert "Retry-After" in response.headers
        go_on.set()

    talk(conversation, Limits(seconds=0.3), answers=stuck)


def test_who_sends_too_slowly_is_told_so() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield files()[0][:1000]
        await asyncio.sleep(30)

    async def conversation(client: Client) -> None:
        assert "0.3 s" in await refused(client, 408, content=slowly())

    talk(conversation, Limits(seconds=0.3))


def test_a_failure_is_told_without_its_inner_life() -> None:
    def failing(_: Sequence[bytes]) -> list[dict[str, Any]]:
        raise RuntimeError("/secret/path")

    async def conversation(client: Client) -> None:
        assert "secret" not in await refused(client, 500, content=files()[0])

    talk(conversation, answers=failing)


def test_many_clients_at_once_get_the_answers_to_their_own_images() -> None:
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

    talk(conversation)


def test_the_description_needs_nothing_from_outside() -> None:
    async def conversation(client: Client) -> None:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert "//" not in page.text.replace("http://test", "")
        assert "PhotographAnswer" in page.text
        description = (await client.get("/openapi.json")).json()
        assert {"200", "400", "401", "408", "413", "415", "422", "503"} <= description["paths"]["/faces"]["post"][
            "responses"
        ].keys()
        assert "bearer" in description["components"]["securitySchemes"]

    talk(conversation)
