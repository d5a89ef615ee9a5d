"""Image files -> crop files and their index rows: the work that processes share.

Images without a detected face are cut at the end, where faces lie in the other images of the set.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from shared.crops import BOX, CROP_SIZE, DETECTED, LANDMARKS, PRIOR, UNREADABLE, Row, as_rows, as_table
from shared.faces.alignment import RECIPE, DetectedFace, crop, find_faces
from shared.faces.image_io import NEUTRAL, DecodedImage, UnusableImageError, decode
from shared.faces.mtcnn import Detector
from shared.files import replacing

BATCH_BYTES = 200_000_000
"""A batch of decoded images ends when it exceeds this size in memory."""

EYE_COLUMNS = LANDMARKS[:4]

MIN_DETECTED = 10
"""With fewer detected faces `USUAL_PLACE` is assumed."""

USUAL_PLACE = (0.5, 0.42, 0.18)
"""The point between the eyes as shares of width and height, and their distance as a share of the shorter side."""


def crop_chunk(
    images: Sequence[tuple[str, str]], out: Path, device: str, record: Callable[[list[Row]], object]
) -> list[Row]:
    """Crop images, given by id and file: write the crops below `out`, then record and return the index rows.

    An image without a face gets a row but no crop yet; `cut_by_prior` cuts it.
    """
    # Loads torch, which a run without new images does not need.
    from shared.faces.mtcnn_nets import load_detector

    detector = load_detector(device)
    sources = (read_source(image, path) for image, path in images)
    rows = [_write(row, pixels, out) for _, row, pixels in crop_sources(sources, detector)]
    record(rows)
    return rows


@dataclass(frozen=True)
class SourceImage:
    """The first columns of an image's index row, and its pixels unless they cannot be read."""

    row: Row
    image: DecodedImage | None


def crop_sources(
    sources: Iterable[SourceImage], detector: Detector
) -> Iterator[tuple[SourceImage, Row, np.ndarray | None]]:
    """Yield each source with its index row, in which no file is named yet, and its crop; None without a face."""
    for batch in _batches(sources):
        faces = iter(find_faces([source.image for source in batch if source.image is not None], detector))
        for source in batch:
            if source.image is None:
                yield source, source.row, None
            elif (face := next(faces)) is None:
                yield source, {**source.row, "found": PRIOR}, None
            else:
                row, eyes = _placed(source.row, face)
                yield source, row, crop(source.image, eyes)


def fingerprint(data: bytes) -> str:
    """Hash of the bytes of a file: 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_source(image: str, path: str) -> SourceImage:
    """Read and decode a file; the column `problem` says why it could not be used."""
    try:
        with Path(path).open("rb") as file:
            # The time of the open file: somebody may replace it while it is read.
            time = os.fstat(file.fileno()).st_mtime_ns
            data = file.read()
    except OSError as error:
        return unread_source(image, (error.strerror or "cannot be read").lower())
    source = decode_source(image, data)
    return replace(source, row={**source.row, "mtime_ns": time})


def unread_source(image: str, problem: str) -> SourceImage:
    """Return the source of an image without content."""
    row: Row = {"image": image, "file": "", "recipe": RECIPE.id, "found": UNREADABLE, "faces": 0, "problem": problem}
    return SourceImage({**row, "size": -1, "mtime_ns": -1, "fingerprint": ""}, None)


def decode_source(image: str, data: bytes) -> SourceImage:
    """Decode the content of an image file; the column `problem` says why it could not be used."""
    row = {**unread_source(image, "").row, "size": len(data), "fingerprint": fingerprint(data)}
    try:
        decoded = decode(data)
    except UnusableImageError as problem:
        return SourceImage({**row, "problem": str(problem)}, None)
    size = {"width": decoded.width, "height": decoded.height}
    return SourceImage({**row, **size, "problem": decoded.remark}, decoded)


def _batches(sources: Iterable[SourceImage]) -> Iterator[list[SourceImage]]:
    batch: list[SourceImage] = []
    size = 0
    for source in sources:
        batch.append(source)
        size += source.image.pixels.nbytes if source.image is not None else 0
        if size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _placed(row: Row, face: DetectedFace) -> tuple[Row, np.ndarray]:
    """Complete the row of a detected face; return it with the eyes (2, 2) to align the crop by."""
    # Rounded as in the index, so that the same crop can be cut again from the index.
    landmarks = face.landmarks.astype(float).round(2)
    places = dict(zip([*BOX, *LANDMARKS], [*face.box.tolist(), *landmarks.ravel().tolist()], strict=True))
    return {**row, **places, "found": face.found, "faces": face.faces, "probability": face.probability}, landmarks[:2]


def _write(row: Row, pixels: np.ndarray | None, out: Path) -> Row:
    """Write the crop, a grey one for an unreadable image, and complete the row; one without a face gets none yet."""
    if pixels is not None:
        return {**row, "file": _write_crop(out, row["image"], pixels)}
    return {**row, "file": _write_grey(out, row["image"])} if row["found"] == UNREADABLE else row


def _write_crop(out: Path, image: str, pixels: np.ndarray) -> str:
    """Write a crop, uint8 RGB, and return its name below `out`.

    The name keeps the image's own suffix, so that a.png and a.jpg do not collide.
    """
    file = f"{RECIPE.id}/{image}.jpg"
    with replacing(out / file) as temporary:
        temporary.write_bytes(encode(pixels).tobytes())
    return file


def _write_grey(out: Path, image: str) -> str:
    """Write the grey crop of an unreadable image."""
    return _write_crop(out, image, np.full((CROP_SIZE, CROP_SIZE, 3), NEUTRAL, np.uint8))


def encode(pixels: np.ndarray) -> np.ndarray:
    """Compress a crop, uint8 RGB, as JPEG; the bytes of the file, uint8."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, RECIPE.jpeg_quality]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)[1]


