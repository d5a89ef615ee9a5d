"""How labels are written in tables that people edit."""

import re

from shared.labels import GENDERS, MASKS

MAX_AGE = 120
YEARS = re.compile(r"[0-9]{1,3}(\.[0-9]*)?")


def read_age(text: str) -> float:
    """Years, 0-120; raises `ValueError` saying what is wrong."""
    if not YEARS.fullmatch(text) or float(text) > MAX_AGE:
        raise ValueError(f"age {text!r} is no number from 0 to {MAX_AGE}")
    return float(text)


def read_gender(text: str) -> int:
    """An index into `labels.GENDERS`, in whatever case it is written; raises `ValueError` saying what is wrong."""
    return _read_name("gender", text, GENDERS)


def read_mask(text: str) -> int:
    """An index into `labels.MASKS`, in whatever case it is written; raises `ValueError` saying what is wrong."""
    return _read_name("mask", text, MASKS)


def _read_name(field: str, text: str, names: tuple[str, ...]) -> int:
    if text.lower() not in names:
        raise ValueError(f"{field} {text!r} is none of {', '.join(names)}")
    return names.index(text.lower())
