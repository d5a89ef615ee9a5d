"""From the body of a request to the bytes of one image.

Uploads are untrusted: bytes are counted while they arrive and kept in memory only; formats and sizes are read from the
file's header before anything is decoded.
"""

import math
from collections.abc import AsyncIterator
from http import HTTPStatus

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, parse_options_header
from starlette.datastructures import Headers

from shared.faces.image_io import MissingReaderError, UnusableImageError, read_jpeg_header, read_size
from shared.serving.limits import Limits, Places, Refusal, too_large

LARGE_PIXELS = 13_000_000
"""Images with more pixels than phones make are decoded one after the other, so that others do not wait for them."""
JPEG_SPEED = 4
"""A JPEG that is decoded at reduced size may have this many times the pixels."""
FORM_OVERHEAD = 64 * 1024
"""Bytes of a form besides its file."""


async def read_image(body: AsyncIterator[bytes], headers: Headers, places: Places, limits: Limits) -> bytes:
    """Return the file of a multipart form, or the whole body if it is no form.

    Raises `Refusal` for a body that is too long, and for forms that are broken or do not hold exactly one file.
    """
    kind, parameters = parse_options_header(headers.get("Content-Type"))
    is_form = kind == b"multipart/form-data"
    longest = limits.max_bytes + FORM_OVERHEAD * is_form
    announced = headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > longest:
        raise too_large(f"too large: an image file may have {limits.max_bytes:,} bytes")
    counted = places.count(body, longest)
    if is_form:
        return await _read_form(counted, parameters.get(b"boundary", b""))
    return b"".join([chunk async for chunk in counted])


async def _read_form(body: AsyncIterator[bytes], boundary: bytes) -> bytes:
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
    if len(files) != 1:
        raise Refusal(HTTPStatus.BAD_REQUEST, "send a form with one file, the image")
    files[0].file_object.seek(0)
    return files[0].file_object.read()


def check_image(data: bytes, max_pixels: int) -> bool:
    """Read the size in an image's header; return whether it takes long to decode.

    Raises `Refusal` for an empty file, a file that is no image, and too many pixels.
    """
    try:
        width, height = read_size(data)
    except UnusableImageError as problem:
        raise refusal_of(problem) from None
    if width * height > max_pixels:
        raise too_large(f"too large: {width} x {height} pixels; the limit is {max_pixels:,}")
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
