"""Image files -> upright RGB pixels, or an `UnusableImageError` with the reason in a few words."""

import io
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

ENOUGH_SIDE = 768
"""Images are halved while their longer side stays at least this many pixels long. A face that fills a fifth of the side
then still has more pixels than its crop."""

MOST_PIXELS = 50_000_000
"""Larger images are refused if they must be decoded at full size."""

MOST_JPEG_PIXELS = 400_000_000
"""The same limit for JPEGs that can be decoded at reduced size; larger ones would take many seconds."""

NEUTRAL = 127
"""Grey level behind transparent pixels and outside images."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
"""Formats of Pillow that are read. Others are not tried: some start programs (EPS), all are code that a stranger's file
would reach."""

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
"""Major brands of the two image formats in ISO base media files (ISO/IEC 23008-12)."""

EOI = b"\xff\xd9"
"""Marker at the end of a JPEG."""

MOST_MISSING = 0.25
"""Largest share of the area that may be missing at the end of a JPEG. A progressive one lacks detail everywhere."""

_REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_COLOR_RGB,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_COLOR_RGB,
}
"""OpenCV flags by reduction of the sides. The grey flags only set the reduction, RGB sets the colour; the colour flags
would give BGR."""


class UnusableImageError(Exception):
    """The message is the reason in a few words, without the file's name."""


@dataclass(frozen=True)
class DecodedImage:
    """Decoded pixels, perhaps at reduced size, and the size of the full image."""

    pixels: np.ndarray
    """uint8, RGB, upright, shape (height, width, 3)."""

    width: int
    """Width of the upright image at full size, in pixels."""

    height: int

    remark: str = ""
    """What is wrong with an image that is used nevertheless, such as "truncated"."""

    @property
    def scale(self) -> float:
        """Pixels of the full-size image per decoded pixel, >= 1."""
        return max(self.width, self.height) / max(self.pixels.shape[:2])


class MissingReaderError(UnusableImageError):
    """The image's format is known, but the package that reads it is not installed."""

    def __init__(self, image_format: str, remedy: str):
        super().__init__(f"{image_format}: {remedy}")
        self.image_format = image_format
        self.remedy = remedy


def decode(data: bytes, enough: int = ENOUGH_SIDE) -> DecodedImage:
    """Decode the bytes of an image file; of several frames the first.

    The image is halved while its longer side stays at least `enough` pixels long.
    A JPEG with a missing end is used with a remark if less than a quarter of its area is missing.
    Raises `UnusableImageError`: empty file, not an image, truncated, too large, broken, or a reader is not installed.
    """
    return decode_sizes(data, enough)[0]


def decode_sizes(data: bytes, *sides: int) -> tuple[DecodedImage, ...]:
    """Decode an image file once, and return what `decode` returns for each `enough` of `sides`."""
    header = read_jpeg_header(data)
    if header and header.plain:
        return _decode_jpeg(data, header, sides)
    with _opened(data) as image:
        if image.width * image.height > MOST_PIXELS:
            _refuse_size(*image.size)
        ImageOps.exif_transpose(image, in_place=True)
        pixels = _flatten(image)
    return tuple(from_pixels(pixels, side) for side in sides)


def read_size(data: bytes) -> tuple[int, int]:
    """Read width and height of an image file from its header, before its EXIF orientation; nothing is decoded.

    Raises `UnusableImageError` for what is no image.
    """
    header = read_jpeg_header(data)
    if header:
        return header.width, header.height
    with _opened(data) as image:
        return image.size


def from_pixels(pixels: np.ndarray, enough: int = ENOUGH_SIDE) -> DecodedImage:
    """Use an image that is decoded already, uint8 RGB (height, width, 3); it is halved as in `decode`."""
    height, width = pixels.shape[:2]
    return DecodedImage(_shrink(pixels, enough), width, height)


@dataclass(frozen=True)
class JpegHeader:
    """The frame header of a JPEG."""

    width: int
    height: int
    precision: int
    components: int
    progressive: bool
    lossy: bool
    end: int
    """Offset of the first byte after the frame header."""

    @property
    def plain(self) -> bool:
        """Whether OpenCV decodes it correctly: grey or YCbCr with eight bits. CMYK comes out wrong."""
        return self.lossy and self.precision == 8 and self.components in (1, 3) and self.width > 0 < self.height


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Read the segments up to the frame header (ITU-T T.81, annex B); None if there is none."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:  # Padding in front of a marker.
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            precision, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            return JpegHeader(width, height, precision, components, marker == 0xC2, marker <= 0xC2, at + 2 + length)
        else:
            at += 2 + length
    return None


