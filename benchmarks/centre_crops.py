"""Crops without a face detector: the middle of every image, as the competition's baseline takes it."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from shared.crops import COLUMN_TYPES, CROP_SIZE, INDEX, PRIOR, CropSet, open_crops
from shared.faces.cache import fingerprint
from shared.faces.image_io import UnusableImageError, decode
from shared.files import replacing
from shared.messages import UserError

CENTRE = (320 / 512, 256 / 384)
"""Height and width of the crop as shares of the image: 320 x 256 of the competition's 512 x 384."""

RECIPE = f"centre-{CROP_SIZE}"
"""A recipe of its own, so that weights trained on these crops are refused for aligned ones."""


def centre_crops(images: pd.DataFrame, out: Path) -> CropSet:
    """Return the crop set in `out` of images (columns image, path), made if it is missing or of other files.

    The middle of every image is squeezed into the square of a crop. Raises `UserError` if an image cannot be read.
    """
    contents = {name: Path(path).read_bytes() for name, path in zip(images["image"], images["path"], strict=True)}
    fingerprints = {name: fingerprint(data) for name, data in contents.items()}
    if (out / INDEX).exists():
        found = open_crops(out)
        if set(found.index["recipe"]) == {RECIPE} and dict(found.index["fingerprint"]) == fingerprints:
            return found
    rows = []
    for name, data in tqdm(contents.items(), "centre crops", disable=None):
        try:
            pixels = centre(decode(data).pixels)
        except UnusableImageError as error:
            raise UserError(f"{name} cannot be cropped: {error}") from error
        square = cv2.resize(pixels, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(out / f"{name}.jpg"), square[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        about = {"recipe": RECIPE, "found": PRIOR, "fingerprint": fingerprints[name], "problem": ""}
        rows.append({"image": name, "file": f"{name}.jpg", **about})
    with replacing(out / INDEX) as temporary:
        pd.DataFrame(rows).reindex(columns=list(COLUMN_TYPES)).to_csv(temporary, index=False)
    return open_crops(out)


def centre(pixels: np.ndarray) -> np.ndarray:
    """Return the middle of an image (H, W, 3)."""
    (top, bottom), (left, right) = (
        (round(side * (1 - share) / 2), round(side * (1 + share) / 2))
        for side, share in zip(pixels.shape[:2], CENTRE, strict=True)
    )
    return pixels[top:bottom, left:right]
