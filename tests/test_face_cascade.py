import warnings

import cv2
import numpy as np
import pytest
import torch
from drawn_faces import bare, portraits

from shared.faces.alignment import RECIPE
from shared.faces.mtcnn import build_pyramid, detect
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


def test_a_larger_image_has_its_landmarks_in_its_own_pixels() -> None:
    small, large = detect([bare().pixels, cv2.resize(bare().pixels, None, fx=3, fy=3)], SEARCH, NETS)
    np.testing.assert_allclose((small.landmarks + 0.5) * 3, large.landmarks + 0.5, atol=3)


def test_the_mirror_image_has_mirrored_landmarks() -> None:
    found, mirrored = detect([bare().pixels, np.ascontiguousarray(bare().pixels[:, ::-1])], SEARCH, NETS)
    expected = found.landmarks[0][[1, 0, 2, 4, 3]] * [-1, 1] + [383, 0]
    np.testing.assert_allclose(mirrored.landmarks[0], expected, atol=0.06 * eye_distance(expected))


@pytest.mark.parametrize("shape", [(512, 384), (1, 1), (3, 2500), (2500, 3)])
def test_where_there_is_no_face_none_is_found(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    for image in (np.full((*shape, 3), 127, np.uint8), noise):
        assert len(detect([image], SEARCH, NETS)[0].boxes) == 0


def test_no_images_no_faces() -> None:
    assert detect([], SEARCH, NETS) == []


def test_two_faces_are_two_faces() -> None:
    face = bare().pixels
    found = detect([np.hstack([face, face])], RECIPE.attempts[1].search, NETS)[0]
    assert len(found.boxes) == 2


def test_a_cut_shows_just_what_its_box_covers() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:32, 16:32] = 255
    pyramid = build_pyramid(pixels, side=64, smallest=16)
    piece = np.empty((8, 8, 3), np.uint8)
    for box, bright in (([16, 16, 32, 32], 1), ([0, 0, 16, 16], 0), ([8, 16, 24, 32], 0.5)):
        pyramid.cut(np.array(box, float), 8, piece)
        assert piece.mean() / 255 == pytest.approx(bright, abs=0.06)


def test_beyond_the_edge_a_cut_is_grey() -> None:
    piece = np.empty((8, 8, 3), np.uint8)
    build_pyramid(np.zeros((64, 64, 3), np.uint8), side=64).cut(np.array([-32.0, 0, 0, 32]), 8, piece)
    assert (piece[:, :7] == 127).all()