def _decode_jpeg(data: bytes, header: JpegHeader, sides: Sequence[int]) -> tuple[DecodedImage, ...]:
    # A progressive JPEG takes the memory of its full size at any reduction.
    longest = 0 if header.progressive else max(header.width, header.height)
    reductions = [max(r for r in _REDUCED if r == 1 or longest >= r * side) for side in sides]
    decoded = {reduction: _decode_reduced(data, header, reduction) for reduction in dict.fromkeys(reductions)}
    images = []
    for side, reduction in zip(sides, reductions, strict=True):
        pixels, remark = decoded[reduction]
        turned = (pixels.shape[0] > pixels.shape[1]) != (header.height > header.width)  # By its EXIF orientation.
        width, height = (header.height, header.width) if turned else (header.width, header.height)
        images.append(DecodedImage(_shrink(pixels, side), width, height, remark))
    return tuple(images)


def _decode_reduced(data: bytes, header: JpegHeader, reduction: int) -> tuple[np.ndarray, str]:
    """Decode a JPEG with its sides divided by `reduction`; return its pixels and a remark."""
    if header.width * header.height > min(MOST_PIXELS * reduction**2, MOST_JPEG_PIXELS):
        _refuse_size(header.width, header.height)
    truncated = data.rfind(EOI) < header.end
    problem = UnusableImageError("truncated" if truncated else "broken JPEG data")
    try:
        # Without an end marker OpenCV decodes nothing; with one it fills what is missing with one colour.
        pixels = cv2.imdecode(np.frombuffer(data + EOI * truncated, np.uint8), _REDUCED[reduction])
    except cv2.error as error:
        raise problem from error
    if pixels is None:
        raise problem
    if truncated and (header.progressive or _missing_share(pixels) > MOST_MISSING):
        raise problem
    return pixels, "truncated" if truncated else ""


def _missing_share(pixels: np.ndarray) -> float:
    """The share of a truncated JPEG that OpenCV has filled with one colour, from the edge that was the lower one."""
    shares = []
    for turns in range(4):  # The EXIF orientation may have turned the lower edge to any side.
        rows = np.rot90(pixels, turns)
        varies = (rows != rows[:, :1]).any(axis=(1, 2))
        shares.append(1 - (int(np.flatnonzero(varies)[-1]) + 1) / len(rows) if varies.any() else 1.0)
    return max(shares)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open an image file with Pillow; all that it raises becomes `UnusableImageError`."""
    if not data:
        raise UnusableImageError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About odd metadata and large images; the size is looked at here.
            with Image.open(io.BytesIO(data), formats=_formats(data)) as image:
                yield image
    except UnidentifiedImageError as error:
        raise UnusableImageError("not an image") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise UnusableImageError("too large") from error
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, struct.error) as error:
        raise UnusableImageError("truncated" if "truncated" in str(error) else "broken") from error


def _formats(data: bytes) -> tuple[str, ...]:
    """The formats that Pillow may try; raises `UnusableImageError` if the reader of HEIC or AVIF is not installed."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in AVIF_BRANDS and not features.check("avif"):
        raise MissingReaderError("AVIF", "this Pillow cannot read it: pip install --upgrade pillow")
    if brand not in HEIC_BRANDS:
        return FORMATS
    try:
        from pi_heif import register_heif_opener
    except ImportError as error:
        raise MissingReaderError("HEIC", "pip install 'face18[heic]'") from error
    register_heif_opener()
    return (*FORMATS, "HEIF")


def _flatten(image: Image.Image) -> np.ndarray:
    """Convert any mode of Pillow to uint8 RGB; transparent parts become `NEUTRAL`."""
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        below = Image.new("RGBA", image.size, (NEUTRAL, NEUTRAL, NEUTRAL, 255))
        image = Image.alpha_composite(below, image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit levels by 65535, and others, which have no fixed white, by their maximum."""
    values = np.nan_to_num(np.asarray(image, np.float32))
    white = 65535.0 if image.mode.startswith("I;16") else max(float(values.max()), 1.0)
    return Image.fromarray((values.clip(0, white) * (255 / white)).astype(np.uint8))


def _shrink(pixels: np.ndarray, enough: int) -> np.ndarray:
    """Halve as often as `enough` allows, like the JPEG decoder."""
    halvings = int(np.log2(max(1.0, max(pixels.shape[:2]) / enough)))
    if not halvings:
        return pixels
    height, width = (max(1, length >> halvings) for length in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def _refuse_size(width: int, height: int) -> NoReturn:
    raise UnusableImageError(f"too large: {width} x {height} pixels")
