"""Read the aligned crops that `shared/crop_faces.py` makes: the input of training and prediction.

A *crop set* is a folder with `index.csv`, one row per image, and `recipe.json`, the settings of the crops. A crop is
`CROP_SIZE` pixels square and shows the whole head: the eyes are at `EYES`, level and 64 pixels apart, a quarter of the
side; the chin of a frontal face is at about y 225, the crown at about y 15.

    crops = open_crops(Path("crops/train"))
    pixels = crops.read("000001_female_Asian_26/mask1.jpg")
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from shared.messages import UserError, counted, first_of

CROP_SIZE = 256
"""Width and height in pixels."""

EYES = ((96.0, 112.0), (160.0, 112.0))
"""Places of the two eyes in a crop: x and y in pixels, the eye at the left of the image first."""

INDEX = "index.csv"
RECIPE = "recipe.json"
UNFINISHED = "unfinished"

DETECTED, RETRIED, PRIOR, UNREADABLE = "detected", "retried", "prior", "unreadable"
FOUND = (DETECTED, RETRIED, PRIOR, UNREADABLE)
"""How a face was found: by the first attempt; by a later, slower one; not at all, so the crop is cut where faces are in
the other images; or the image is unreadable and the crop plain grey."""

LANDMARKS = [
    f"{part}_{axis}" for part in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"
]
"""Index columns, in pixels of the upright source image; left and right as seen in the image."""

BOX = ["x0", "y0", "x1", "y1"]
"""Index columns: the box of the face, in pixels of the upright source image."""

COLUMN_TYPES = {
    **dict.fromkeys(("image", "file", "recipe", "found"), "str"),
    "faces": "Int64",
    **dict.fromkeys(("probability", *BOX, *LANDMARKS), "float64"),
    **dict.fromkeys(("width", "height", "size", "mtime_ns"), "Int64"),
    **dict.fromkeys(("fingerprint", "problem"), "str"),
}
"""Columns of the index, in this order; numbers may be missing."""

Row = dict[str, Any]
"""A row of the index, by column."""


@dataclass(frozen=True)
class CropSet:
    """The crops of one folder of images."""

    folder: Path
    """The folder of `index.csv`."""

    recipe: str
    """Id of the settings of the crops; weights fit only crops of the recipe they were trained on."""

    index: pd.DataFrame
    """One row per image, indexed by the image's id. Columns: `file` (below `folder`), `recipe`, `found` (one of
    `FOUND`), `faces` (number of faces found), `probability`, `BOX` and `LANDMARKS` (empty if no face was found, except
    for the assumed eyes of a prior crop), `width` and `height` of the upright source in pixels, `size` (bytes),
    `mtime_ns` and `fingerprint` of its file, `problem` (why it could not be read, or a remark)."""

    def read(self, image: str) -> np.ndarray:
        """Read the crop of an image: uint8, RGB, shape (256, 256, 3).

        Raises `UserError` if the image has no crop, or its file is missing or broken.
        """
        file = self._files.get(image)
        if file is None:
            raise UserError(f"{self.folder} has no crop of {image}. {_way_out(self.folder)}")
        pixels = cv2.imread(file, cv2.IMREAD_COLOR_RGB)
        if pixels is None or pixels.shape != (CROP_SIZE, CROP_SIZE, 3):
            raise UserError(f"{file} is missing or broken: remove it. {_way_out(self.folder)}")
        return pixels

    @cached_property
    def _files(self) -> dict[str, str]:
        """Paths by image. A look-up in the index takes 50 microseconds, an eighth of the decoding time."""
        return {str(image): f"{self.folder}/{file}" for image, file in self.index["file"].items()}

    def keep(self, images: Iterable[str]) -> "CropSet":
        """The set reduced to these images, in this order; raises `UserError` if some of them have no crop."""
        wanted = pd.Index(list(images))
        absent = wanted[~wanted.isin(self.index.index)]
        if len(absent):
            count = f"{len(absent):,} of {counted(len(wanted), 'image')}"
            raise UserError(f"{self.folder} has no crop of {count} ({first_of(absent)}). {_way_out(self.folder)}")
        return replace(self, index=self.index.loc[wanted])


@dataclass(frozen=True)
class Window:
    """The square part of the aligned crop that a specialist uses, in shares of the crop's side."""

    side: float = 1.0
    centre_x: float = 0.5
    centre_y: float = 0.5

    def __post_init__(self) -> None:
        for centre in (self.centre_x, self.centre_y):
            if not self.side / 2 <= centre <= 1 - self.side / 2:
                raise ValueError(f"{self} reaches beyond the crop")

    def cut(self, crop: np.ndarray, size: int) -> np.ndarray:
        """Cut the window from a square crop (S, S, 3) and resize it to (size, size, 3); uint8."""
        scale = len(crop)
        side = round(self.side * scale)
        left = round((self.centre_x - self.side / 2) * scale)
        top = round((self.centre_y - self.side / 2) * scale)
        cut = crop[top : top + side, left : left + side]
        shrinks = size < side
        return cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR).astype(
            np.uint8, copy=False
        )


def open_crops(folder: Path) -> CropSet:
    """Open the crop set in a folder; raises `UserError` if it is missing or unfinished."""
    if not (folder / INDEX).exists():
        state = "are not finished" if (folder / UNFINISHED).exists() else "do not exist"
        raise UserError(f"The crops in {folder} {state}. {_way_out(folder)}")
    index = read_index(folder / INDEX)
    return CropSet(folder, str(index["recipe"].iloc[0]), index)


def read_index(file: Path) -> pd.DataFrame:
    """Read an `index.csv`, indexed by image; raises `UserError` if the file is no such index."""
    try:
        # Only empty numbers are missing: a person may be called NA.
        missing = {name: [""] for name, kind in COLUMN_TYPES.items() if kind != "str"}
        table = pd.read_csv(file, dtype=COLUMN_TYPES, keep_default_na=False, na_values=missing)
        rows = table.set_index("image")
        broken = rows.empty or rows.index.has_duplicates or not set(rows["found"]) <= set(FOUND)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{file} is no index of crops ({error}): remove it. {_way_out(file.parent)}") from error
    if broken:
        raise UserError(
            f"{file} is empty, names an image twice, or has other values of `found` than {', '.join(FOUND)}: "
            f"remove it. {_way_out(file.parent)}"
        )
    return rows.reindex(columns=[name for name in COLUMN_TYPES if name != "image"])


def as_table(rows: list[Row]) -> pd.DataFrame:
    """A table of index rows, indexed by image."""
    return pd.DataFrame(rows, columns=list(COLUMN_TYPES)).astype(COLUMN_TYPES).set_index("image")


def as_rows(table: pd.DataFrame) -> list[Row]:
    """The inverse of `as_table`."""
    return [{str(name): value for name, value in row.items()} for row in table.reset_index().to_dict("records")]


def _way_out(folder: Path) -> str:
    out = folder.parent if folder.name in ("train", "eval") else folder
    return f"Make the crops with: python shared/crop_faces.py --data DATA --out {out}"
