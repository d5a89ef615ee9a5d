"""Boxes, cards and the order of faces, as the page shows them."""

import cv2
import numpy as np

from shared.predictor import Age, Choice, Face
from shared.showing.boxes import CHOSEN, draw_boxes, shown_size
from shared.showing.card import card, in_short, sentence
from shared.showing.sight import Sight, reading_order

CROP = np.zeros((256, 256, 3), np.uint8)


def face(mask: str = "worn", top_code: int | None = None, high: float = 41.0) -> Face:
    return Face(
        box=(10.0, 20.0, 60.0, 90.0),
        probability=1.0,
        landmarks=((0.0, 0.0),) * 5,
        mask=Choice(mask, {"worn": 0.7, "incorrect": 0.2, "none": 0.1}),
        gender=Choice("female", {"male": 0.25, "female": 0.75}),
        age=Age(33.4, 27.2, high, top_code),
        band=Choice("30-59", {"<30": 0.3, "30-59": 0.6, ">=60": 0.1}),
        class_number=4,
        class_probabilities=(1 / 18,) * 18,
    )


def test_a_card_tells_answers_probabilities_and_the_interval() -> None:
    html = card(face(), CROP, {"age": CROP})
    for words in ("mask worn, female, about 33", "70 %", "75 %", "60 %", "27 to 41", "where the age specialist looked"):
        assert words in html
    assert "where the mask specialist looked" not in html


def test_an_interval_that_reaches_the_top_code_is_open() -> None:
    assert "27 to 60 or more" in card(face(top_code=60, high=72.0), CROP, {})


def test_what_comes_from_a_file_is_no_markup() -> None:
    assert "<b>" not in sentence("<b>bold</b>")


def test_answers_in_short() -> None:
    assert in_short(face()) == ["mask worn", "female, 33"]
    assert in_short(face("none")) == ["no mask", "female, 33"]


def test_the_chosen_face_is_stressed_and_the_image_given_is_left_alone() -> None:
    pixels = np.zeros((400, 600, 3), np.uint8)
    boxes = [(50.0, 50.0, 150.0, 150.0), (350.0, 50.0, 450.0, 150.0)]
    drawn = draw_boxes(pixels, boxes, [["no mask", "male, 30"]] * 2, chosen=1)
    stressed = (drawn == CHOSEN).all(2)
    assert stressed[:, 300:].any()
    assert not stressed[:, :300].any()
    assert not pixels.any()


def test_a_box_beyond_the_edge_and_many_small_ones_can_be_drawn() -> None:
    pixels = np.zeros((120, 160, 3), np.uint8)
    boxes = [(-30.0, -20.0, 40.0, 60.0), (100.0, 80.0, 190.0, 150.0), (70.0, 10.0, 74.0, 15.0)]
    assert draw_boxes(pixels, boxes, [["mask worn wrongly", "female, 44"]] * 3, chosen=0).any()
    assert not draw_boxes(pixels, [], [], chosen=None).any()


def test_a_large_image_is_shown_smaller_and_a_small_one_as_it_is() -> None:
    assert shown_size(np.zeros((2800, 1400, 3), np.uint8)).shape == (1400, 700, 3)
    assert shown_size(np.zeros((30, 20, 3), np.uint8)).shape == (30, 20, 3)


def test_faces_are_counted_as_one_reads() -> None:
    upper_right, upper_left = (300.0, 0.0, 400.0, 100.0), (0.0, 30.0, 100.0, 130.0)
    lower_left, lower_right = (10.0, 200.0, 110.0, 300.0), (320.0, 180.0, 420.0, 280.0)
    assert reading_order([lower_right, upper_right, lower_left, upper_left]) == [3, 1, 2, 0]
    assert reading_order([]) == []


def test_a_point_names_the_smallest_face_around_it() -> None:
    boxes = [(0.0, 0.0, 100.0, 100.0), (40.0, 40.0, 60.0, 60.0)]
    sight = Sight(CROP, [face(), face()], [CROP, CROP], boxes)
    assert [sight.face_at(50, 50), sight.face_at(10, 10), sight.face_at(200, 10)] == [1, 0, None]


def test_images_travel_within_the_page() -> None:
    import base64
    import re

    crop = np.full((256, 256, 3), (200, 100, 50), np.uint8)
    (content,) = re.findall(r'alt="the face" src="data:image/jpeg;base64,([^"]+)"', card(face(), crop, {}))
    read = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
    assert read is not None
    assert np.abs(read[:, :, ::-1].astype(int) - crop).max() <= 3
