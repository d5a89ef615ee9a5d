import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.labels import CLASS_COUNT, IMAGE_KINDS, age_band, class_name, decode_class, encode_class, mask_of


@pytest.mark.parametrize("number", range(18))
def test_every_class_comes_back_from_its_attributes(number: int) -> None:
    assert encode_class(*decode_class(number)) == number


@given(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2))
def test_attributes_come_back_from_their_class(mask: int, gender: int, band: int) -> None:
    assert decode_class(encode_class(mask, gender, band)) == (mask, gender, band)


@pytest.mark.parametrize(
    ("attributes", "number"),
    [((0, 0, 0), 0), ((0, 0, 2), 2), ((0, 1, 0), 3), ((1, 0, 0), 6), ((1, 1, 1), 10), ((2, 0, 0), 12), ((2, 1, 2), 17)],
)
def test_classes_are_numbered_as_in_the_competition(attributes: tuple[int, int, int], number: int) -> None:
    assert encode_class(*attributes) == number


@pytest.mark.parametrize("attributes", [(3, 0, 0), (0, 2, 0), (0, 0, 3), (-1, 0, 0)])
def test_attributes_out_of_range_are_refused(attributes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        encode_class(*attributes)


@pytest.mark.parametrize("number", [-1, CLASS_COUNT])
def test_a_class_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="0-17"):
        decode_class(number)


@pytest.mark.parametrize(("age", "band"), [(0, 0), (29, 0), (29.9, 0), (30, 1), (59, 1), (59.9, 1), (60, 2), (120, 2)])
def test_bands_begin_at_30_and_at_60(age: float, band: int) -> None:
    assert age_band(age) == band


def test_the_name_of_a_image_tells_the_mask_state() -> None:
    assert [mask_of(kind) for kind in IMAGE_KINDS] == [0, 0, 0, 0, 0, 1, 2]


def test_class_names_are_distinct_and_readable() -> None:
    assert class_name(10) == "incorrect, female, 30-59"
    assert len({class_name(number) for number in range(CLASS_COUNT)}) == CLASS_COUNT
