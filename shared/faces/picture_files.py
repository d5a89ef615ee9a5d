"""Any picture file -> upright RGB pixels, or a `BadPicture` with the reason in a few words."""

import io
import struct
import warnings
from dataclasses import dataclass
from typing import NoReturn

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

ENOUGH_SIDE = 1024
"""Pixels: JPEGs are decoded at 1/2, 1/4 or 1/8 as long as their longer side stays at least this long."""

MOST_PIXELS = 50_000_000
"""Pictures that would be larger than this when decoded are refused: they are not portraits, and memory is finite."""

MOST_JPEG_PIXELS = 400_000_000
"""The same for JPEGs that are decoded at reduced size; beyond it decoding takes many seconds."""

NEUTRAL = 127
"""Grey level on which transparent pictures are laid, and which stands for "nothing there"."""


class BadPicture(Exception):
    """The file cannot be used; the message is the reason in a few words, without the file's name."""


@dataclass(frozen=True)
class Picture:
    """Decoded pixels, perhaps at reduced size, and the size of the whole picture."""

    pixels: np.ndarray
    """uint8, RGB, upright, shape (height, width, 3)."""

    width: int
    """Of the upright picture at full size, in pixels."""

    height: int

    @property
    def scale(self) -> float:
        """Pixels of the full-size picture per decoded pixel, >= 1."""
        return max(self.width, self.height) / max(self.pixels.shape[:2])


def decode(data: bytes) -> Picture:
    """Decode the bytes of a file in any format that Pillow reads; of several frames the first.

    Raises `BadPicture`: empty file, not a picture, truncated, too large, broken.
    """
    if not data:
        raise BadPicture("empty file")
    if not data.strip(b"\0"):
        raise BadPicture("nothing but zero bytes")
    header = _read_jpeg_header(data)
    return _decode_jpeg(data, header) if header and header.plain else _decode_any(data)


@dataclass(frozen=True)
class _JpegHeader:
    width: int
    height: int
    components: int
    precision: int
    progressive: bool
    lossy: bool
    end: int
    """Offset of the first byte behind the frame header."""

    @property
    def plain(self) -> bool:
        """Whether OpenCV decodes it right: grey or YCbCr at eight bits (CMYK it gets wrong)."""
        return self.lossy and self.precision == 8 and self.components in (1, 3)


def _read_jpeg_header(data: bytes) -> _JpegHeader | None:
    """Walk the segments to the frame header (ITU T.81, B.2.2); None where there is none."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        length = struct.unpack_from(">H", data, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            precision, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            return _JpegHeader(width, height, components, precision, marker == 0xC2, marker <= 0xC2, at + 2 + length)
        at += 2 + length
    return None


def _decode_jpeg(data: bytes, header: _JpegHeader) -> Picture:
    if data.rfind(b"\xff\xd9") < header.end:  # libjpeg would fill the rest with grey and say nothing.
        raise BadPicture("truncated")
    area, side = header.width * header.height, max(header.width, header.height)
    reduction = 1 if header.progressive else max([r for r in (2, 4, 8) if side >= r * ENOUGH_SIDE], default=1)
    if area > MOST_JPEG_PIXELS or area > MOST_PIXELS * reduction**2:
        _refuse_size(header.width, header.height)
    flag = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag[reduction])
    except cv2.error as error:
        raise BadPicture("broken JPEG data") from error
    if pixels is None:
        raise BadPicture("broken JPEG data")
    turned = (pixels.shape[0] > pixels.shape[1]) != (header.height > header.width)  # By its EXIF orientation.
    width, height = (header.height, header.width) if turned else (header.width, header.height)
    return Picture(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), width, height)


def _decode_any(data: bytes) -> Picture:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of odd metadata and large pictures; the latter are looked at below.
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MOST_PIXELS:
                    _refuse_size(*image.size)
                image.load()
                pixels = _flatten(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise BadPicture("not a picture") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise BadPicture("too large") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error) as error:
        raise BadPicture("truncated" if "truncated" in str(error) else f"broken: {error}"[:80]) from error
    return Picture(pixels, pixels.shape[1], pixels.shape[0])


def _flatten(image: Image.Image) -> np.ndarray:
    """Any of Pillow's modes -> uint8 RGB; transparent parts become `NEUTRAL`."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        image = _to_eight_bits(image)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        below = Image.new("RGBA", image.size, (NEUTRAL, NEUTRAL, NEUTRAL, 255))
        image = Image.alpha_composite(below, image)
    return np.asarray(image.convert("RGB"))


def _to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image, np.float32)
    brightest = 65535.0 if image.mode.startswith("I") else max(float(np.nanmax(values)), 1e-6)
    return Image.fromarray(np.nan_to_num(values / brightest * 255).clip(0, 255).astype(np.uint8))


def _refuse_size(width: int, height: int) -> NoReturn:
    raise BadPicture(f"too large: {width} x {height} pixels")
