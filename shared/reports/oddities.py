"""Pictures that deserve a second look before anything is trained on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from shared.crops import PRIOR, CropSet

DARK, BRIGHT = 45, 215
"""Mean grey levels, 0-255, below and above which a picture is very dark or very bright."""

FLAT = 12
"""Standard deviation of the grey level below which there is hardly anything to see."""

BLURRED = 0.1
"""Share of the usual sharpness below which a picture is blurred."""

USUAL = 0.8
"""Where so large a share of pictures has one size, all other sizes are odd."""

SMALL, LONG = 100, 2.0
"""Where sizes vary: pixels of the shorter side below, and aspect ratio above which a size is odd."""


@dataclass(frozen=True)
class Oddity:
    """Pictures of one fault, the worst first."""

    title: str
    pictures: Mapping[str, str]
    """Picture -> what there is to say of it."""


def find_oddities(facts: pd.DataFrame, crops: CropSet | None) -> list[Oddity]:
    """Those that there are, of measured pictures (`picture_facts.measure_files`) and of what the crop index tells."""
    facts = facts.set_index("picture")
    sound = facts[facts["problem"] == ""]
    found = [Oddity("Cannot be read", dict(facts["problem"][facts["problem"] != ""]))]
    if len(sound):
        found += [*_light(sound), _sizes(sound), _copies(sound)]
    if crops is not None:
        found += _faces(crops)
    return [oddity for oddity in found if oddity.pictures]


def _light(facts: pd.DataFrame) -> list[Oddity]:
    grey, contrast, sharpness = (facts[name].sort_values() for name in ("brightness", "contrast", "sharpness"))
    usual = sharpness.median()
    kinds = {
        "Very dark": (grey[grey < DARK], "grey level {:.0f}"),
        "Very bright": (grey[grey > BRIGHT][::-1], "grey level {:.0f}"),
        "Hardly any contrast": (contrast[contrast < FLAT], "contrast {:.0f}"),
        "Blurred": (sharpness[sharpness < BLURRED * usual], f"sharpness {{:.0f}}, usual {usual:.0f}"),
    }
    return [
        Oddity(title, {str(picture): text.format(value) for picture, value in values.items()})
        for title, (values, text) in kinds.items()
    ]


def _sizes(facts: pd.DataFrame) -> Oddity:
    sides = facts[["width", "height"]].astype(int)
    sizes = sides["width"].astype(str) + " x " + sides["height"].astype(str)
    shares = sizes.value_counts(normalize=True)
    if shares.iloc[0] >= USUAL:
        odd = sizes != shares.index[0]
    else:
        ratio = sides.max(axis=1) / sides.min(axis=1)
        odd = (sides.min(axis=1) < SMALL) | (ratio > LONG)
    return Oddity("Odd sizes", {str(picture): f"{size} pixels" for picture, size in sizes[odd].items()})


def _copies(facts: pd.DataFrame) -> Oddity:
    """Every file but the first of those that are the same byte for byte."""
    first = facts.reset_index().groupby("fingerprint")["picture"].transform("first").set_axis(facts.index)
    again = facts.index[facts["fingerprint"].duplicated()]
    return Oddity("The same file twice", {str(picture): f"as {first[picture]}" for picture in again})


def _faces(crops: CropSet) -> list[Oddity]:
    index = crops.index
    none, several = index[index["found"] == PRIOR], index[index["faces"] > 1].sort_values("faces", ascending=False)
    return [
        Oddity("No face found", dict.fromkeys(map(str, none.index), "cut where faces lie in the others")),
        Oddity("Several faces found", {str(name): f"{count} faces" for name, count in several["faces"].items()}),
    ]
