"""A chunk of picture files -> crop files and their index rows: the work that processes share out among themselves."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from shared.crops import BOX, LANDMARKS, PRIOR
from shared.faces.alignment import crop
from shared.faces.cache import Row
from shared.faces.crop_files import Source, read_source, write_crop, write_grey
from shared.faces.detection import Face, find_faces
from shared.faces.nets import load_detector

PIXEL_BYTES = 200_000_000
"""Decoded pictures are held in memory up to about this size, however many a chunk has and however large they are."""


def crop_chunk(pictures: Sequence[tuple[str, str]], out: Path, device: str = "cpu") -> list[Row]:
    """Find the faces in pictures, given by id and file, write the crops below `out`, return the index rows.

    A picture without a face gets a row but no crop yet: where to cut it depends on the whole set (see `prior`).
    """
    rows, nets = [], load_detector(device)
    for batch in _read_batches(pictures):
        faces = iter(find_faces([source.picture for source in batch if source.picture is not None], nets))
        rows += [_finish(source, next(faces) if source.picture is not None else None, out) for source in batch]
    return rows


def _read_batches(pictures: Sequence[tuple[str, str]]) -> Iterator[list[Source]]:
    batch: list[Source] = []
    held = 0
    for picture, path in pictures:
        source = read_source(picture, path)
        batch.append(source)
        held += source.picture.pixels.nbytes if source.picture is not None else 0
        if held > PIXEL_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _finish(source: Source, face: Face | None, out: Path) -> Row:
    row, picture = source.row, source.picture
    if picture is None:
        return {**row, "file": write_grey(out, row["picture"])}
    if face is None:
        return {**row, "found": PRIOR}
    # Rounded as in the index, so that whoever reads the index can cut the very same crop.
    landmarks = face.landmarks.astype(float).round(2)
    places = dict(zip([*BOX, *LANDMARKS], [*face.box.tolist(), *landmarks.ravel().tolist()], strict=True))
    file = write_crop(out, row["picture"], crop(picture, landmarks[:2]))
    return {**row, **places, "found": face.found, "faces": face.faces, "probability": face.probability, "file": file}
