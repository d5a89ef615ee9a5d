"""Portraits with a face that the detector finds, drawn once per test session, and broken image files."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from shared.portraits import Portrait, draw_person

PERSONS = ((24, True), (45, False))


@cache
def portraits() -> tuple[Portrait, ...]:
    """Seven images of each of `PERSONS`, 384 x 512 pixels."""
    drawn = [draw_person(age, female, np.random.SeedSequence((0, 0, age))) for age, female in PERSONS]
    return tuple(portrait for person in drawn for portrait in person)


def bare() -> Portrait:
    """A portrait without a mask."""
    return next(portrait for portrait in portraits() if portrait.kind == "normal")


def encode(pixels: np.ndarray, form: str = "JPEG", **options: object) -> bytes:
    """An image file of uint8 pixels."""
    file = io.BytesIO()
    fast = {"compress_level": 1} if form == "PNG" else {}
    Image.fromarray(pixels).save(file, form, **fast, **options)
    return file.getvalue()


@cache
def files() -> tuple[bytes, ...]:
    """The portraits as JPEG files."""
    return tuple(encode(portrait.pixels, quality=90) for portrait in portraits())


def write_portraits(folder: Path, copies: int = 1) -> pd.DataFrame:
    """All portraits as files below `folder`; a table of image (id) and path (file), as the crop stage takes it."""
    rows = []
    for copy in range(copies):
        for number, data in enumerate(files()):
            path = folder / f"person{copy}-{number // 7}" / f"{number % 7}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            rows.append((path.relative_to(folder).as_posix(), str(path)))
    return pd.DataFrame(rows, columns=["image", "path"])


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores that marks the image with this EXIF orientation; from the standard's table (CIPA DC-008).

    The mark says which sides of the scene row 0 and column 0 show.
    """
    sides = [
        "top-left",
        "top-right",
        "bottom-right",
        "bottom-left",
        "left-top",
        "right-top",
        "right-bottom",
        "left-bottom",
    ]
    rows, columns = sides[orientation - 1].split("-")
    stored = pixels if rows in ("top", "bottom") else pixels.transpose(1, 0, 2)
    stored = stored[::-1] if rows in ("bottom", "right") else stored
    return np.ascontiguousarray(stored[:, ::-1] if columns in ("bottom", "right") else stored)


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims to be of this size, RGB."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = struct.pack(">I", 1000) + b"IDAT" + bytes(100)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + data


def broken_files() -> dict[str, tuple[bytes, str]]:
    """What goes wrong with files: content and expected reason by name."""
    jpeg, png = files()[0], encode(bare().pixels, "PNG")
    return {
        "empty.jpg": (b"", "empty file"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "text.jpg": (b"this is no image, whatever its name says", "not an image"),
        "zeros.jpg": (bytes(5000), "not an image"),
        "noise.png": (np.random.default_rng(0).bytes(5000), "not an image"),
        "head only.jpg": (jpeg[:4], "not an image"),
        "large.png": (png_header(8000, 8000), "too large: 8000 x 8000 pixels"),
        "bomb.png": (png_header(65536, 65536), "too large"),
    }


def blotches(seed: int) -> np.ndarray:
    """A crop with something to see at every scale, such as a perceptual hash needs; uint8 (256, 256, 3)."""
    random = np.random.default_rng(seed)
    layers = [
        cv2.resize(random.normal(size=(side, side, 3)) * 256 / side, (256, 256), interpolation=cv2.INTER_CUBIC)
        for side in (4, 8, 16, 32, 64)
    ]
    return np.clip(128 + 1.2 * sum(layers), 0, 255).astype(np.uint8)
