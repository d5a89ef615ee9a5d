"""Connections: silent ones are closed, slow ones are not, and no response waits for an acknowledgement."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvicorn

from shared.messages import UserError
from shared.serving.server import TOKEN_VARIABLE, HeaderTimeout, bind, find_token

PATIENCE = 60
HEADER_SECONDS = 0.3
TOKEN = "a-token-for-the-tests-only"


class Impatient(HeaderTimeout):
    seconds = HEADER_SECONDS


async def echo(scope: dict, receive: Callable[[], Awaitable[dict]], send: Callable[[dict], Awaitable[None]]) -> None:
    """An ASGI application that returns the body of a request; /delay returns whether Nagle's algorithm is off."""
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def converse(conversation: Callable[[uvicorn.Server, str, int], Awaitable[None]]) -> None:
    """Let a client talk to a server that expects the head of a request within `HEADER_SECONDS`."""

    async def run() -> None:
        listener = bind("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(echo, http=Impatient, ws="none", lifespan="off", log_level="critical"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                await asyncio.sleep(0.01)
            await asyncio.wait_for(conversation(server, *listener.getsockname()[:2]), PATIENCE)
        finally:
            server.should_exit = True
            await task

    asyncio.run(run())


def test_a_silent_connection_and_half_a_head_are_closed() -> None:
    async def conversation(_: uvicorn.Server, host: str, port: int) -> None:
        for sent in (b"", b"POST / HTTP/1.1\r\nHost: a\r\n"):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(sent)
            assert await reader.read() == b""
            writer.close()

    converse(conversation)


def test_a_slow_body_is_waited_for_and_the_connection_is_used_again() -> None:
    async def conversation(server: uvicorn.Server, host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
            await asyncio.sleep(2 * HEADER_SECONDS)
            writer.write(b"cd")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            assert await reader.readexactly(4) == b"abcd"
        # Otherwise the body of each response waits 40 ms for the acknowledgement of its head (Nagle's algorithm).
        (connection,) = server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()

    converse(conversation)


def test_an_address_in_use_is_refused_with_the_way_out() -> None:
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        with pytest.raises(UserError, match="--port 0"):
            bind(*listener.getsockname())


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
