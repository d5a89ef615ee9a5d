"""From the body of a request to the bytes of its images.

Uploads are untrusted: bytes are counted while they arrive and kept in memory only; formats and sizes are read from the
file's header before anything is decoded.
"""

import asyncio
import base64
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

from pydantic import ValidationError
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, parse_options_header
from starlette.datastructures import Headers

from shared.faces.image_io import MissingReaderError, UnusableImageError, read_jpeg_header, read_size
from shared.serving.limits import Limits, Places, Refusal, too_large
from shared.serving.schema import ImagesBody

LARGE_PIXELS = 13_000_000
"""Images with more pixels than phones make are decoded one after the other, so that others do not wait for them."""
JPEG_SPEED = 4
"""A JPEG that is decoded at reduced size may have this many times the pixels."""
OVERHEAD = 64 * 1024
"""Bytes of a form or of JSON besides its images."""


@dataclass(frozen=True)
class Upload:
    """An image file as it was sent."""

    name: str
    """As its client calls it; empty if it has no name."""
    content: bytes | Refusal
    """Its bytes, or why there are none."""


async def read_images(
    body: AsyncIterator[bytes], headers: Headers, places: Places, limits: Limits, several: bool
) -> list[Upload]:
    """Return the files of a multipart form, or the whole body as one; with `several` also those of JSON (`ImagesBody`).

    Raises `Refusal` for a body that is too long or broken, for no image and for too many.
    """
    kind, parameters = parse_options_header(headers.get("Content-Type"))
    longest = limits.max_request if several else limits.max_bytes
    if kind == b"multipart/form-data":
        uploads = await _read_form(_count(body, headers, places, longest + OVERHEAD), parameters.get(b"boundary", b""))
    elif kind == b"application/json" and several:
        parts = [chunk async for chunk in _count(body, headers, places, longest * 4 // 3 + OVERHEAD)]
        uploads = await asyncio.to_thread(_parse_json, b"".join(parts))
    else:
        data = b"".join([chunk async for chunk in _count(body, headers, places, limits.max_bytes)])
        uploads = [Upload("", data)] if data or not several else []
    if not several and len(uploads) != 1:
        raise Refusal(HTTPStatus.BAD_REQUEST, "send a form with one file, the image")
    if not uploads:
        raise Refusal(HTTPStatus.BAD_REQUEST, "send at least one image")
    if len(uploads) > (most := min(limits.images, limits.waiting)):
        raise too_large(f"too many: {len(uploads)} images; a request may have {most}")
    return uploads


def _count(body: AsyncIterator[bytes], headers: Headers, places: Places, longest: int) -> AsyncIterator[bytes]:
    announced = headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > longest:
        raise places.too_long()
    return places.count(body, longest)


async def _read_form(body: AsyncIterator[bytes], boundary: bytes) -> list[Upload]:
    files: list[File] = []
    try:
        if not boundary:
            raise FormParserError("no boundary")
        # Without the limit on memory, files would be written to the disk.
        config = {"MAX_MEMORY_FILE_SIZE": math.inf}
        parser = FormParser("multipart/form-data", None, files.append, boundary=boundary, config=config)
        async for chunk in body:
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the multipart form is broken") from None
    uploads = []
    for file in files:
        file.file_object.seek(0)
        uploads.append(Upload((file.file_name or b"").decode(errors="replace"), file.file_object.read()))
    return uploads


def _parse_json(data: bytes) -> list[Upload]:
    try:
        images = ImagesBody.model_validate_json(data).images
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        sentence = f'send {{"images": [{{"content": "base64"}}]}}; {place}: {first["msg"]}'
        raise Refusal(HTTPStatus.BAD_REQUEST, sentence) from None
    return [Upload(image.name, _from_base64(image.content)) for image in images]


def _from_base64(text: str) -> bytes | Refusal:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY, "not base64: send only the encoded bytes, without data: or breaks"
        )


def check_image(data: bytes, limits: Limits) -> bool:
    """Read the size in an image's header; return whether it takes long to decode.

    Raises `Refusal` for an empty file, a file that is no image, and too many bytes or pixels.
    """
    if len(data) > limits.max_bytes:
        raise too_large(f"too large: {len(data):,} bytes; the limit is {limits.max_bytes:,}")
    try:
        width, height = read_size(data)
    except UnusableImageError as problem:
        raise refusal_of(problem) from None
    if width * height > limits.max_pixels:
        raise too_large(f"too large: {width} x {height} pixels; the limit is {limits.max_pixels:,}")
    header = read_jpeg_header(data)
    quick = header is not None and header.plain and not header.progressive
    return width * height > LARGE_PIXELS * (JPEG_SPEED if quick else 1)


def refusal_of(problem: UnusableImageError) -> Refusal:
    """Return the refusal of an image that cannot be decoded."""
    reason = str(problem)
    if isinstance(problem, MissingReaderError):
        sentence = f"this service does not read {problem.image_format}: send JPEG (for its operator: {problem.remedy})"
        return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, sentence)
    if reason.startswith("too large"):
        return too_large(reason)
    known = reason != "not an image"
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY if known else HTTPStatus.UNSUPPORTED_MEDIA_TYPE, reason)
