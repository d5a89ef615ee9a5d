"""Reading a source picture with what the index says of it, and writing its crop."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from shared.atomic import replacing
from shared.crops import CROP_SIZE, UNREADABLE
from shared.faces.cache import Row, fingerprint
from shared.faces.picture_files import NEUTRAL, Picture, UnusablePictureError, decode
from shared.faces.recipe import RECIPE


@dataclass(frozen=True)
class Source:
    """A picture's beginning of an index row, and its pixels unless they cannot be had."""

    row: Row
    picture: Picture | None


def read_source(picture: str, path: str) -> Source:
    """Read a file; what keeps it from being used is said in the row's `problem`."""
    row: Row = {"picture": picture, "file": "", "recipe": RECIPE.id, "found": UNREADABLE, "faces": 0, "problem": ""}
    row |= {"size": -1, "mtime_ns": -1, "fingerprint": ""}
    try:
        with Path(path).open("rb") as file:
            # Of the open file, so that they belong to the bytes that are read even if someone replaces it meanwhile.
            stat = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        return Source({**row, "problem": (error.strerror or "cannot be read").lower()}, None)
    row |= {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "fingerprint": fingerprint(data)}
    try:
        decoded = decode(data)
    except UnusablePictureError as problem:
        return Source({**row, "problem": str(problem)}, None)
    return Source({**row, "width": decoded.width, "height": decoded.height}, decoded)


def write_crop(out: Path, picture: str, pixels: np.ndarray) -> str:
    """Write a crop, uint8 RGB, below `out`, and return its name there.

    The name keeps the picture's own suffix, so that a.png and a.jpg do not collide.
    """
    file = f"{RECIPE.id}/{picture}.jpg"
    with replacing(out / file) as temporary:
        temporary.write_bytes(_encode(pixels).tobytes())
    return file


def as_stored(pixels: np.ndarray) -> np.ndarray:
    """What is read back of a crop once it was written: the networks have only ever seen such."""
    stored = cv2.imdecode(_encode(pixels), cv2.IMREAD_COLOR)
    assert stored is not None, "what OpenCV encoded it decodes"
    return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)


def _encode(pixels: np.ndarray) -> np.ndarray:
    """The bytes of a crop's file, uint8 (length,)."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, RECIPE.jpeg_quality]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)[1]


def write_grey(out: Path, picture: str) -> str:
    """Write the crop that stands for an unreadable picture."""
    return write_crop(out, picture, np.full((CROP_SIZE, CROP_SIZE, 3), NEUTRAL, np.uint8))
