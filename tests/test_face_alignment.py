import cv2
import numpy as np
import pytest
from drawn_faces import bare

from shared.crops import CROP_SIZE, EYES
from shared.faces.alignment import crop, eye_transform
from shared.faces.image_io import NEUTRAL, DecodedImage

LEFT, RIGHT = EYES


def crosses(size: int, eyes: np.ndarray) -> np.ndarray:
    """A dark image with a bright disc, two pixels wide per 64 of eye distance, around each eye."""
    pixels = np.zeros((size, size, 3), np.uint8)
    radius = max(2, round(np.hypot(*(eyes[1] - eyes[0])) / 16))
    for eye in eyes:
        cv2.circle(pixels, [int(value) for value in eye], radius, (255, 255, 255), cv2.FILLED)
    return pixels


def centre_of_light(pixels: np.ndarray) -> tuple[float, float]:
    weight = (pixels[:, :, 0] > 2 * NEUTRAL - 100).astype(float)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


def test_eyes_in_place_already_stay() -> None:
    np.testing.assert_allclose(eye_transform(np.array(EYES)), [[1, 0, 0], [0, 1, 0]], atol=1e-12)


def test_eyes_twice_as_far_apart_are_halved_and_shifted() -> None:
    # Level eyes 128 apart at y 300: half the size, so x' = x/2 + 96 - 50 and y' = y/2 + 112 - 150.
    expected = [[0.5, 0, 46], [0, 0.5, -38]]
    np.testing.assert_allclose(eye_transform(np.array([[100, 300], [228, 300]])), expected, atol=1e-12)


def test_a_head_on_its_side_is_turned_upright() -> None:
    # The right eye is 64 below the left one: a quarter turn, x' = y - 10 + 96 and y' = -x + 20 + 112.
    expected = [[0, 1, 86], [-1, 0, 132]]
    np.testing.assert_allclose(eye_transform(np.array([[20, 10], [20, 74]])), expected, atol=1e-12)


@pytest.mark.parametrize(
    "eyes",
    [[[100, 200], [164, 200]], [[300, 400], [620, 480]], [[80, 90], [100, 85]], [[700, 300], [500, 320]]],
    ids=["as large", "larger and turned", "smaller", "upside down"],
)
def test_the_eyes_come_to_lie_where_they_belong(eyes: list[list[float]]) -> None:
    places = np.array(eyes, float)
    cut = crop(DecodedImage(crosses(1000, places), 1000, 1000), places)
    assert cut.shape == (CROP_SIZE, CROP_SIZE, 3)
    assert centre_of_light(cut[:, :128]) == pytest.approx(LEFT, abs=1)
    assert (centre_of_light(cut[:, 128:])[0] + 128, centre_of_light(cut[:, 128:])[1]) == pytest.approx(RIGHT, abs=1)


def test_a_image_decoded_at_half_size_gives_the_same_crop() -> None:
    large = cv2.resize(bare().pixels, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    half = cv2.resize(large, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    eyes = (bare().landmarks[:2] + 0.5) * 4 - 0.5
    whole = crop(DecodedImage(large, 1536, 2048), eyes).astype(float)
    reduced = crop(DecodedImage(half, 1536, 2048), eyes).astype(float)
    assert np.abs(whole - reduced).mean() < 1.5


def test_beyond_the_image_there_is_grey() -> None:
    cut = crop(DecodedImage(np.zeros((64, 64, 3), np.uint8), 64, 64), np.array([[0.0, 32], [64, 32]]))
    assert (cut[0, 0] == NEUTRAL).all()
    assert (cut[112, 128] == 0).all()
