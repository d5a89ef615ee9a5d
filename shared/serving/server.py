"""Who may ask: anyone, or whoever knows the token.

An application listening on a socket until Ctrl-C or SIGTERM, then stopping when the last answer is given.

What the service tells Prometheus: counts and times, never anything about an image.
"""

import hmac
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from shared.messages import UserError
from shared.serving.limits import Refusal, impatient

TOKEN_VARIABLE = "FACE18_TOKEN"
SHORTEST = 16
"""Characters; what is shorter can be guessed."""


def find_token(file: Path | None) -> str | None:
    """The token in a file, or else in the environment variable `TOKEN_VARIABLE`; None where there is neither.

    Never on the command line, which every user of the machine can read. Raises `UserError` for a token that is too
    short and for a file that can't be read.
    """
    source = f"--token-file {file}" if file else TOKEN_VARIABLE
    try:
        token = file.read_text(encoding="utf-8") if file else os.environ.get(TOKEN_VARIABLE)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source} cannot be read: {error}") from None
    if token is None:
        return None
    token = token.strip()
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{source}: a token has at least {SHORTEST} plain characters; "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    return token


def check_token(authorization: str | None, token: str | None) -> None:
    """Compare in constant time; raises `Refusal` unless the Authorization header holds the token, if there is one."""
    if token is None:
        return
    scheme, _, given = (authorization or "").partition(" ")
    right = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            "this service wants a token: send it as Authorization: Bearer TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )


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


SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """A registry of its own for every service in the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "face18_requests", "Requests for an answer, by status.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "face18_request_seconds",
            "From the head of a request to its answer.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "face18_batch_images", "Images answered together.", buckets=IMAGES, registry=self.registry
        )
        self.waiting = Gauge(
            "face18_requests_in_progress", "Requests being received or answered.", registry=self.registry
        )
        self.faces = Counter("face18_faces", "Faces found.", registry=self.registry)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
