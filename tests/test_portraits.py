import numpy as np
import pytest

from shared import labels
from shared.portraits import Portrait, draw_person
from shared.portraits.clothing import incorrect_fit, worn_fit
from shared.portraits.person import build_head, sample_measures, sample_person


def draw(age: int, female: bool, seed: int = 0) -> list[Portrait]:
    return list(draw_person(age, female, np.random.SeedSequence(seed)))


@pytest.fixture(scope="module")
def young() -> list[Portrait]:
    return draw(24, female=True)


def eye_distance(portrait: Portrait) -> float:
    return float(np.linalg.norm(portrait.landmarks[1] - portrait.landmarks[0]))


def test_a_person_has_one_well_exposed_image_of_each_kind_in_order(young: list[Portrait]) -> None:
    assert [portrait.kind for portrait in young] == list(labels.IMAGE_KINDS)
    for portrait in young:
        assert portrait.pixels.shape == (512, 384, 3)
        assert portrait.pixels.dtype == np.uint8
        assert 40 < portrait.pixels.mean() < 220
        assert (portrait.pixels == 255).all(axis=2).mean() < 0.02


def test_the_same_seed_draws_the_same_person_and_another_seed_another(young: list[Portrait]) -> None:
    again, other = draw(24, female=True), draw(24, female=True, seed=1)
    for portrait, same, different in zip(young, again, other, strict=True):
        np.testing.assert_array_equal(portrait.pixels, same.pixels)
        np.testing.assert_array_equal(portrait.landmarks, same.landmarks)
        assert np.abs(portrait.pixels.astype(int) - different.pixels).mean() > 5


def test_requested_glasses_are_drawn_around_the_eyes_and_change_nothing_else() -> None:
    bare, worn = (next(draw_person(24, True, np.random.SeedSequence(0), glasses)) for glasses in (False, True))
    reach, height = eye_distance(bare), bare.landmarks[:2, 1].mean()
    change = np.abs(bare.pixels.astype(int) - worn.pixels).max(axis=2)
    rows, columns = np.nonzero(change > 20)
    assert len(rows) > 200
    assert abs(rows - height).max() < 0.5 * reach
    assert abs(columns - bare.landmarks[:2, 0].mean()).max() < 1.5 * reach
    assert change[: int(height - 0.5 * reach)].max() <= 10


def test_landmarks_are_those_of_an_upright_face_with_dark_pupils(young: list[Portrait]) -> None:
    for portrait in (*young, *draw(30, female=False, seed=4)):
        left, right, nose, mouth_left, mouth_right = portrait.landmarks
        assert (portrait.landmarks > 0).all()
        assert (portrait.landmarks < (384, 512)).all()
        assert left[0] < nose[0] < right[0]
        assert mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
        assert 60 < eye_distance(portrait) < 110
        grey = portrait.pixels.mean(axis=2)
        for x, y in portrait.landmarks[:2].round().astype(int):
            cheek = int(y + 0.28 * eye_distance(portrait))
            assert grey[y - 4 : y + 5, x - 4 : x + 5].min() < 0.7 * grey[cheek, x]


@pytest.mark.parametrize("female", [False, True])
def test_a_worn_mask_covers_nose_and_chin_and_an_incorrect_one_leaves_the_nose_free(female: bool) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        head = build_head(sample_measures(rng, sample_person(rng, female, 40)))
        worn, incorrect = worn_fit(rng, head), incorrect_fit(rng, head)
        assert 0.15 < worn.top < worn.side < head.measures.nose_y, "below the eyes, above the tip of the nose"
        assert incorrect.top > head.measures.nose_y
        assert min(worn.bottom, incorrect.bottom) > head.measures.chin


def test_hair_greys_and_lines_deepen_with_age() -> None:
    people = [sample_person(np.random.default_rng(3), False, age) for age in (20, 40, 60, 75)]
    assert [person.grey for person in people] == sorted(person.grey for person in people)
    assert [person.wear for person in people] == sorted(person.wear for person in people)
    assert people[0].grey == 0
    assert people[-1].grey > 0.9
