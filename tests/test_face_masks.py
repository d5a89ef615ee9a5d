"""Masks drawn on crops: one seed gives one image, and each state covers what its name says."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from shared.crops import BOX, CROP_SIZE, EYES, LANDMARKS
from shared.labels import MASKS
from shared.mask_overlay.geometry import (
    INCORRECT,
    NONE,
    WAYS,
    WORN,
    FaceGeometry,
    face_of,
    place_of,
    places_in_crops,
    surface_of,
)
from shared.mask_overlay.overlay import MaskOverlay, draw_mask

FACE = FaceGeometry(nose=(131.0, 150.0), mouth=(129.0, 180.0))


def skin(seed: int = 0) -> NDArray[np.uint8]:
    """A crop of nothing but skin."""
    noise = np.random.default_rng(seed).normal(0, 2, (CROP_SIZE, CROP_SIZE, 3))
    return (np.array([200, 160, 140]) + noise).clip(0, 255).astype(np.uint8)


def covered(state: int, seed: int, face: FaceGeometry = FACE) -> NDArray[np.bool_]:
    """Which pixels a mask changes beyond a soft shadow; (256, 256)."""
    crop = skin()
    drawn = draw_mask(crop, face, state, np.random.default_rng(seed))
    assert drawn.dtype == np.uint8
    assert drawn.shape == crop.shape
    assert np.array_equal(crop, skin())
    colour = drawn.astype(float) / drawn.sum(2, keepdims=True) - crop / crop.sum(2, keepdims=True, dtype=float)
    return (np.abs(drawn.astype(int) - crop).max(2) > 45) | (np.abs(colour).max(2) > 0.05)


def at(cover: NDArray[np.bool_], place: tuple[float, float]) -> bool:
    column, row = (round(value) for value in place)
    return bool(cover[row - 2 : row + 3, column - 2 : column + 3].mean() > 0.5)


def test_a_mask_that_is_worn_covers_nose_and_mouth_but_not_the_eyes() -> None:
    covers = [covered(WORN, seed) for seed in range(60)]
    # Masks in the colour of this skin do not show.
    assert np.mean([at(cover, FACE.nose) for cover in covers]) > 0.85
    assert np.mean([at(cover, FACE.mouth) for cover in covers]) > 0.85
    # But for the rare one that is worn very high.
    assert np.mean([at(cover, eye) for cover in covers for eye in EYES]) < 0.02


def test_a_mask_that_is_worn_wrongly_leaves_the_nose_or_the_mouth_free() -> None:
    covers = [covered(INCORRECT, seed) for seed in range(60)]
    both = [at(cover, FACE.nose) and at(cover, FACE.mouth) for cover in covers]
    assert not any(both)
    assert all(cover.any() for cover in covers)


def test_every_way_to_wear_a_mask_has_its_chance() -> None:
    assert set(WAYS) == {MASKS.index("worn"), MASKS.index("incorrect")}
    for ways in WAYS.values():
        assert sum(ways.values()) == pytest.approx(1)


def test_one_seed_gives_one_image_and_another_seed_another() -> None:
    first, again, other = (draw_mask(skin(), FACE, WORN, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_mask_turns_with_the_head() -> None:
    right, left = (
        np.mean([np.nonzero(covered(WORN, seed, FaceGeometry(yaw=yaw)))[1].mean() for seed in range(8)])
        for yaw in (0.5, -0.5)
    )
    # Of a head turned to the right of the image one sees the left cheek, which the mask covers.
    assert right < 128 < left


def test_a_point_of_the_surface_is_found_where_it_was_put() -> None:
    face = FaceGeometry(nose=(136.0, 148.0), mouth=(130.0, 178.0), yaw=0.3, pitch=-0.1)
    surface = surface_of(face, 110, face.chin, slack=2)
    for around, down in ((-0.8, 150.0), (0.0, 170.0), (0.5, 190.0)):
        x, y = place_of(face, surface.reach, face.chin, around, down)
        row, column = round(y) - surface.box[0].start, round(x) - surface.box[1].start
        assert surface.around[row, column] == pytest.approx(around, abs=0.03)
        assert surface.down[row, column] == pytest.approx(down, abs=1.0)


def test_landmarks_move_with_the_eyes_of_a_crop() -> None:
    # An image in which the face lies on its side, at half the size: 32 pixels between the eyes, downwards.
    points = {
        "left_eye": (50, 40),
        "right_eye": (50, 72),
        "nose": (30, 56),
        "mouth_left": (16, 46),
        "mouth_right": (16, 66),
    }
    row = {f"{name}_{axis}": value for name, place in points.items() for axis, value in zip("xy", place, strict=True)}
    index = pd.DataFrame([row | dict(zip(BOX, (0, 0, 60, 80), strict=True))])[[*LANDMARKS, *BOX]]
    places = places_in_crops(index)[0]
    assert places[:2] == pytest.approx(np.array(EYES))
    assert places[2] == pytest.approx([128, 152])
    assert places[3] == pytest.approx([108, 180])
    assert places[4] == pytest.approx([148, 180])


@pytest.mark.parametrize("wrong", [np.nan, 0.0, 1e6])
def test_landmarks_without_sense_count_for_nothing(wrong: float) -> None:
    places = np.full((6, 2), wrong)
    places[:2] = EYES
    assert face_of(places) == FaceGeometry()


def shown_one(mask: int, found: str = "detected") -> MaskOverlay:
    index = pd.DataFrame([dict.fromkeys([*LANDMARKS, *BOX], 1.0) | {"found": found}])
    return MaskOverlay(pd.DataFrame({"mask": [mask], "gender": [1]}), index)


def test_only_bare_faces_that_were_found_get_a_mask() -> None:
    assert shown_one(NONE).drawable.all()
    assert not shown_one(WORN).drawable.any()
    assert not shown_one(NONE, "prior").drawable.any()


def test_the_same_face_is_shown_with_and_without_what_else_there_is() -> None:
    one = shown_one(NONE)
    seen = [one(skin(), 0, WORN, seed) for seed in range(40)]
    assert len({image.tobytes() for image in seen}) == 40
    bare = [np.array_equal(one(skin(), 0, -1, seed), skin()) for seed in range(40)]
    assert 10 < sum(bare) < 40
