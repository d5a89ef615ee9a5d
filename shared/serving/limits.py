"""How much of anything one client, or all of them together, may ask for.

Why a request is not answered: a status for programs, a sentence for people.

A request's body -> the bytes of one image, held in memory and never longer than the limit.

HTTP connections that are closed when nobody speaks: uvicorn's, with a limit on the time for a request's head.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import h11
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True)
class Limits:
    """Memory is bounded by them: at most `waiting` uploads of `upload_bytes` each, and one image being decoded."""

    upload_bytes: int = 16 * 2**20
    """Of one image file."""

    pixels: int = 50_000_000
    """Width x height that a file may claim; it is looked at before anything is decoded."""

    seconds: float = 30.0
    """For sending an image, and again for being answered."""

    waiting: int = 48
    """Requests being received or answered; further ones are told to come again."""

    header_seconds: float = 10.0
    """For sending the head of a request; a silent connection is closed."""

    connections: int = 512
    """Open at the same time."""

    batch: int = 8
    """Images answered together."""

    batch_wait: float = 0.005
    """Seconds that an image waits for company."""


class Refusal(Exception):  # noqa: N818 - nothing went wrong here: the client is told no.
    """Becomes a response; the message is the sentence."""

    def __init__(self, status: HTTPStatus, sentence: str, headers: dict[str, str] | None = None):
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers or {}


def too_large(sentence: str) -> Refusal:
    """Bytes or pixels."""
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)


def come_again(sentence: str, seconds: int) -> Refusal:
    """For what may work later."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"Retry-After": str(seconds)})


FORM_OVERHEAD = 64 * 1024
"""Bytes of a form beside the image."""


async def read_image(body: AsyncIterator[bytes], content_type: str, announced: str | None, most: int) -> bytes:
    """The file of a multipart form, or the whole body where it is none.

    `announced` is the Content-Length header. Raises `Refusal` for what is longer than `most` bytes, as soon as that is
    known, and for forms that are broken or hold another number of files than one.
    """
    kind, parameters = parse_options_header(content_type)
    is_form = kind == b"multipart/form-data"
    longest = most + FORM_OVERHEAD * is_form
    if announced is not None and announced.isdecimal() and int(announced) > longest:
        raise _too_long(most)
    if is_form:
        return await _read_form(_limited(body, longest, most), parameters.get(b"boundary", b""), most)
    whole = bytearray()
    async for chunk in _limited(body, longest, most):
        whole += chunk
    return bytes(whole)


async def _limited(body: AsyncIterator[bytes], longest: int, most: int) -> AsyncIterator[bytes]:
    length = 0
    async for chunk in body:
        length += len(chunk)
        if length > longest:
            raise _too_long(most)
        yield chunk


def _too_long(most: int) -> Refusal:
    return too_large(f"too large: an image file may have {most:,} bytes")


async def _read_form(body: AsyncIterator[bytes], boundary: bytes, most: int) -> bytes:
    form = _Form()
    try:
        parser = form.parser(boundary)
        async for chunk in body:
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the multipart form is broken") from error
    if form.files != 1 or not form.whole:
        raise Refusal(HTTPStatus.BAD_REQUEST, "send a form with one file, the image")
    if len(form.content) > most:
        raise _too_long(most)
    return bytes(form.content)


class _Form:
    """Keeps the content of the first file; fields that are no files are passed over."""

    def __init__(self) -> None:
        self.files = 0
        self.whole = False
        self.content = bytearray()
        self._name = self._value = b""
        self._in_file = False

    def parser(self, boundary: bytes) -> MultipartParser:
        """Raises `FormParserError` for a boundary that no form may have."""
        if not boundary:
            raise FormParserError("no boundary")
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_part_data": self._on_data,
                "on_end": self._on_end,
            },
        )

    def _begin(self) -> None:
        self._in_file = False

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            with suppress(UnicodeDecodeError):
                _, options = parse_options_header(self._value)
                self._in_file = b"filename" in options
                self.files += self._in_file
        self._name = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file and self.files == 1:
            self.content += data[start:end]

    def _on_end(self) -> None:
        self.whole = True


def impatient(seconds: float) -> type[H11Protocol]:
    """A protocol for `uvicorn.Config(http=...)`: the head of a request must be there within so many seconds.

    uvicorn waits for it for ever, and a client that opens connections and says nothing would use them up.
    """

    class Impatient(H11Protocol):
        _head: asyncio.TimerHandle | None = None

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
            elif self._head is None:
                self._head = self.loop.call_later(seconds, self.transport.close)

        def _stop_watching(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return Impatient
