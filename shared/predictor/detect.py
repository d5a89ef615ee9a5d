"""Find every face in a photograph, and cut it out aligned by the eyes.

The main face is found and cut exactly as the crop stage does it, so that a portrait gets the predictions of
`pipelines.*.predict` and `combine.py`. If its face looks doubtful, the photograph is searched again on its side and
upside down, and turned if the face is clearer there. The other faces are looked for in a larger copy of the photograph:
the crop stage looks for one large face in a copy of 256 pixels, in which the faces of a group are too small.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.crops import DETECTED
from shared.faces.alignment import MIN_EYE_DISTANCE, RECIPE, DetectedFace, crop, find_faces, full_size
from shared.faces.crop import as_stored
from shared.faces.image_io import ENOUGH_SIDE, DecodedImage, UnusableImageError, decode_sizes, from_pixels
from shared.faces.mtcnn import Detector, Search, detect

Pixels = NDArray[np.uint8]
FaceSelection = Literal["all", "main"]
"""All faces, or only the main one of a portrait, which takes less time."""

GROUP_SIDE = 1600
"""Pixels: longer side of the copy in which the faces of a group are looked for."""

SMALLEST_FACE = 24
"""Pixels of that copy. Smaller faces are not looked for: they show too little to predict from."""

PROPOSALS_PER_SCALE = 100
MAX_FACES = 200

SURE = 0.9
"""Probability from which a face besides the main one is accepted; patterns of masks sometimes look like faces."""

LIKELY, SIMILAR_WIDTH = 0.7, 0.6
"""From this probability a face is accepted if it has at least this share of the main face's width: people side by side
have faces of similar size. `benchmarks/group_faces.py` counts what both rules find."""

SAME_FACE = 0.3
"""Overlap, as a share of the smaller box, from which a box shows the main face again."""

SURE_UPRIGHT, CLEARER, BY = 0.95, 0.9, 0.1
"""A main face that the first attempt finds with this probability is upright. Otherwise the photograph is turned if the
first attempt finds a face of probability `CLEARER` in a turned copy, by `BY` more than in the photograph as it is.
`benchmarks/group_faces.py` counts how often that is right."""

MAX_ROLL = 30
"""Degrees between the eyes and the horizontal: beyond, a detected face does not look upright."""

SMALL_FACE = 48
"""Pixels of the full-size photograph: the predictions of narrower faces are unreliable."""


@dataclass(frozen=True)
class DecodedPhotograph:
    """A photograph at the two resolutions in which faces are looked for."""

    source: str
    normal: DecodedImage
    """For the main face, as the crop stage decodes it."""
    enlarged: DecodedImage
    """For the small faces of a group; the same as `normal` if there is nothing to gain or only the main face counts."""
    upright: bool = False
    """Whether it is known to be upright, as frames of a video are; otherwise it is turned if its face looks turned."""


ImageSource = str | Path | bytes | Pixels | DecodedPhotograph
"""Path of a file, content of a file, upright pixels (RGB, (height, width, 3)), or what `decode_photograph` returns."""


@dataclass(frozen=True)
class AlignedFace:
    """A detected face and its aligned crop; lengths in pixels of the upright full-size photograph."""

    box: NDArray[np.float64]
    """x0, y0, x1, y1."""
    probability: float
    landmarks: NDArray[np.float64]
    """(5, 2): eyes, nose, corners of the mouth; of each pair the one on the left of the image first."""
    crop: Pixels
    """Aligned by the eyes, RGB (256, 256, 3): the input of the specialists."""
    main: bool
    """Whether it is the face that the crop stage would choose."""


@dataclass(frozen=True)
class DetectedPhotograph:
    """The faces of a photograph in reading order: from left to right, row by row."""

    source: str
    width: int
    """Pixels of the upright photograph; 0 if it could not be read."""
    height: int
    faces: tuple[AlignedFace, ...]
    problem: str | None = None
    """Why it could not be read, in a few words."""
    turned: int = 0
    """Degrees clockwise that the photograph was turned to be upright, besides its EXIF orientation: 0, 90, 180, 270."""
    remarks: tuple[str, ...] = ()
    """What may make its predictions unreliable, a sentence each."""


def detect_faces(
    sources: Sequence[ImageSource], detector: Detector, faces: FaceSelection = "all"
) -> list[DetectedPhotograph]:
    """Return for each source, in the same order, its photograph with all faces, or only the main one (`faces="main"`).

    A source that cannot be read gets a `problem` and no faces; the others are not affected.
    """
    decoded = [_decoded_or_problem(source, faces) for source in sources]
    photographs = [photograph for photograph in decoded if isinstance(photograph, DecodedPhotograph)]
    mains = iter(_main_faces(photographs, detector))
    detected = []
    for source, photograph in zip(sources, decoded, strict=True):
        if not isinstance(photograph, DecodedPhotograph):
            detected.append(DetectedPhotograph(name_of(source), 0, 0, (), photograph))
            continue
        main, turned = next(mains)
        upright = _turned(photograph.normal, turned)
        found = [] if main is None else [_align(upright, main.box, main.probability, main.landmarks, main=True)]
        if faces == "all":
            found += _other_faces(_turned(photograph.enlarged, turned), found, detector)
        ordered = tuple(found[at] for at in reading_order([face.box for face in found]))
        detected.append(
            DetectedPhotograph(
                photograph.source,
                upright.width,
                upright.height,
                ordered,
                turned=turned,
                remarks=_remarks(upright, turned, ordered),
            )
        )
    return detected


def decode_photograph(source: ImageSource, faces: FaceSelection = "all") -> DecodedPhotograph:
    """Decode a photograph for `detect_faces`, for example in a thread of its own.

    Raises `UnusableImageError` and `OSError` if it cannot be read.
    """
    if isinstance(source, DecodedPhotograph):
        return source
    sides = (ENOUGH_SIDE, GROUP_SIDE) if faces == "all" else (ENOUGH_SIDE,)
    if isinstance(source, np.ndarray):
        sizes = tuple(from_pixels(_checked(source), side) for side in sides)
    else:
        sizes = decode_sizes(source if isinstance(source, bytes) else Path(source).read_bytes(), *sides)
    return DecodedPhotograph(name_of(source), sizes[0], sizes[-1])


def name_of(source: ImageSource) -> str:
    """Return the path of a source; "bytes" or "pixels" if it has none."""
    if isinstance(source, DecodedPhotograph):
        return source.source
    if isinstance(source, str | Path):
        return str(source)
    return "bytes" if isinstance(source, bytes) else "pixels"


def _decoded_or_problem(source: ImageSource, faces: FaceSelection) -> DecodedPhotograph | str:
    """Decode a source, or return why that is impossible."""
    try:
        return decode_photograph(source, faces)
    except UnusableImageError as problem:
        return str(problem)
    except OSError as error:
        return (error.strerror or "cannot be read").lower()


def _checked(pixels: Pixels) -> Pixels:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise UnusableImageError(f"not RGB pixels: {pixels.dtype} of shape {pixels.shape}, not uint8 (H, W, 3)")
    return pixels


def _main_faces(photographs: Sequence[DecodedPhotograph], detector: Detector) -> list[tuple[DetectedFace | None, int]]:
    """Find the main face of each photograph, and the degrees clockwise by which the photograph is turned for it."""
    images = [photograph.normal for photograph in photographs]
    found: list[tuple[DetectedFace | None, int]] = [(face, 0) for face in find_faces(images, detector)]
    required = {
        at: max(CLEARER, _upright_probability(face) + BY)
        for at, (face, _) in enumerate(found)
        if not photographs[at].upright
        and (face is None or face.found != DETECTED or _upright_probability(face) < SURE_UPRIGHT)
    }
    for degrees in (90, 180, 270):
        copies = [_turned(images[at], degrees) for at in required]
        for at, face in zip(required, find_faces(copies, detector, RECIPE.attempts[:1]), strict=True):
            if _upright_probability(face) >= required[at]:
                found[at], required[at] = (face, degrees), _upright_probability(face)
    return found


def _upright_probability(face: DetectedFace | None) -> float:
    """Probability of a face whose eyes are about level; 0 for none."""
    if face is None:
        return 0.0
    x, y = face.landmarks[1] - face.landmarks[0]
    return face.probability if abs(np.degrees(np.arctan2(y, x))) <= MAX_ROLL else 0.0


def turn(pixels: Pixels, degrees: int) -> Pixels:
    """Turn an image (H, W, 3) clockwise by 0, 90, 180 or 270 degrees."""
    turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    return np.asarray(cv2.rotate(pixels, turns[degrees]) if degrees else pixels, np.uint8)


def _turned(image: DecodedImage, degrees: int) -> DecodedImage:
    if not degrees:
        return image
    width, height = (image.height, image.width) if degrees in (90, 270) else (image.width, image.height)
    return replace(image, pixels=turn(image.pixels, degrees), width=width, height=height)


def _remarks(decoded: DecodedImage, turned: int, faces: Sequence[AlignedFace]) -> tuple[str, ...]:
    small = [str(number) for number, face in enumerate(faces, 1) if face.box[2] - face.box[0] < SMALL_FACE]
    remarks = [f"{decoded.remark}: a part of the image is missing"] if decoded.remark else []
    if turned:
        remarks.append(f"the photograph was turned {turned} degrees clockwise, because its face is clearer that way")
    if small:
        which = f"face {small[0]} is" if len(small) == 1 else f"faces {', '.join(small)} are"
        remarks.append(f"{which} less than {SMALL_FACE} pixels wide: predictions are unreliable")
    return tuple(remarks)


def reading_order(boxes: Sequence[Sequence[float] | NDArray[np.float64]]) -> list[int]:
    """Return indices of boxes from left to right, row by row; a new row begins below the first face of the last.

    >>> reading_order([(50, 80, 60, 90), (40, 12, 50, 22), (5, 10, 15, 20)])
    [2, 1, 0]
    """
    rows: list[list[int]] = []
    for at in sorted(range(len(boxes)), key=lambda at: boxes[at][1]):
        if not rows or boxes[at][1] >= boxes[rows[-1][0]][3]:
            rows.append([])
        rows[-1].append(at)
    return [at for row in rows for at in sorted(row, key=lambda at: boxes[at][0])]


def _other_faces(decoded: DecodedImage, main: Sequence[AlignedFace], detector: Detector) -> list[AlignedFace]:
    """Find the faces besides the main one, in any order."""
    side = min(max(decoded.pixels.shape[:2]), GROUP_SIDE)
    search = Search(max(side, 256), SMALLEST_FACE, 0.6, 0.7, LIKELY, 2 * MAX_FACES, MAX_FACES)
    faces = detect([decoded.pixels], search, detector, PROPOSALS_PER_SCALE)[0]
    others = []
    for places, points, share in zip(faces.boxes, faces.landmarks, faces.probabilities, strict=True):
        box, landmarks, probability = full_size(places, decoded.scale), full_size(points, decoded.scale), float(share)
        width = box[2] - box[0]
        known = any(_overlap(box, face.box) > SAME_FACE for face in main)
        similar = any(width >= SIMILAR_WIDTH * (face.box[2] - face.box[0]) for face in main)
        has_two_eyes = np.hypot(*(landmarks[1] - landmarks[0])) >= MIN_EYE_DISTANCE * width
        if has_two_eyes and not known and (similar or probability >= SURE):
            others.append(_align(decoded, box, probability, landmarks, main=False))
    return others


def _overlap(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Common area of two boxes as a share of the smaller one."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    areas = [np.prod(box[2:] - box[:2]) for box in (one, other)]
    return float(np.prod(sides.clip(min=0)) / max(min(areas), 1e-9))


def _align(
    decoded: DecodedImage, box: NDArray[np.floating], probability: float, landmarks: NDArray[np.floating], main: bool
) -> AlignedFace:
    """Cut a face out, with places rounded and pixels compressed as the crop stage stores them."""
    places = landmarks.astype(np.float64).round(2)
    crop_ = as_stored(crop(decoded, places[:2]))
    return AlignedFace(box.astype(np.float64).round(2), probability, places, crop_, main)
