"""An ASGI application on a socket until Ctrl-C or SIGTERM; requests that have begun get their response."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from shared.messages import UserError

TOKEN_VARIABLE = "FACE18_TOKEN"
MIN_TOKEN = 16
"""Characters of a token; shorter ones could be guessed."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def find_token(file: Path | None) -> str | None:
    """Return the token in a file, or in the environment variable `TOKEN_VARIABLE`; None if there is neither.

    A token is never on the command line, which every user of the machine can read. Raises `UserError` for a token that
    is too short and for a file that cannot be read.
    """
    source = f"--token-file {file}" if file else TOKEN_VARIABLE
    try:
        token = file.read_text(encoding="utf-8") if file else os.environ.get(TOKEN_VARIABLE)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source} cannot be read: {error}") from None
    if token is None:
        return None
    token = token.strip()
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{source}: a token has at least {MIN_TOKEN} plain characters; "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    return token


def bind(host: str, port: int, shared: bool = False) -> socket.socket:
    """Return a socket at an address; port 0 takes a free one. Raises `UserError` if the address is not available.

    Linux spreads new connections over all `shared` sockets of an address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol, because asyncio turns off Nagle's algorithm only on connections whose socket names TCP; with it
    # on, the second half of a response waits 40 ms for the acknowledgement of the first.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared and hasattr(socket, "SO_REUSEPORT"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UserError(
            f"--host {host} --port {port} is not available ({error.strerror or error}); --port 0 takes a free port"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address of a socket as one types it into a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(app: Any, listener: socket.socket, stop_seconds: float, connections: int) -> None:
    """Run an ASGI application until Ctrl-C or SIGTERM.

    Requests that have begun then get their response, if it takes at most `stop_seconds`. A second Ctrl-C ends at once.
    Connections that do not send the head of a request within `HeaderTimeout.seconds` are closed.
    """
    with signals_ignored_afterwards():
        uvicorn.Server(configure(app, stop_seconds, connections)).run(sockets=[listener])


def configure(app: Any, stop_seconds: float, connections: int, **options: Any) -> uvicorn.Config:
    """Return uvicorn's configuration for `serve`, with further `options` of it."""
    return uvicorn.Config(
        app,
        http=HeaderTimeout,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=connections,
        timeout_graceful_shutdown=round(stop_seconds),
        **options,
    )


@contextmanager
def signals_ignored_afterwards() -> Iterator[None]:
    """uvicorn raises the signal that stopped it again when it has stopped, for handlers that were there before."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class HeaderTimeout(H11Protocol):
    """HTTP with a time limit for the head of a request.

    uvicorn itself has none, so that clients that open connections and send nothing would use up all connections.
    """

    seconds = 10.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.seconds, self.transport.close)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
