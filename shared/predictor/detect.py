"""Every face in a photograph, cut out and aligned.

The main face is found and cut as the crop stage does it, to the last pixel, so that a portrait gets the answers that
`pipelines.*.predict` and `combine.py` give. Others are then looked for in a larger copy of the photograph: the crop
stage looks for one large face in a copy of 256 pixels, in which the faces of a group are too small to be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared.faces.alignment import MIN_EYE_DISTANCE, crop, find_faces, full_size
from shared.faces.crop import as_stored
from shared.faces.image_io import ENOUGH_SIDE, DecodedImage, UnusableImageError, decode, from_pixels
from shared.faces.mtcnn import Detector, Search, detect

Pixels = NDArray[np.uint8]
ImageSource = str | Path | bytes | Pixels
"""A file's path, a file's bytes, or upright pixels: RGB (height, width, 3)."""

Wanted = Literal["all", "main"]
"""Every face, or the one that a portrait is of."""

ENOUGH_FOR_GROUPS = 1600
"""Pixels: as `ENOUGH_SIDE`, where small faces are looked for."""

SMALLEST = 24
"""Pixels of the copy that is searched: smaller faces are not looked for, and could not be told apart either."""

PER_LEVEL = 100
MOST_FACES = 200
SURE = 0.9
"""Probability from which a face besides the main one is believed: a mask's pattern looks like a face now and then."""

LIKELY, ALIKE = 0.7, 0.6
"""Also believed, from this probability on, is one that has at least this share of the main face's width: who stands
beside others is about as large as they. `benchmarks/group_faces.py` counts what both rules find."""

SAME = 0.3
"""Boxes that share so much of the smaller one are of one face, where one of them is the main face."""


@dataclass(frozen=True)
class FoundFace:
    """A face, not yet answered for; lengths in pixels of the upright full-size photograph."""

    box: NDArray[np.float64]
    """x0, y0, x1, y1."""
    probability: float
    landmarks: NDArray[np.float64]
    """(5, 2): eyes, nose, corners of the mouth; of each pair the left one first, as seen."""
    crop: Pixels
    """Aligned by the eyes, RGB (256, 256, 3): what the specialists look at."""


@dataclass(frozen=True)
class FoundPhotograph:
    """The faces of a photograph; the main one first, then from left to right."""

    source: str
    width: int
    height: int
    faces: tuple[FoundFace, ...]
    problem: str | None = None
    """Why it could not be read, in a few words; None where it could."""


def find(
    sources: Sequence[ImageSource], detector: Detector | None = None, wanted: Wanted = "all"
) -> list[FoundPhotograph]:
    """The faces of each source. What cannot be read is told in its `problem`, and keeps no other from being read."""
    read = [_read(source) for source in sources]
    decoded_images = [decoded for decoded in read if isinstance(decoded, DecodedImage)]
    mains = iter(find_faces(decoded_images, detector))
    found = []
    for source, decoded in zip(sources, read, strict=True):
        if not isinstance(decoded, DecodedImage):
            found.append(FoundPhotograph(source_of(source), 0, 0, (), decoded))
            continue
        main = next(mains)
        faces = [] if main is None else [_cut(decoded, main.box, main.probability, main.landmarks)]
        if wanted == "all":
            faces += _others(_enlarged(source, decoded), faces, detector)
        found.append(FoundPhotograph(source_of(source), decoded.width, decoded.height, tuple(faces)))
    return found


def source_of(source: ImageSource) -> str:
    """What a photograph is called in messages."""
    if isinstance(source, str | Path):
        return str(source)
    return "bytes" if isinstance(source, bytes) else "pixels"


def _read(source: ImageSource, enough: int = ENOUGH_SIDE) -> DecodedImage | str:
    """The decoded, or why there is none."""
    try:
        if isinstance(source, np.ndarray):
            return from_pixels(_checked(source), enough)
        return decode(source if isinstance(source, bytes) else Path(source).read_bytes(), enough)
    except UnusableImageError as problem:
        return str(problem)
    except OSError as error:
        return (error.strerror or "cannot be read").lower()


def _checked(pixels: Pixels) -> Pixels:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise UnusableImageError(f"not RGB pixels: {pixels.dtype} of shape {pixels.shape}, not uint8 (H, W, 3)")
    return pixels


def _enlarged(source: ImageSource, decoded: DecodedImage) -> DecodedImage:
    """The same decoded with the resolution that small faces need, where it has any."""
    if max(decoded.width, decoded.height) <= max(decoded.pixels.shape[:2]):
        return decoded
    larger = _read(source, ENOUGH_FOR_GROUPS)
    return larger if isinstance(larger, DecodedImage) else decoded


def _others(decoded: DecodedImage, main: Sequence[FoundFace], detector: Detector | None) -> list[FoundFace]:
    """The faces besides the main one, from left to right."""
    side = min(max(decoded.pixels.shape[:2]), ENOUGH_FOR_GROUPS)
    search = Search(max(side, 256), SMALLEST, 0.6, 0.7, LIKELY, 2 * MOST_FACES, MOST_FACES)
    faces = detect([decoded.pixels], search, detector, PER_LEVEL)[0]
    others = []
    for place in np.argsort(faces.boxes[:, 0]):
        box, landmarks = (full_size(places[place], decoded.scale) for places in (faces.boxes, faces.landmarks))
        width, probability = box[2] - box[0], float(faces.probabilities[place])
        known = any(_overlap(box, face.box) > SAME for face in main)
        alike = any(width >= ALIKE * (face.box[2] - face.box[0]) for face in main)
        apart = np.hypot(*(landmarks[1] - landmarks[0])) >= MIN_EYE_DISTANCE * width
        if apart and not known and (alike or probability >= SURE):
            others.append(_cut(decoded, box, probability, landmarks))
    return others


def _overlap(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Common area of two boxes as a share of the smaller one."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    areas = [np.prod(box[2:] - box[:2]) for box in (one, other)]
    return float(np.prod(sides.clip(min=0)) / max(min(areas), 1e-9))


def _cut(
    decoded: DecodedImage, box: NDArray[np.floating], probability: float, landmarks: NDArray[np.floating]
) -> FoundFace:
    # Rounded and stored as the crop stage does it.
    places = landmarks.astype(np.float64).round(2)
    return FoundFace(box.astype(np.float64).round(2), probability, places, as_stored(crop(decoded, places[:2])))
