"""Cut masks out of photographs where they are worn right, and lay them on bare faces: right, nose out, under the chin.

Photographs of masks worn wrongly are rare. Real cloth laid as if worn wrongly is closer to them than drawn cloth.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.crops import CROP_SIZE, DETECTED, CropSet
from shared.fusion.metrics import Floats
from shared.labels import MASKS
from shared.mask_overlay.geometry import EYE_LINE, FaceGeometry, face_of, places_in_crops
from shared.messages import UserError, counted

Pixels = NDArray[np.uint8]

WAYS = {
    "worn right": MASKS.index("worn"),
    "nose out": MASKS.index("incorrect"),
    "under the chin": MASKS.index("incorrect"),
}
"""Ways to lay a mask, and the mask state of each."""

_FILL = 128
"""Grey of a crop beyond the edge of its image."""


@dataclass(frozen=True)
class Mask:
    """A mask and the crop that it was cut from."""

    crop: Pixels
    """RGB, (256, 256, 3)."""
    cover: Pixels
    """1 on the mask, (256, 256)."""
    top: int
    """Row of its upper edge in the middle of the face; the others are those of its bounding box."""
    bottom: int
    left: int
    right: int


def cut_masks(crops: CropSet) -> dict[str, Mask]:
    """Return the masks of frontal faces that could be cut out whole, by image; raise `UserError` if there are none."""
    masks = {image: cut_mask(crops.read(image), face) for image, face in _faces(crops, 0.4).items()}
    whole = {image: mask for image, mask in masks.items() if mask is not None}
    if not whole:
        raise UserError(f"of the {counted(len(crops.index), 'crop')} in {crops.folder} no mask could be cut out whole")
    return whole


def _faces(crops: CropSet, max_yaw: float) -> dict[str, FaceGeometry]:
    """Return the detected faces turned by less than `max_yaw` radians, by image."""
    found = crops.index[crops.index["found"] == DETECTED]
    faces = dict(zip(map(str, found.index), map(face_of, places_in_crops(found)), strict=True))
    return {image: face for image, face in faces.items() if abs(face.yaw) < max_yaw}


def cut_mask(crop: Pixels, face: FaceGeometry) -> Mask | None:
    """Return the mask that a face wears, or None if the segment found by GrabCut is not shaped like one."""
    cover = _grab(crop, face)
    contours, _ = cv2.findContours(cover, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    middle = round(face.middle_at(face.nose[1]))
    upper = np.flatnonzero(cover[:, middle - 6 : middle + 6].any(1))
    if not contours or not len(upper):
        return None
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    left, right = int(columns[0]), int(columns[-1])
    mirror = np.array([[-1.0, 0, left + right], [0, 1, 0]])
    on, mirrored = cover > 0, cv2.warpAffine(cover, mirror, (CROP_SIZE, CROP_SIZE)) > 0
    # Convex, symmetric, as wide as a face, above the neck, and not cut off by the edge of the image.
    like_a_mask = (
        cv2.contourArea(contours[0]) > 0.93 * cv2.contourArea(cv2.convexHull(contours[0]))
        and (on & mirrored).sum() > 0.85 * (on | mirrored).sum()
        and 0.75 < (right - left) / 2 / face.half_width < 1.25
        and rows[-1] < face.chin + 14
        and (np.abs(crop[on].astype(int) - _FILL).max(1) < 3).mean() < 0.02
    )
    return Mask(crop, cover, int(upper[0]), int(rows[-1]), left, right) if like_a_mask else None


def _grab(crop: Pixels, face: FaceGeometry) -> Pixels:
    """Segment the cloth in front of the mouth (GrabCut, Rother et al. 2004): the largest piece, without holes."""
    high, low = face.nose[1] + 2, face.chin - 6
    wide = face.half_width
    around, before = face.middle_at(face.mouth[1]), (high + low) / 2
    marks = np.full((CROP_SIZE, CROP_SIZE), cv2.GC_BGD, np.uint8)
    for middle, across, down, mark in (
        (0.6 * face.nose[1] + 0.4 * face.mouth[1], 1.15 * wide, 0.62 * (face.chin - EYE_LINE), cv2.GC_PR_BGD),
        (before, 0.85 * wide, (low - high) / 2 + 14, cv2.GC_PR_FGD),
        (before, 0.5 * wide, (low - high) / 2 - 6, cv2.GC_FGD),
    ):
        cv2.ellipse(marks, (round(around), round(middle)), (round(across), round(down)), 0, 0, 360, int(mark), -1)
    marks[: round(EYE_LINE) + 6] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(crop, marks, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 6, cv2.GC_INIT_WITH_MASK)
    cover = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    for change, size in ((cv2.MORPH_CLOSE, 9), (cv2.MORPH_OPEN, 7)):
        cover = cv2.morphologyEx(cover, change, np.ones((size, size), np.uint8)).astype(np.uint8)
    contours, _ = cv2.findContours(cover, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros_like(cover)
    if contours:
        cv2.drawContours(whole, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return whole


def lay_masks(masks: dict[str, Mask], bare: CropSet, seed: int = 0) -> Iterator[tuple[str, Pixels]]:
    """Lay every mask in every way of `WAYS`, each time on another frontal bare face; yield the way and the crop.

    Raises `UserError` if no bare face is frontal.
    """
    rng = np.random.default_rng(seed)
    faces = _faces(bare, 0.3)
    if not faces:
        raise UserError(f"none of the {counted(len(bare.index), 'crop')} in {bare.folder} shows a face from the front")
    order = itertools.cycle(map(str, rng.permutation(list(faces))))
    for mask, way in itertools.product(masks.values(), WAYS):
        image = next(order)
        yield way, lay_mask(mask, bare.read(image), faces[image], way, rng)


def lay_mask(mask: Mask, crop: Pixels, face: FaceGeometry, way: str, rng: np.random.Generator) -> Pixels:
    """Return the crop of a bare face with the mask on it, stretched to the edges of a mask worn in this way."""
    top, bottom, bend = _edges(face, way, rng)
    across = 2 * face.half_width * rng.uniform(0.92, 1.04) / (mask.right - mask.left + 1)
    down = (bottom - top) / (mask.bottom - mask.top)
    middle = face.middle_at((top + bottom) / 2)
    moved = np.array([[across, 0, middle - across * (mask.left + mask.right) / 2], [0, down, top - down * mask.top]])
    y, x = np.mgrid[:CROP_SIZE, :CROP_SIZE].astype(np.float32)
    y += np.float32(bend) * ((x - np.float32(middle)) / np.float32(face.half_width)) ** 2

    def placed(image: NDArray[np.generic]) -> Floats:
        flat = cv2.warpAffine(image.astype(np.float32), moved, (CROP_SIZE, CROP_SIZE))
        return cv2.remap(flat, x, y, cv2.INTER_LINEAR).astype(np.float64)

    # Scale the brightness of the cloth to the new face.
    light = np.clip(_forehead(crop) / max(_forehead(mask.crop), 1.0), 0.6, 1.5)
    core = np.asarray(cv2.erode(mask.cover, np.ones((5, 5), np.uint8)))
    cover = np.asarray(cv2.GaussianBlur(placed(core), (0, 0), 1.1), np.float64)
    lower = np.pad(cover, ((4, 0), (0, 0)))[:CROP_SIZE]
    shadow = cv2.GaussianBlur(lower, (0, 0), 4) / 4
    under = _with_straps(crop, cover, face, rng) * (1 - shadow[..., None])
    laid = under * (1 - cover[..., None]) + placed(mask.crop) * light * cover[..., None]
    return np.clip(laid, 0, 255).astype(np.uint8)


def _edges(face: FaceGeometry, way: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw the upper and lower edge in the middle of the face and the rise towards the sides, in pixels."""
    nose, mouth, chin = face.nose[1], face.mouth[1], face.chin
    if way == "worn right":
        return EYE_LINE + (nose - EYE_LINE) * rng.uniform(0.25, 0.65), chin + rng.uniform(2, 10), 0.0
    if way == "nose out":
        return nose + (mouth - nose) * rng.uniform(0.25, 0.55), chin + rng.uniform(4, 18), 0.0
    return mouth + (chin - mouth) * rng.uniform(0.35, 0.85), chin + rng.uniform(20, 42), rng.uniform(12, 30)


def _forehead(crop: Pixels) -> float:
    return float(np.median(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[84:104, 104:152]))


def _with_straps(crop: Pixels, cover: Floats, face: FaceGeometry, rng: np.random.Generator) -> Pixels:
    """Return a copy with straps from the mask to the ears; on half of the faces none, as under hair."""
    columns = np.flatnonzero((cover > 0.5).any(0))
    if rng.random() < 0.5 or not len(columns):
        return crop
    drawn = crop.copy()
    grey = int(rng.uniform(200, 245)) if rng.random() < 0.6 else 30
    for side, x in ((-1, int(columns[0]) + 3), (1, int(columns[-1]) - 3)):
        ear = (round(face.middle_at(EYE_LINE) + side * 1.08 * face.half_width), round(130 + rng.uniform(-6, 10)))
        rows = np.flatnonzero(cover[:, x] > 0.3)
        if len(rows):
            cv2.line(drawn, (x, int(rows[0]) + 2), ear, (grey, grey, grey), 2, cv2.LINE_AA)
    return drawn
