"""Masks cut out of one crop and laid on another, without photographs."""

import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import real_cloth
from real_cloth import WAYS, Mask

from shared.mask_overlay.geometry import FaceGeometry

FACE = FaceGeometry()
SKIN, CLOTH = (205, 160, 135), (70, 110, 190)
NOSE = (round(FACE.nose[1]), round(FACE.nose[0]))
MOUTH = (round(FACE.mouth[1]) + 2, round(FACE.mouth[0]))
UNDER_THE_CHIN = (round(FACE.chin) + 10, round(FACE.mouth[0]))


def bare_crop() -> np.ndarray:
    """Skin, with noise, before a bright wall."""
    crop = np.full((256, 256, 3), 225, np.uint8)
    cv2.ellipse(crop, (128, 130), (71, 100), 0, 0, 360, SKIN, -1)
    return (crop + np.random.default_rng(0).integers(0, 8, crop.shape)).astype(np.uint8)


def masked_crop(corners: list[tuple[int, int]]) -> np.ndarray:
    crop = bare_crop()
    cv2.fillPoly(crop, [np.array(corners)], CLOTH)
    return crop


WORN = masked_crop([(62, 142), (128, 132), (194, 142), (182, 200), (128, 228), (74, 200)])


def is_cloth(crop: np.ndarray, place: tuple[int, int]) -> bool:
    red, _, blue = crop[place].astype(int)
    return bool(blue > red)


@cache
def cut() -> Mask:
    mask = real_cloth.cut_mask(WORN, FACE)
    assert mask is not None
    return mask


def test_a_mask_is_cut_out_whole() -> None:
    cloth = WORN[..., 2].astype(int) > WORN[..., 0] + 20
    cover = cut().cover > 0
    assert (cover & cloth).sum() > 0.95 * (cover | cloth).sum()


def test_what_covers_one_side_of_the_face_is_not_taken_for_a_mask() -> None:
    aside = masked_crop([(62, 132), (140, 132), (140, 228), (62, 228)])
    assert real_cloth.cut_mask(aside, FACE) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_laid_mask_covers_what_its_way_says(seed: int) -> None:
    covered = {}
    for way in WAYS:
        crop = real_cloth.lay_mask(cut(), bare_crop(), FACE, way, np.random.default_rng(seed))
        covered[way] = [is_cloth(crop, place) for place in (NOSE, MOUTH)]
        if way == "under the chin":
            assert is_cloth(crop, UNDER_THE_CHIN)
    assert covered == {
        "worn right": [True, True],
        "nose out": [False, True],
        "under the chin": [False, False],
    }


def test_nothing_above_a_mask_changes_but_straps() -> None:
    for seed in range(5):
        crop = real_cloth.lay_mask(cut(), bare_crop(), FACE, "under the chin", np.random.default_rng(seed))
        assert np.array_equal(crop[:100], bare_crop()[:100])


def test_cloth_is_as_bright_as_the_face_it_is_laid_on() -> None:
    dark = (bare_crop() * 0.7).astype(np.uint8)
    laid = [
        real_cloth.lay_mask(cut(), crop, FACE, "worn right", np.random.default_rng(0))[MOUTH].mean()
        for crop in (bare_crop(), dark)
    ]
    assert laid[1] == pytest.approx(0.7 * laid[0], rel=0.05)
