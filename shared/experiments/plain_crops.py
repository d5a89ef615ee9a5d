"""Crops as one gets them without looking for faces: what alignment is measured against.

In the form that `shared/crop_faces.py` leaves, so that everything after it works the same; under a recipe of their own,
so that weights trained on them are good for nothing else.
"""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from shared.atomic import replacing
from shared.crops import COLUMN_TYPES, CROP_SIZE, INDEX, PRIOR, CropSet, open_crops
from shared.errors import UserError
from shared.faces.cache import fingerprint
from shared.faces.picture_files import UnusablePictureError, decode

Cut = Literal["whole", "centre"]

CENTRE = (320 / 512, 256 / 384)
"""Height and width of the centre crop, as shares of the picture: 320 x 256 of the competition's 512 x 384."""

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]


def plain_crops(pictures: pd.DataFrame, out: Path, cut: Cut) -> CropSet:
    """The crop set in `out`, of pictures (`picture`: id, `path`: file); made where it is missing, or of others.

    Each picture, or its middle, is squeezed into the square of a crop. Raises `UserError` where one cannot be read.
    """
    sources = list(zip(pictures["picture"], pictures["path"], strict=True))
    if (out / INDEX).exists():
        found = open_crops(out)
        files = {name: _fingerprint(Path(path)) for name, path in sources}
        if set(found.index["recipe"]) == {_recipe(cut)} and dict(found.index["fingerprint"]) == files:
            return found
    rows = [_crop(name, Path(path), out, cut) for name, path in tqdm(sources, f"{cut} crops", disable=None)]
    with replacing(out / INDEX) as temporary:
        pd.DataFrame(rows).reindex(columns=list(COLUMN_TYPES)).to_csv(temporary, index=False)
    return open_crops(out)


def _crop(picture: str, path: Path, out: Path, cut: Cut) -> dict[str, object]:
    try:
        data = path.read_bytes()
        pixels = decode(data).pixels
    except (OSError, UnusablePictureError) as error:
        raise UserError(f"{path} cannot be cut: {error}") from error
    square = cv2.resize(shown(pixels, cut), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)
    file = f"{cut}/{picture}.jpg"
    with replacing(out / file) as temporary:
        temporary.write_bytes(cv2.imencode(".jpg", cv2.cvtColor(square, cv2.COLOR_RGB2BGR), _QUALITY)[1].tobytes())
    about = {"recipe": _recipe(cut), "found": PRIOR, "fingerprint": fingerprint(data), "problem": ""}
    return {"picture": picture, "file": file, **about}


def _recipe(cut: Cut) -> str:
    return f"{cut}-{CROP_SIZE}"


def _fingerprint(path: Path) -> str:
    """Of the file as it is now; empty where it cannot be read."""
    try:
        return fingerprint(path.read_bytes())
    except OSError:
        return ""


def shown(pixels: np.ndarray, cut: Cut) -> np.ndarray:
    """What of a picture (H, W, 3) is kept."""
    if cut == "whole":
        return pixels
    (top, bottom), (left, right) = (
        (round(side * (1 - share) / 2), round(side * (1 + share) / 2))
        for side, share in zip(pixels.shape[:2], CENTRE, strict=True)
    )
    return pixels[top:bottom, left:right]
