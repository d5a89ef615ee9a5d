"""Pictures in which no face was found are cut where faces lie in the other pictures of the set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from shared.crops import DETECTED, LANDMARKS, PRIOR, UNREADABLE
from shared.faces.alignment import crop
from shared.faces.cache import Row, as_rows, as_table
from shared.faces.crop_files import read_source, write_crop, write_grey

EYES = LANDMARKS[:4]

ENOUGH = 10
"""Detected faces; with fewer the usual place in a portrait is assumed."""

USUAL = (0.5, 0.42, 0.18)
"""The point between the eyes as shares of width and height, and their distance as a share of the shorter side."""


def cut_by_prior(rows: pd.DataFrame, paths: dict[str, str], out: Path) -> pd.DataFrame:
    """Write the crops of all pictures without a face, and return the rows completed.

    `rows` is a whole index, indexed by picture: the assumed place depends on nothing else, so that a run that was
    taken up ends with the same crops as one that was not. Crops that are there and in that place are kept.
    """
    missed = rows[rows["found"] == PRIOR]
    eyes = assumed_eyes(rows, missed)
    moved = missed[(missed["file"] == "") | (missed[EYES].astype(float) != eyes).any(axis=1)].index
    if moved.empty:
        return rows
    places = dict(zip(moved, eyes.loc[moved].to_numpy().tolist(), strict=True))
    return as_table(
        [
            _cut(row, paths[row["picture"]], places[row["picture"]], out) if row["picture"] in places else row
            for row in as_rows(rows)
        ]
    )


def assumed_eyes(rows: pd.DataFrame, missed: pd.DataFrame) -> pd.DataFrame:
    """Level eyes for the missed pictures, in pixels rounded to 0.01; columns as in the index."""
    x, y, distance = typical_place(rows[rows["found"] == DETECTED])
    width, height = missed["width"].astype(float), missed["height"].astype(float)
    half = distance * np.minimum(width, height) / 2
    return pd.concat([x * width - half, y * height, x * width + half, y * height], axis=1, keys=EYES).round(2)


def typical_place(detected: pd.DataFrame) -> tuple[float, float, float]:
    """The median place of detected eyes, in the terms of `USUAL`."""
    if len(detected) < ENOUGH:
        return USUAL
    table = detected[[*EYES, "width", "height"]].astype(float)
    left, right = (table[[f"{side}_eye_x", f"{side}_eye_y"]].to_numpy() for side in ("left", "right"))
    size = table[["width", "height"]].to_numpy()
    x, y = np.median((left + right) / 2 / size, axis=0)
    return float(x), float(y), float(np.median(np.hypot(*(right - left).T) / size.min(axis=1)))


def _cut(row: Row, path: str, eyes: Sequence[float], out: Path) -> Row:
    """The row completed. Should the file have changed since it was looked at, the row's fingerprint still tells."""
    source = read_source(row["picture"], path)
    if source.picture is None:
        problem = {"found": UNREADABLE, "problem": source.row["problem"]}
        return {**row, **problem, "file": write_grey(out, row["picture"])}
    file = write_crop(out, row["picture"], crop(source.picture, np.reshape(eyes, (2, 2))))
    return {**row, **dict(zip(EYES, eyes, strict=True)), "file": file}
