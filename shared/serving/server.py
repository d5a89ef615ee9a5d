"""An application listening on a socket until Ctrl-C or SIGTERM, then stopping when the last answer is given."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from shared.errors import UserError
from shared.serving.connections import impatient

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def bind(host: str, port: int) -> socket.socket:
    """A socket at this address, port 0 for any that is free; raises `UserError` where it can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UserError(
            f"--host {host} --port {port} cannot be had ({error.strerror or error}); --port 0 takes any that is free"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    """As one types it into a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(app: Any, listener: socket.socket, stop_seconds: float, header_seconds: float, connections: int) -> None:
    """Run an ASGI application until Ctrl-C or SIGTERM; then whoever has asked is answered, if within `stop_seconds`.

    A second Ctrl-C ends at once.
    """
    config = uvicorn.Config(
        app,
        http=impatient(header_seconds),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=connections,
        timeout_graceful_shutdown=round(stop_seconds),
    )
    with _signals_ignored_afterwards():
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _signals_ignored_afterwards() -> Iterator[None]:
    """uvicorn raises the signal that stopped it once more for those who were there before: here, nobody minds."""
    before = {number: signal.signal(number, _nothing) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(*_: object) -> None:
    pass
