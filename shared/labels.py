"""The 18 classes: `class = 6 * mask + 3 * gender + band`."""

from typing import NamedTuple

MASKS = ("worn", "incorrect", "none")
GENDERS = ("male", "female")
BANDS = ("<30", "30-59", ">=60")
BAND_EDGES = (30, 60)
"""First age, in years, of the second and of the third band."""

CLASS_COUNT = len(MASKS) * len(GENDERS) * len(BANDS)

NORMAL = "normal"
INCORRECT = "incorrect_mask"
WORN = ("mask1", "mask2", "mask3", "mask4", "mask5")
IMAGE_KINDS = (*WORN, INCORRECT, NORMAL)
"""The names, without suffix, of a person's images in the competition's layout."""


IN_WORDS = {
    **{"worn": "mask worn", "incorrect": "mask worn wrongly", "none": "no mask"},
    **{"male": "male", "female": "female"},
    **{"<30": "under 30", "30-59": "30 to 59", ">=60": "60 or older"},
}
"""Names of classes on pages and annotated copies; tables and files have the classes themselves."""


class Attributes(NamedTuple):
    """Indices into `MASKS`, `GENDERS` and `BANDS`."""

    mask: int
    gender: int
    band: int


def encode_class(mask: int, gender: int, band: int) -> int:
    """The class, 0-17, of three indices; raises `ValueError` where an index is out of range."""
    for name, value, names in (("mask", mask, MASKS), ("gender", gender, GENDERS), ("band", band, BANDS)):
        if not 0 <= value < len(names):
            raise ValueError(f"{name} must be 0-{len(names) - 1}, not {value}")
    return 6 * mask + 3 * gender + band


def decode_class(number: int) -> Attributes:
    """The inverse of `encode_class`; raises `ValueError` outside 0-17."""
    if not 0 <= number < CLASS_COUNT:
        raise ValueError(f"a class is 0-{CLASS_COUNT - 1}, not {number}")
    mask, rest = divmod(number, 6)
    return Attributes(mask, *divmod(rest, 3))


UNKNOWN = -1
"""Stands for a gender or an age band that is not known."""


def age_band(age: float) -> int:
    """The band, an index into `BANDS`, of an age in years; `UNKNOWN` for NaN."""
    return sum(age >= edge for edge in BAND_EDGES) if age == age else UNKNOWN


def mask_of(kind: str) -> int:
    """The mask state, an index into `MASKS`, of an image by its name (one of `IMAGE_KINDS`)."""
    if kind in WORN:
        return MASKS.index("worn")
    return {INCORRECT: MASKS.index("incorrect"), NORMAL: MASKS.index("none")}[kind]


def class_name(number: int) -> str:
    """A readable name of a class, for example "worn, male, <30"."""
    mask, gender, band = decode_class(number)
    return f"{MASKS[mask]}, {GENDERS[gender]}, {BANDS[band]}"
