import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from shared.crops import BOX, CROP_SIZE, EYES, LANDMARKS
from shared.mask_overlay import MaskOverlay
from shared.mask_overlay.geometry import (
    INCORRECT,
    NONE,
    WORN,
    FaceGeometry,
    face_of,
    places_in_crops,
)
from shared.mask_overlay.overlay import draw_mask

FACE = FaceGeometry(nose=(131.0, 150.0), mouth=(129.0, 180.0))


def skin() -> NDArray[np.uint8]:
    """A crop of nothing but skin."""
    noise = np.random.default_rng(0).normal(0, 2, (CROP_SIZE, CROP_SIZE, 3))
    return (np.array([200, 160, 140]) + noise).clip(0, 255).astype(np.uint8)


def covered(state: int, seed: int, face: FaceGeometry = FACE) -> NDArray[np.bool_]:
    """Pixels that a mask changes beyond a soft shadow, (256, 256)."""
    crop, drawn = skin(), skin()
    draw_mask(drawn, face, state, np.random.default_rng(seed))
    colour = drawn.astype(float) / drawn.sum(2, keepdims=True) - crop / crop.sum(2, keepdims=True, dtype=float)
    return (np.abs(drawn.astype(int) - crop).max(2) > 45) | (np.abs(colour).max(2) > 0.05)


def at(cover: NDArray[np.bool_], place: tuple[float, float]) -> bool:
    column, row = (round(value) for value in place)
    return bool(cover[row - 2 : row + 3, column - 2 : column + 3].mean() > 0.5)


def test_a_worn_mask_covers_nose_and_mouth_but_not_the_eyes() -> None:
    covers = [covered(WORN, seed) for seed in range(60)]
    # Masks in the colour of this skin do not show.
    assert np.mean([at(cover, FACE.nose) for cover in covers]) > 0.85
    assert np.mean([at(cover, FACE.mouth) for cover in covers]) > 0.85
    # A rare one is worn very high.
    assert np.mean([at(cover, eye) for cover in covers for eye in EYES]) < 0.02


def test_an_incorrect_mask_leaves_the_nose_or_the_mouth_free() -> None:
    covers = [covered(INCORRECT, seed) for seed in range(60)]
    assert not any(at(cover, FACE.nose) and at(cover, FACE.mouth) for cover in covers)
    assert all(cover.any() for cover in covers)


def test_a_mask_turns_with_the_head() -> None:
    right, left = (
        np.mean([np.nonzero(covered(WORN, seed, FaceGeometry(yaw=yaw)))[1].mean() for seed in range(8)])
        for yaw in (0.5, -0.5)
    )
    # A head turned to the right of the image shows its left cheek, which the mask covers.
    assert right < 128 < left


def test_landmarks_are_mapped_with_the_eyes_of_a_crop() -> None:
    # The face lies on its side, at half the size: 32 pixels between the eyes, downwards.
    points = [(50, 40), (50, 72), (30, 56), (16, 46), (16, 66)]
    row = dict(zip(LANDMARKS, np.ravel(points), strict=True)) | dict(zip(BOX, (0, 0, 60, 80), strict=True))
    places = places_in_crops(pd.DataFrame([row]))[0]
    assert places[:5] == pytest.approx(np.array([*EYES, [128, 152], [108, 180], [148, 180]]))


@pytest.mark.parametrize("wrong", [np.nan, 0.0, 1e6])
def test_absurd_landmarks_give_the_default_face(wrong: float) -> None:
    places = np.full((6, 2), wrong)
    places[:2] = EYES
    assert face_of(places) == FaceGeometry()


def overlay(mask: int, found: str = "detected") -> MaskOverlay:
    index = pd.DataFrame([dict.fromkeys([*LANDMARKS, *BOX], 1.0) | {"found": found}])
    return MaskOverlay(pd.DataFrame({"mask": [mask], "gender": [1]}), index)


def test_only_detected_bare_faces_are_drawable() -> None:
    assert overlay(NONE).drawable.all()
    assert not overlay(WORN).drawable.any()
    assert not overlay(NONE, "prior").drawable.any()


def test_the_transform_depends_on_its_seed_alone_and_keeps_the_crop() -> None:
    transform, crop = overlay(NONE), skin()
    masked = [transform(crop, 0, WORN, seed) for seed in range(40)]
    assert all(image.dtype == np.uint8 and image.shape == crop.shape for image in masked)
    assert len({image.tobytes() for image in masked}) == 40
    np.testing.assert_array_equal(masked[4], transform(crop, 0, WORN, 4))
    np.testing.assert_array_equal(crop, skin())
    without = [np.array_equal(transform(crop, 0, -1, seed), crop) for seed in range(40)]
    assert 10 < sum(without) < 40, "occlusions are drawn on some"
