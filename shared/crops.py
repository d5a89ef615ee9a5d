"""Read the aligned crops that `shared/crop_faces.py` made: what training and prediction see of a face.

A *crop set* is a folder with `index.csv`, one row per image, and `recipe.json`, how the crops were made. A crop is
`CROP_SIZE` pixels square and shows the whole head: the eyes lie at `EYES`, level, 64 pixels apart, so four eye
distances across; the chin of a face seen from the front comes at about y 225, the crown at about y 15.

    crops = open_crops(Path("crops/train"))
    pixels = crops.read("000001_female_Asian_26/mask1.jpg")

Imports nothing heavy, so that whoever only looks at the index starts at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from shared.messages import UserError, counted, first_of

CROP_SIZE = 256
"""Pixels, both ways."""

EYES = ((96.0, 112.0), (160.0, 112.0))
"""Where the two eyes lie in a crop: x and y in pixels, first the eye at the left of the image."""

INDEX = "index.csv"
RECIPE = "recipe.json"
UNFINISHED = "unfinished"

DETECTED, RETRIED, PRIOR, UNREADABLE = "detected", "retried", "prior", "unreadable"
FOUND = (DETECTED, RETRIED, PRIOR, UNREADABLE)
"""How a face was found: at once; at a second, slower try; not, so that the crop is where faces lie in this data set;
the image could not be read, and the crop is plain grey."""

LANDMARKS = [
    f"{part}_{axis}" for part in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"
]
"""Index columns, in pixels of the upright source image; left and right as one sees them in the image."""

BOX = ["x0", "y0", "x1", "y1"]
"""Index columns: the box of the face, in pixels of the upright source image."""

COLUMN_TYPES = {
    **dict.fromkeys(("image", "file", "recipe", "found"), "str"),
    "faces": "Int64",
    **dict.fromkeys(("probability", *BOX, *LANDMARKS), "float64"),
    **dict.fromkeys(("width", "height", "size", "mtime_ns"), "Int64"),
    **dict.fromkeys(("fingerprint", "problem"), "str"),
}
"""Of the index, in this order; numbers may be missing."""


@dataclass(frozen=True)
class CropSet:
    """The crops of one folder of images."""

    folder: Path
    """Where `index.csv` lies."""

    recipe: str
    """Id of how the crops were made; weights are only good for crops of the recipe they were trained on."""

    index: pd.DataFrame
    """One row per image, indexed by the image's id. Columns: `file` (below `folder`), `recipe`, `found` (one of
    `FOUND`), `faces` (how many were found), `probability`, `BOX` and `LANDMARKS` (empty where no face was found, but
    for the eyes that a prior crop assumes), `width` and `height` of the upright source in pixels, `size` (bytes),
    `mtime_ns` and `fingerprint` of its file, `problem` (why it could not be read)."""

    def read(self, image: str) -> np.ndarray:
        """The crop of an image: uint8, RGB, shape (256, 256, 3).

        Raises `UserError` when the image has no crop or the crop's file is gone or broken.
        """
        file = self._files.get(image)
        if file is None:
            raise UserError(f"{self.folder} has no crop of {image}. {_way_out(self.folder)}")
        pixels = cv2.imread(file, cv2.IMREAD_COLOR_RGB)
        if pixels is None or pixels.shape != (CROP_SIZE, CROP_SIZE, 3):
            raise UserError(f"{file} is missing or broken; remove what is there of it. {_way_out(self.folder)}")
        return pixels

    @cached_property
    def _files(self) -> dict[str, str]:
        """Looking an image up in the index takes 50 microseconds, an eighth of decoding it."""
        return {str(image): f"{self.folder}/{file}" for image, file in self.index["file"].items()}

    def keep(self, images: Iterable[str]) -> "CropSet":
        """The set narrowed to these images, in this order; raises `UserError` where some of them have no crop."""
        wanted = pd.Index(list(images))
        absent = wanted[~wanted.isin(self.index.index)]
        if len(absent):
            count = f"{len(absent):,} of {counted(len(wanted), 'image')}"
            raise UserError(f"{self.folder} has no crop of {count} ({first_of(absent)}). {_way_out(self.folder)}")
        return replace(self, index=self.index.loc[wanted])


@dataclass(frozen=True)
class Window:
    """The square of the aligned crop that a specialist looks at, in shares of the crop's side."""

    side: float = 1.0
    centre_x: float = 0.5
    centre_y: float = 0.5

    def __post_init__(self) -> None:
        for centre in (self.centre_x, self.centre_y):
            if not self.side / 2 <= centre <= 1 - self.side / 2:
                raise ValueError(f"{self} reaches beyond the crop")

    def cut(self, crop: np.ndarray, size: int) -> np.ndarray:
        """The window of a square crop (S, S, 3), resampled to (size, size, 3)."""
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
    """The crops in a folder that `shared/crop_faces.py` filled.

    Raises `UserError` when the folder is missing or unfinished.
    """
    if not (folder / INDEX).exists():
        state = "are not finished" if (folder / UNFINISHED).exists() else "do not exist"
        raise UserError(f"The crops in {folder} {state}. {_way_out(folder)}")
    index = read_index(folder / INDEX)
    return CropSet(folder, str(index["recipe"].iloc[0]), index)


def read_index(file: Path) -> pd.DataFrame:
    """The rows of an `index.csv`, indexed by image; raises `UserError` when it is not one."""
    try:
        # Only what is left out is missing: a person may be called NA.
        missing = {name: [""] for name, kind in COLUMN_TYPES.items() if kind != "str"}
        table = pd.read_csv(file, dtype=COLUMN_TYPES, keep_default_na=False, na_values=missing)
        rows = table.set_index("image")
        broken = rows.empty or rows.index.has_duplicates or not set(rows["found"]) <= set(FOUND)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{file} is no index of crops ({error}): remove it. {_way_out(file.parent)}") from error
    if broken:
        raise UserError(
            f"{file} is empty, or names an image twice, or knows other words than {', '.join(FOUND)}: remove it. "
            f"{_way_out(file.parent)}"
        )
    return rows.reindex(columns=[name for name in COLUMN_TYPES if name != "image"])


def _way_out(folder: Path) -> str:
    out = folder.parent if folder.name in ("train", "eval") else folder
    return f"The command that makes them: python shared/crop_faces.py --data <data folder> --out {out}"