def as_stored(pixels: np.ndarray) -> np.ndarray:
    """A crop after JPEG compression, as the networks see it in training; uint8 RGB in and out."""
    stored = cv2.imdecode(encode(pixels), cv2.IMREAD_COLOR)
    assert stored is not None, "OpenCV decodes what it encoded"
    return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)


def cut_by_prior(rows: pd.DataFrame, paths: dict[str, str], out: Path) -> pd.DataFrame:
    """Write the crops of all images without a face, and return the completed rows.

    `rows` is a whole index, indexed by image. The assumed place depends on nothing else, so a resumed run ends with the
    same crops as an undisturbed one. Crops that exist and were cut at that place are kept.
    """
    missed = rows[rows["found"] == PRIOR]
    eyes = assumed_eyes(rows, missed)
    moved = missed[(missed["file"] == "") | (missed[EYE_COLUMNS].astype(float) != eyes).any(axis=1)].index
    if moved.empty:
        return rows
    places = dict(zip(moved, eyes.loc[moved].to_numpy().tolist(), strict=True))
    return as_table(
        [
            _cut_at(row, paths[row["image"]], places[row["image"]], out) if row["image"] in places else row
            for row in as_rows(rows)
        ]
    )


def assumed_eyes(rows: pd.DataFrame, missed: pd.DataFrame) -> pd.DataFrame:
    """Level eyes for the missed images, in pixels rounded to 0.01; columns as in the index."""
    x, y, distance = typical_place(rows[rows["found"] == DETECTED])
    width, height = missed["width"].astype(float), missed["height"].astype(float)
    half = distance * np.minimum(width, height) / 2
    return pd.concat([x * width - half, y * height, x * width + half, y * height], axis=1, keys=EYE_COLUMNS).round(2)


def typical_place(detected: pd.DataFrame) -> tuple[float, float, float]:
    """The median place of detected eyes, in the units of `USUAL_PLACE`."""
    if len(detected) < MIN_DETECTED:
        return USUAL_PLACE
    table = detected[[*EYE_COLUMNS, "width", "height"]].astype(float)
    left, right = (table[[f"{side}_eye_x", f"{side}_eye_y"]].to_numpy() for side in ("left", "right"))
    size = table[["width", "height"]].to_numpy()
    x, y = np.median((left + right) / 2 / size, axis=0)
    return float(x), float(y), float(np.median(np.hypot(*(right - left).T) / size.min(axis=1)))


def _cut_at(row: Row, path: str, eyes: Sequence[float], out: Path) -> Row:
    """Cut the crop and complete the row, which keeps its fingerprint: a changed file is noticed by the next run."""
    source = read_source(row["image"], path)
    if source.image is None:
        problem = {"found": UNREADABLE, "problem": source.row["problem"]}
        return {**row, **problem, "file": _write_grey(out, row["image"])}
    file = _write_crop(out, row["image"], crop(source.image, np.reshape(eyes, (2, 2))))
    return {**row, **dict(zip(EYE_COLUMNS, eyes, strict=True)), "file": file}
