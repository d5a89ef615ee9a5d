"""Reading a source image with what the index says of it, and writing its crop.

A chunk of image files -> crop files and their index rows: the work that processes share out among themselves.

Images in which no face was found are cut where faces lie in the other images of the set.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from shared.crops import BOX, CROP_SIZE, DETECTED, LANDMARKS, PRIOR, UNREADABLE
from shared.faces.alignment import DetectedFace, crop, find_faces
from shared.faces.cache import Row, as_rows, as_table, fingerprint
from shared.faces.image_io import NEUTRAL, DecodedImage, UnusableImageError, decode
from shared.faces.mtcnn_nets import load_detector
from shared.faces.recipe import RECIPE
from shared.files import replacing


@dataclass(frozen=True)
class SourceImage:
    """An image's beginning of an index row, and its pixels unless they cannot be had."""

    row: Row
    image: DecodedImage | None


def read_source(image: str, path: str) -> SourceImage:
    """Read a file; what keeps it from being used is said in the row's `problem`."""
    row: Row = {"image": image, "file": "", "recipe": RECIPE.id, "found": UNREADABLE, "faces": 0, "problem": ""}
    row |= {"size": -1, "mtime_ns": -1, "fingerprint": ""}
    try:
        with Path(path).open("rb") as file:
            # Of the open file, so that they belong to the bytes that are read even if someone replaces it meanwhile.
            stat = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        return SourceImage({**row, "problem": (error.strerror or "cannot be read").lower()}, None)
    row |= {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "fingerprint": fingerprint(data)}
    try:
        decoded = decode(data)
    except UnusableImageError as problem:
        return SourceImage({**row, "problem": str(problem)}, None)
    return SourceImage({**row, "width": decoded.width, "height": decoded.height}, decoded)


def write_crop(out: Path, image: str, pixels: np.ndarray) -> str:
    """Write a crop, uint8 RGB, below `out`, and return its name there.

    The name keeps the image's own suffix, so that a.png and a.jpg do not collide.
    """
    file = f"{RECIPE.id}/{image}.jpg"
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


def write_grey(out: Path, image: str) -> str:
    """Write the crop that stands for an unreadable image."""
    return write_crop(out, image, np.full((CROP_SIZE, CROP_SIZE, 3), NEUTRAL, np.uint8))


PIXEL_BYTES = 200_000_000
"""Decoded images are held in memory up to about this size, however many a chunk has and however large they are."""


def crop_chunk(images: Sequence[tuple[str, str]], out: Path, device: str = "cpu") -> list[Row]:
    """Find the faces in images, given by id and file, write the crops below `out`, return the index rows.

    An image without a face gets a row but no crop yet: where to cut it depends on the whole set (see `prior`).
    """
    rows, nets = [], load_detector(device)
    for batch in _read_batches(images):
        faces = iter(find_faces([source.image for source in batch if source.image is not None], nets))
        rows += [_finish(source, next(faces) if source.image is not None else None, out) for source in batch]
    return rows


def _read_batches(images: Sequence[tuple[str, str]]) -> Iterator[list[SourceImage]]:
    batch: list[SourceImage] = []
    held = 0
    for image, path in images:
        source = read_source(image, path)
        batch.append(source)
        held += source.image.pixels.nbytes if source.image is not None else 0
        if held > PIXEL_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _finish(source: SourceImage, face: DetectedFace | None, out: Path) -> Row:
    row, image = source.row, source.image
    if image is None:
        return {**row, "file": write_grey(out, row["image"])}
    if face is None:
        return {**row, "found": PRIOR}
    # Rounded as in the index, so that whoever reads the index can cut the very same crop.
    landmarks = face.landmarks.astype(float).round(2)
    places = dict(zip([*BOX, *LANDMARKS], [*face.box.tolist(), *landmarks.ravel().tolist()], strict=True))
    file = write_crop(out, row["image"], crop(image, landmarks[:2]))
    return {**row, **places, "found": face.found, "faces": face.faces, "probability": face.probability, "file": file}


EYES = LANDMARKS[:4]

ENOUGH = 10
"""Detected faces; with fewer the usual place in a portrait is assumed."""

USUAL = (0.5, 0.42, 0.18)
"""The point between the eyes as shares of width and height, and their distance as a share of the shorter side."""


def cut_by_prior(rows: pd.DataFrame, paths: dict[str, str], out: Path) -> pd.DataFrame:
    """Write the crops of all images without a face, and return the rows completed.

    `rows` is a whole index, indexed by image: the assumed place depends on nothing else, so that a run that was
    taken up ends with the same crops as one that was not. Crops that are there and in that place are kept.
    """
    missed = rows[rows["found"] == PRIOR]
    eyes = assumed_eyes(rows, missed)
    moved = missed[(missed["file"] == "") | (missed[EYES].astype(float) != eyes).any(axis=1)].index
    if moved.empty:
        return rows
    places = dict(zip(moved, eyes.loc[moved].to_numpy().tolist(), strict=True))
    return as_table(
        [
            _cut(row, paths[row["image"]], places[row["image"]], out) if row["image"] in places else row
            for row in as_rows(rows)
        ]
    )


def assumed_eyes(rows: pd.DataFrame, missed: pd.DataFrame) -> pd.DataFrame:
    """Level eyes for the missed images, in pixels rounded to 0.01; columns as in the index."""
    x, y, distance = typical_place(rows[rows["found"] == DETECTED])
    width, height = missed["width"].astype(float), missed["height"].astype(float)
    half = distance * np.minimum(width, height) / 2
    return pd.concat([x * width - half, y * height, x * width + half, y * height], axis=1, keys=EYES).round(2)


def typical_place(detected: pd.DataFrame) -> tuple[float, float, float]:
    """The median place of detected eyes, in the terms of `USUAL`."""
    if len(detected) < ENOUGH:
        return USUAL
    table = detected[[*EYES, "width", "height"]].astype(float)
    left, right = (table[[f"{side}_eye_x", f"{side}_eye_y"]].to_numpy() for side in ("left", "right"))
    size = table[["width", "height"]].to_numpy()
    x, y = np.median((left + right) / 2 / size, axis=0)
    return float(x), float(y), float(np.median(np.hypot(*(right - left).T) / size.min(axis=1)))


def _cut(row: Row, path: str, eyes: Sequence[float], out: Path) -> Row:
    """The row completed. Should the file have changed since it was looked at, the row's fingerprint still tells."""
    source = read_source(row["image"], path)
    if source.image is None:
        problem = {"found": UNREADABLE, "problem": source.row["problem"]}
        return {**row, **problem, "file": write_grey(out, row["image"])}
    file = write_crop(out, row["image"], crop(source.image, np.reshape(eyes, (2, 2))))
    return {**row, **dict(zip(EYES, eyes, strict=True)), "file": file}
