"""What a file claims to be, read from its first bytes: nothing is decoded for it."""

import io
import warnings
from http import HTTPStatus

from PIL import Image, UnidentifiedImageError

from shared.faces.picture_files import read_jpeg_header
from shared.serving.refusals import Refusal, too_large

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What cameras, phones and browsers make. Pillow knows many more, some of which start other programs."""


def check_picture(data: bytes, most_pixels: int) -> None:
    """Raises `Refusal` for an empty file, one that is no picture of `FORMATS`, and one that claims too many pixels."""
    if not data:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "empty file")
    width, height = _claimed_size(data)
    if width * height > most_pixels:
        raise too_large(f"too large: {width} x {height} pixels; {most_pixels:,} are the limit")


def _claimed_size(data: bytes) -> tuple[int, int]:
    header = read_jpeg_header(data)
    if header is not None:
        return header.width, header.height
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of odd metadata and of large pictures, which are looked at next.
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return image.size
    except UnidentifiedImageError as error:
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"not a picture, or none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise too_large("too large") from error
    except Exception as error:  # Pillow's readers raise nearly anything for a broken head.
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "broken") from error
