"""Detection: the cascade beside facenet-pytorch, and the face of a portrait."""

import warnings

import cv2
import numpy as np
import pytest
import torch
from drawn_faces import bare, portraits

from shared.crops import CROP_SIZE, DETECTED, EYES, RETRIED
from shared.faces.alignment import RECIPE, crop, find_faces
from shared.faces.image_io import NEUTRAL, DecodedImage
from shared.faces.mtcnn import detect
from shared.faces.mtcnn_nets import load_detector, load_nets

SEARCH = RECIPE.attempts[0].search
NETS = load_detector("cpu")


def eye_distance(landmarks: np.ndarray) -> float:
    return float(np.hypot(*(landmarks[1] - landmarks[0])))


def test_it_agrees_with_facenet_pytorch_on_bare_faces() -> None:
    from facenet_pytorch import MTCNN

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = MTCNN()
    faces = [portrait.pixels for portrait in portraits() if portrait.kind == "normal"]
    for pixels, found in zip(faces, detect(faces, SEARCH, NETS), strict=True):
        boxes, _, landmarks = reference.detect(pixels, landmarks=True)
        distance = np.hypot(*(found.landmarks[0] - np.array(landmarks[0], float)).T) / eye_distance(found.landmarks[0])
        assert distance[:2].max() < 0.08
        assert distance.max() < 0.15
        assert np.abs(found.boxes[0] - np.array(boxes[0], float)).max() < 0.5 * eye_distance(found.landmarks[0])


@pytest.mark.parametrize(("name", "side"), [("PNet", 47), ("RNet", 24), ("ONet", 48)])
def test_the_nets_are_those_of_facenet_pytorch(name: str, side: int) -> None:
    from facenet_pytorch.models import mtcnn

    pieces = torch.randn(5, 3, side, side, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        expected = getattr(mtcnn, name)()(pieces)
        answers = getattr(load_nets("cpu"), name.lower())(pieces)
    for one, other in zip(answers, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_eyes_are_where_they_were_drawn_with_any_mask() -> None:
    errors = []
    for portrait, found in zip(portraits(), detect([p.pixels for p in portraits()], SEARCH, NETS), strict=True):
        if len(found.boxes):
            miss = np.hypot(*(found.landmarks[0, :2] - portrait.landmarks[:2]).T)
            errors.append(miss.mean() / eye_distance(portrait.landmarks))
    assert len(errors) >= len(portraits()) - 1
    assert np.median(errors) < 0.1
    assert max(errors) < 0.2


def test_images_of_different_sizes_go_together() -> None:
    face = bare().pixels
    mixed = [
        face,
        cv2.resize(face, (300, 400)),
        face[60:400],
        np.zeros((40, 900, 3), np.uint8),
        cv2.resize(face, (1152, 1536)),
    ]
    together = detect(mixed, SEARCH, NETS)
    for pixels, found in zip(mixed, together, strict=True):
        alone = detect([pixels], SEARCH, NETS)[0]
        assert len(found.boxes) == len(alone.boxes)
        np.testing.assert_allclose(found.landmarks, alone.landmarks, atol=0.005 * max(pixels.shape))
    assert [len(found.boxes) for found in together] == [1, 1, 1, 0, 1]


@pytest.mark.parametrize("shape", [(512, 384), (1, 1), (3, 2500), (2500, 3)])
def test_where_there_is_no_face_none_is_found(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    for image in (np.full((*shape, 3), 127, np.uint8), noise):
        assert len(detect([image], SEARCH, NETS)[0].boxes) == 0


def image(pixels: np.ndarray) -> DecodedImage:
    return DecodedImage(pixels, pixels.shape[1], pixels.shape[0])


def test_of_two_faces_the_larger_is_taken_and_both_are_counted() -> None:
    small = cv2.resize(bare().pixels, (230, 307))
    pixels = np.hstack([bare().pixels, np.pad(small, ((205, 0), (0, 0), (0, 0)))])
    face = find_faces([image(pixels)], NETS)[0]
    assert face is not None
    assert face.faces == 2
    assert np.abs(face.landmarks[:2] - bare().landmarks[:2]).max() < 15


def test_a_face_too_dark_for_the_first_look_is_found_by_the_second() -> None:
    dark = [(portrait.pixels * 0.035).round().astype(np.uint8) for portrait in portraits() if portrait.kind == "normal"]
    found = find_faces([image(pixels) for pixels in dark], NETS)
    assert RETRIED in [face.found for face in found if face is not None]


def test_a_small_face_is_found_by_the_second_look() -> None:
    pixels = np.full((1000, 1000, 3), 90, np.uint8)
    small = cv2.resize(bare().pixels, (150, 200), interpolation=cv2.INTER_AREA)
    pixels[400:600, 400:550] = small
    face = find_faces([image(pixels)], NETS)[0]
    assert face is not None
    assert face.found == RETRIED
    assert np.abs(face.landmarks[:2] - (bare().landmarks[:2] * 150 / 384 + 400)).max() < 8


def test_landmarks_are_in_pixels_of_the_full_size_image() -> None:
    reduced = DecodedImage(bare().pixels, 4 * 384, 4 * 512)
    whole, half = find_faces([reduced, image(bare().pixels)], NETS)
    assert whole is not None
    assert half is not None
    assert whole.found == half.found == DETECTED
    np.testing.assert_allclose(whole.landmarks + 0.5, (half.landmarks + 0.5) * 4, atol=1e-3)


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
