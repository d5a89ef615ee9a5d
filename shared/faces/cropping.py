"""A chunk of picture files -> crop files and their index rows: the work that processes share out among themselves."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from shared.atomic import replacing
from shared.crops import BOX, CROP_SIZE, LANDMARKS, PRIOR, UNREADABLE
from shared.faces.alignment import crop
from shared.faces.detection import Face, find_faces
from shared.faces.picture_files import NEUTRAL, BadPicture, Picture, decode
from shared.faces.recipe import RECIPE

Row = dict[str, Any]
"""One line of the index, by column."""


class Source(NamedTuple):
    """A picture's id and file, and for a second round where its eyes are taken to be."""

    picture: str
    path: str
    eyes: tuple[float, ...] | None = None
    """x and y of the left, then of the right eye, in pixels of the upright picture."""


@dataclass(frozen=True)
class _Read:
    row: Row
    picture: Picture | None


def crop_chunk(sources: Sequence[Source], out: Path, device: str) -> list[Row]:
    """Find the faces, write the crops below `out`, return the index rows.

    A picture without a face gets a row but no crop yet: that takes the whole set, see `crop_at`.
    """
    reads = [_read(source) for source in sources]
    faces = iter(find_faces([read.picture for read in reads if read.picture is not None], device))
    return [_finish(read, next(faces) if read.picture is not None else None, out) for read in reads]


def crop_at(sources: Sequence[Source], out: Path) -> list[Row]:
    """Cut pictures, in which no face was found, where their `eyes` say."""
    rows = []
    for source in sources:
        read = _read(source)
        if read.picture is None:
            rows.append(_finish(read, None, out))
            continue
        eyes = dict(zip(LANDMARKS, source.eyes or (), strict=False))
        pixels = crop(read.picture, np.reshape(list(eyes.values()), (2, 2)))
        rows.append({**read.row, **eyes, "found": PRIOR, "file": _write(out, source.picture, pixels)})
    return rows


def fingerprint(data: bytes) -> str:
    """Of a file's bytes: 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _read(source: Source) -> _Read:
    row: Row = {"picture": source.picture, "file": "", "recipe": RECIPE.id, "found": UNREADABLE, "faces": 0}
    try:
        with Path(source.path).open("rb") as file:
            stat = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        return _Read({**row, "size": -1, "mtime_ns": -1, "fingerprint": "", "problem": str(error.strerror)}, None)
    row |= {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "fingerprint": fingerprint(data)}
    try:
        picture = decode(data)
    except BadPicture as problem:
        return _Read({**row, "problem": str(problem)}, None)
    return _Read({**row, "width": picture.width, "height": picture.height}, picture)


def _finish(read: _Read, face: Face | None, out: Path) -> Row:
    row, picture = read.row, read.picture
    if picture is None:
        grey = np.full((CROP_SIZE, CROP_SIZE, 3), NEUTRAL, np.uint8)
        return {**row, "file": _write(out, row["picture"], grey)}
    if face is None:
        return {**row, "found": PRIOR}
    places = dict(zip([*BOX, *LANDMARKS], [*face.box.tolist(), *face.landmarks.ravel().tolist()], strict=True))
    pixels = crop(picture, face.landmarks[:2])
    found = {"found": face.found, "faces": face.faces, "probability": face.probability}
    return {**row, **found, **places, "file": _write(out, row["picture"], pixels)}


def _write(out: Path, picture: str, pixels: np.ndarray) -> str:
    """Write a crop; its name below `out` keeps the picture's own suffix, so that a.png and a.jpg do not collide."""
    file = f"{RECIPE.id}/{picture}.jpg"
    quality = [cv2.IMWRITE_JPEG_QUALITY, RECIPE.jpeg_quality]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    with replacing(out / file) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return file
