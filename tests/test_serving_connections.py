"""Connections on which nobody speaks are closed; those on which somebody speaks slowly are not."""

import asyncio
from collections.abc import Awaitable, Callable

import uvicorn

from shared.serving.limits import impatient
from shared.serving.server import bind

PATIENCE = 60
HEAD_SECONDS = 0.3


async def echo(scope: dict, receive: Callable[[], Awaitable[dict]], send: Callable[[dict], Awaitable[None]]) -> None:
    """An ASGI application that gives back what it is sent."""
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def converse(conversation: Callable[[str, int], Awaitable[None]]) -> None:
    """Let a client talk to a server that expects the head of a request within `HEAD_SECONDS`."""

    async def run() -> None:
        listener = bind("127.0.0.1", 0)
        config = uvicorn.Config(echo, http=impatient(HEAD_SECONDS), ws="none", lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                await asyncio.sleep(0.01)
            await asyncio.wait_for(conversation(*listener.getsockname()[:2]), PATIENCE)
        finally:
            server.should_exit = True
            await task

    asyncio.run(run())


def test_a_silent_connection_and_half_a_head_are_hung_up_on() -> None:
    async def conversation(host: str, port: int) -> None:
        for words in (b"", b"POST / HTTP/1.1\r\nHost: a\r\n"):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(words)
            assert await reader.read() == b""
            writer.close()

    converse(conversation)


def test_a_slow_body_is_waited_for_and_the_connection_is_used_again() -> None:
    async def conversation(host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
            await asyncio.sleep(2 * HEAD_SECONDS)
            writer.write(b"cd")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            assert await reader.readexactly(4) == b"abcd"
        writer.close()

    converse(conversation)
