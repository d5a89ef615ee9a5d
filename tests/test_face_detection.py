import cv2
import numpy as np
from drawn_faces import bare, portraits

from shared.crops import DETECTED, RETRIED
from shared.faces.alignment import equalise_contrast, find_faces, prominence
from shared.faces.image_io import DecodedImage
from shared.faces.mtcnn import Faces
from shared.faces.mtcnn_nets import load_detector


def image(pixels: np.ndarray) -> DecodedImage:
    return DecodedImage(pixels, pixels.shape[1], pixels.shape[0])


def faces(*boxes: tuple[float, float, float, float], probability: float = 0.9) -> Faces:
    return Faces(np.array(boxes, np.float32), np.full(len(boxes), probability), np.zeros((len(boxes), 5, 2)))


def test_the_large_face_wins_over_the_small_one() -> None:
    both = faces((0, 0, 100, 100), (100, 0, 140, 40))
    assert prominence(both, height=100, width=200).argmax() == 0


def test_the_central_face_wins_over_its_equal_at_the_edge() -> None:
    both = faces((0, 0, 40, 40), (80, 30, 120, 70))
    assert prominence(both, height=100, width=200).argmax() == 1


def test_prominence_is_probability_times_side_times_centrality() -> None:
    # Centre (25, 25), 25 and 75 away from that of the image; the corner is 50 and 100 away: 79.06 / 111.80.
    value = prominence(faces((0, 0, 50, 50), probability=0.8), height=100, width=200)[0]
    np.testing.assert_allclose(value, 0.8 * 50 * (1 - 79.057 / 111.803), rtol=1e-4)


def test_of_two_faces_the_larger_is_taken_and_both_are_counted() -> None:
    small = cv2.resize(bare().pixels, (230, 307))
    pixels = np.hstack([bare().pixels, np.pad(small, ((205, 0), (0, 0), (0, 0)))])
    face = find_faces([image(pixels)], load_detector("cpu"))[0]
    assert face is not None
    assert face.faces == 2
    assert np.abs(face.landmarks[:2] - bare().landmarks[:2]).max() < 15


def test_a_face_too_dark_for_the_first_look_is_found_by_the_second() -> None:
    dark = [(portrait.pixels * 0.035).round().astype(np.uint8) for portrait in portraits() if portrait.kind == "normal"]
    found = find_faces([image(pixels) for pixels in dark], load_detector("cpu"))
    assert RETRIED in [face.found for face in found if face is not None]


def test_a_small_face_is_found_by_the_second_look() -> None:
    pixels = np.full((1000, 1000, 3), 90, np.uint8)
    small = cv2.resize(bare().pixels, (150, 200), interpolation=cv2.INTER_AREA)
    pixels[400:600, 400:550] = small
    face = find_faces([image(pixels)], load_detector("cpu"))[0]
    assert face is not None
    assert face.found == RETRIED
    assert np.abs(face.landmarks[:2] - (bare().landmarks[:2] * 150 / 384 + 400)).max() < 8


def test_landmarks_are_in_pixels_of_the_full_size_image() -> None:
    reduced = DecodedImage(bare().pixels, 4 * 384, 4 * 512)
    whole, half = find_faces([reduced, image(bare().pixels)], load_detector("cpu"))
    assert whole is not None
    assert half is not None
    assert whole.found == half.found == DETECTED
    np.testing.assert_allclose(whole.landmarks + 0.5, (half.landmarks + 0.5) * 4, atol=1e-3)


def test_no_face_is_none_and_keeps_its_place() -> None:
    blank = image(np.full((300, 200, 3), 128, np.uint8))
    found = find_faces([blank, image(bare().pixels), blank], load_detector("cpu"))
    assert [face is None for face in found] == [True, False, True]


def test_enhancing_spreads_a_narrow_range_and_keeps_the_shape() -> None:
    faint = (100 + bare().pixels // 16).astype(np.uint8)
    strong = equalise_contrast(faint)
    assert strong.shape == faint.shape
    assert strong.std() > 1.5 * faint.std()
