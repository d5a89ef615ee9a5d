"""Annotated copies of photographs: a box and a caption for each face, and the files that the copies are written to."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.faces.image_io import decode
from shared.files import replacing
from shared.labels import IN_WORDS
from shared.messages import UserError
from shared.predictor.detect import turn
from shared.predictor.results import Face, Photograph

COLOURS = {"worn": (34, 139, 34), "incorrect": (230, 130, 0), "none": (200, 30, 30)}
"""RGB of the box by mask state."""

UNSURE = (90, 98, 110)
"""RGB of the box if the mask state is unsure."""

INK = (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX

DRAWN_SIDE = 1600
"""Pixels: larger photographs are halved before they are annotated."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

MAX_STEM = 180
"""Bytes of a copy's name without number and suffix; most disks allow 255 in all, temporary files included."""


def drawn_files(sources: Sequence[str], out: Path) -> dict[str, Path]:
    """Return a file of its own for each source's annotated copy: `out` if it names an image, else files below `out`.

    A copy has the name of its source. If that is taken, a number follows: the first that no other source or copy has,
    also on disks that ignore case or compose letters in another way. Raises `UserError` if one file would hold several
    photographs.

    >>> [file.name for file in drawn_files(["x/a.png", "y/a.png", "y/a-2.png"], Path("out")).values()]
    ['a.jpg', 'a-3.jpg', 'a-2.jpg']
    """
    if out.suffix.lower() in IMAGE_SUFFIXES:
        if len(sources) > 1:
            raise UserError(f"--draw {out} is one file, but there are {len(sources):,} photographs: name a folder")
        return {sources[0]: out}
    stems = {source: _shortened("stdin" if source == "-" else Path(source).stem) for source in sources}
    reserved, taken = {_key(stem) for stem in stems.values()}, set[str]()
    files = {}
    for source, stem in stems.items():
        name, number = stem, 2
        while _key(name) in taken or (name != stem and _key(name) in reserved):
            name, number = f"{stem}-{number}", number + 1
        taken.add(_key(name))
        files[source] = out / f"{name}.jpg"
    return files


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _shortened(stem: str) -> str:
    return os.fsencode(stem)[:MAX_STEM].decode(errors="ignore") if len(os.fsencode(stem)) > MAX_STEM else stem


def write_copy(content: bytes, photograph: Photograph, target: Path) -> None:
    """Write an annotated copy of an image file.

    Raises `UnusableImageError` if the file cannot be decoded, `UserError` if the copy cannot be written.
    """
    drawn = draw(upright_pixels(content, photograph), photograph)
    _, encoded = cv2.imencode(target.suffix, cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    with replacing(target) as temporary:
        temporary.write_bytes(encoded.tobytes())


def upright_pixels(content: bytes, photograph: Photograph) -> NDArray[np.uint8]:
    """Decode an image file for `draw`; raises `UnusableImageError` if that is impossible."""
    return turn(decode(content, DRAWN_SIDE).pixels.astype(np.uint8, copy=False), photograph.turned)


def draw(
    pixels: NDArray[np.uint8], photograph: Photograph, unsure_below: float = 0.0, legible: float = 0.0
) -> NDArray[np.uint8]:
    """Return a copy of the upright photograph, uint8 RGB at any size, with a box and a caption for each face.

    Predictions with a probability less than `unsure_below` are called unsure. A face whose letters would be smaller
    than the scale `legible` has only its number, in large letters.
    """
    drawn = np.ascontiguousarray(pixels).copy()
    scale = max(drawn.shape[:2]) / max(photograph.width, photograph.height)
    for number, face in enumerate(photograph.faces, 1):
        _draw_face(drawn, face, caption(face, number, unsure_below), scale, legible)
    return drawn


def caption(face: Face, number: int, unsure_below: float = 0.0) -> list[str]:
    """Return the lines below a face: mask; gender and age band; age. The first begins with its number."""
    choices = {"mask": face.mask, "gender": face.gender, "age band": face.band}
    mask, gender, band = (
        f"{name} unsure" if choice.probability < unsure_below else IN_WORDS[choice.name]
        for name, choice in choices.items()
    )
    return [f"{number}: {mask}", f"{gender}, {band}", f"age {face.age}"]


def _draw_face(pixels: NDArray[np.uint8], face: Face, lines: Sequence[str], scale: float, legible: float) -> None:
    corners = (np.array(face.box).reshape(2, 2) + 0.5) * scale - 0.5
    # Cut off at the edges, so that the box of a face that fills the photograph shows.
    (x0, y0), (x1, y1) = corners.round().clip(0, np.array(pixels.shape[1::-1]) - 1).astype(int).tolist()
    colour = UNSURE if lines[0].endswith("unsure") else COLOURS[face.mask.name]
    cv2.rectangle(pixels, (x0, y0), (x1, y1), colour, max(1, round(max(pixels.shape[:2]) / 500)))
    # Letters scale with the face, within readable limits.
    size = float(np.clip((x1 - x0) / 190, 0.3, 1.2))
    if size < legible:
        size, lines = 1.0, [lines[0].split(":")[0]]
    extents = [cv2.getTextSize(line, FONT, size, 1) for line in lines]
    height = max(extent[1] + base for extent, base in extents) + 2
    width = max(extent[0] for extent, _ in extents) + 4
    # Below the box, or inside it at the lower edge of the photograph.
    top = min(y1, pixels.shape[0] - height * len(lines))
    left = int(np.clip(x0, 0, max(0, pixels.shape[1] - width)))
    cv2.rectangle(pixels, (left, top), (left + width, top + height * len(lines)), colour, cv2.FILLED)
    for row, line in enumerate(lines, 1):
        corner = (left + 2, top + row * height - height // 4)
        cv2.putText(pixels, line, corner, FONT, size, INK, 1, cv2.LINE_AA)
