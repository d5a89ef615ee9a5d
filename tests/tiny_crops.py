"""Crops without a detector: plain colours that tell the labels, in the form that `shared/crop_faces.py` leaves."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from shared.crops import BOX, CROP_SIZE, INDEX, LANDMARKS

RECIPE = "recipe-of-the-tests"


def write_crops(table: pd.DataFrame, out: Path, found: str = "detected", recipe: str = RECIPE) -> None:
    """A crop set for a training table: red tells the mask state, green the gender, blue the age."""
    for number, row in enumerate(table.itertuples()):
        noise = np.random.default_rng(number).normal(0, 12, (CROP_SIZE, CROP_SIZE, 3))
        colour = np.array([2.2 * row.age, 200 * row.gender, 100 * row.mask])
        out.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(out / f"{number}.jpg"), (colour + 20 + noise).clip(0, 255).astype(np.uint8))
    index = pd.DataFrame({"image": table["image"], "file": [f"{number}.jpg" for number in range(len(table))]})
    index = index.assign(recipe=recipe, found=found, faces=1, probability=1.0, width=384, height=512)
    index[BOX + LANDMARKS] = 1.0
    index["fingerprint"] = index["image"]
    index.assign(problem="").to_csv(out / INDEX, index=False)
