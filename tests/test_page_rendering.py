"""The photograph and the results of a face as HTML."""

import numpy as np
import pytest

from shared.faces.image_io import MissingReaderError, UnusableImageError
from shared.page.explain import Analysis
from shared.page.rendering import face_html, marks, percent, photo_html, sentence_about, sentence_html
from shared.predictor import Age, Choice, Face


def face(mask: str = "worn", top_code: int | None = None, high: float = 41.0) -> Face:
    return Face(
        box=(10.0, 20.0, 60.0, 90.0),
        probability=1.0,
        landmarks=((0.0, 0.0),) * 5,
        mask=Choice(mask, {"worn": 0.7, "incorrect": 0.2999, "none": 0.0001}),
        gender=Choice("female", {"male": 0.25, "female": 0.75}),
        age=Age(33.4, 27.2, high, top_code),
        band=Choice("30-59", {"<30": 0.3, "30-59": 0.6, ">=60": 0.1}),
        class_number=4,
        class_probabilities=(1 / 18,) * 18,
    )


def test_the_results_name_predictions_probabilities_and_the_interval() -> None:
    html = face_html(face(), 2, 3, "crop", {"age": "heat"})
    assert "Face 2 of 3" in html
    for words in ("mask worn, female, about 33", "70 %", "75 %", "60 %", "27 to 41", "where the age specialist looked"):
        assert words in html
    assert "where the mask specialist looked" not in html


def test_an_interval_that_reaches_the_top_code_is_open() -> None:
    assert "27 to 60 or more" in face_html(face(top_code=60, high=72.0), 1, 1, "crop", {})


@pytest.mark.parametrize(
    ("probability", "words"), [(1.0, "> 99 %"), (0.9949, "99 %"), (0.5, "50 %"), (0.0051, "1 %"), (0.0, "< 1 %")]
)
def test_no_probability_is_certain(probability: float, words: str) -> None:
    assert percent(probability) == words


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (
            MissingReaderError("HEIC", "pip install 'face18[heic]'"),
            "cannot read HEIC. Please save the photograph as JPEG",
        ),
        (UnusableImageError("truncated"), "incomplete"),
        (UnusableImageError("broken"), "cannot be used: broken"),
    ],
)
def test_an_unusable_image_gets_a_sentence_for_visitors(problem: UnusableImageError, words: str) -> None:
    assert words in sentence_about(problem)


def test_text_from_a_file_is_no_markup() -> None:
    assert "<b>" not in sentence_html("<b>bold</b>")


def test_every_face_is_a_radio_button_with_a_name_and_the_main_face_is_chosen() -> None:
    boxes = [(0.1, 0.1, 0.3, 0.5), (0.4, 0.1, 0.45, 0.15)]
    pixels = np.zeros((40, 60, 3), np.uint8)
    analysis = Analysis(pixels, [face(), face("none")], [pixels] * 2, boxes, main=1, remarks=["face 2 is small"])
    html = photo_html(analysis, lambda _: "images/key")
    assert "face 2 is small" in html
    assert 'value="1" checked aria-label="Face 2: no mask, female, 33"' in html
    assert 'value="0" aria-label="Face 1: mask worn, female, 33"' in html
    assert html.count('name="face"') == 2
    assert 'src="images/key"' in html


def test_small_faces_lie_above_large_ones_and_have_only_a_number() -> None:
    large, small = marks([(0.0, 0.0, 1.0, 1.0), (0.4, 0.4, 0.5, 0.5)], [face(), face()])
    assert (large.left, large.top, large.width, large.height) == (0, 0, 100, 100)
    assert small.layer > large.layer
    assert (large.captioned, small.captioned) == (True, False)
