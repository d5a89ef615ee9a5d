"""What can be measured of a picture file: size, light, sharpness, colour; a broken file says why it cannot be read."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from shared.crops import CropSet
from shared.errors import UserError
from shared.faces.picture_files import UnusablePictureError, decode

CHANNELS = ("red", "green", "blue")
SQUARES = tuple(f"{name}_square" for name in CHANNELS)

SIDE = 512
"""Pixels: sharpness is measured on a copy whose longer side is this at most, so that sizes can be compared."""

Fact = dict[str, object]


def measure_files(pictures: pd.DataFrame, title: str, workers: int = 0) -> pd.DataFrame:
    """Measure files (columns picture, path), with a progress bar titled so; a row each in their order.

    Columns: picture, path, problem (blank where there is none), bytes, width, height (pixels), brightness and contrast
    (mean and standard deviation of the grey level, 0-255), sharpness (variance of the Laplacian), `CHANNELS` and
    `SQUARES` (mean of each channel and of its square, 0-1), fingerprint of the bytes. Read in threads: decoding frees
    Python for others.
    """
    parallel = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), prefer="threads", return_as="generator")
    jobs = (joblib.delayed(measure_file)(path) for path in pictures["path"])
    rows = list(tqdm(parallel(jobs), title, len(pictures), unit=" pictures"))
    return pd.concat([pictures[["picture", "path"]].reset_index(drop=True), pd.DataFrame(rows)], axis="columns")


def measure_file(path: str) -> Fact:
    """The facts of one file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return {"problem": (error.strerror or "cannot be read").lower()}
    known: Fact = {"bytes": len(data), "fingerprint": hashlib.blake2b(data, digest_size=16).hexdigest()}
    try:
        picture = decode(data)
    except UnusablePictureError as problem:
        return {**known, "problem": str(problem)}
    size: Fact = {"width": picture.width, "height": picture.height}
    return {**known, "problem": "", **size, **light(picture.pixels), **colours(picture.pixels)}


def light(pixels: NDArray[np.uint8]) -> Fact:
    """Brightness, contrast and sharpness of uint8 RGB pixels (H, W, 3)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(cv2.Laplacian(small, cv2.CV_64F).var()),
    }


def colours(pixels: NDArray[np.uint8]) -> Fact:
    """Mean of each channel and of its square, 0-1, of uint8 RGB pixels (H, W, 3)."""
    values = pixels.reshape(-1, 3).astype(np.float64) / 255
    return {**dict(zip(CHANNELS, values.mean(0), strict=True)), **dict(zip(SQUARES, (values**2).mean(0), strict=True))}


def measure_crops(crops: CropSet, pictures: Sequence[str]) -> pd.DataFrame:
    """`CHANNELS` and `SQUARES` of the crops of pictures; those whose file is gone are left out."""
    return pd.DataFrame(list(_crop_colours(crops, pictures)), columns=[*CHANNELS, *SQUARES])


def _crop_colours(crops: CropSet, pictures: Sequence[str]) -> Iterable[Fact]:
    for picture in tqdm(pictures, "crops", unit=" pictures"):
        try:
            yield colours(crops.read(picture))
        except UserError:
            continue


def mean_and_std(facts: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (3,) each of the pixels of pictures, 0-1; every picture counts alike."""
    mean = facts[list(CHANNELS)].mean().to_numpy(np.float64)
    square = facts[list(SQUARES)].mean().to_numpy(np.float64)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))
