"""Where the eyes of a face lie when the detector finds none: where they lie in the other pictures of the set."""

import numpy as np
import pandas as pd

from shared.crops import DETECTED, LANDMARKS

ENOUGH = 10
"""Detected faces; with fewer the usual place in a portrait is assumed."""

USUAL = (0.5, 0.42, 0.18)
"""Middle between the eyes as a share of width and height, eye distance as a share of the shorter side."""


def assumed_eyes(rows: pd.DataFrame) -> pd.DataFrame:
    """Level eyes for each row, in pixels rounded to 0.01, from its `width` and `height`; columns as in the index."""
    x, y, distance = _typical_place(rows[rows["found"] == DETECTED])
    width, height = rows["width"].astype(float), rows["height"].astype(float)
    half = distance * np.minimum(width, height) / 2
    values = [x * width - half, y * height, x * width + half, y * height]
    return pd.concat(values, axis=1, keys=LANDMARKS[:4]).round(2)


def _typical_place(detected: pd.DataFrame) -> tuple[float, float, float]:
    if len(detected) < ENOUGH:
        return USUAL
    table = detected.astype(dict.fromkeys([*LANDMARKS[:4], "width", "height"], float))
    dx, dy = table["right_eye_x"] - table["left_eye_x"], table["right_eye_y"] - table["left_eye_y"]
    x = (table["left_eye_x"] + table["right_eye_x"]) / 2 / table["width"]
    y = (table["left_eye_y"] + table["right_eye_y"]) / 2 / table["height"]
    distance = np.hypot(dx, dy) / table[["width", "height"]].min(axis=1)
    return float(x.median()), float(y.median()), float(distance.median())
