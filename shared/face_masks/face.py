"""From five landmarks in an aligned crop to what drawing must know of a head."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.crops import BOX, EYES, LANDMARKS

EYE_LINE = EYES[0][1]
EYE_DISTANCE = EYES[1][0] - EYES[0][0]
MIDDLE = (EYES[0][0] + EYES[1][0]) / 2

_NOSE_DEPTH = 30.0
"""Pixels that the tip of the nose stands out before the line from eyes to mouth, 64 between the eyes."""
_LEVEL_NOSE = 0.56
"""Where the tip of the nose is between eyes and mouth when one looks straight ahead."""


@dataclass(frozen=True)
class Face:
    """A head in an aligned crop; pixels of the crop and radians."""

    nose: tuple[float, float] = (MIDDLE, 151.0)
    """The tip."""
    mouth: tuple[float, float] = (MIDDLE, 181.0)
    """Its middle."""
    half_width: float = 71.0
    """From the middle to where the cheeks end, seen from the front."""
    yaw: float = 0.0
    """Positive where the face is turned to the right of the picture."""
    pitch: float = 0.0
    """Positive where it looks down."""

    @property
    def chin(self) -> float:
        """Its lower end: eyes, mouth and chin keep their proportions."""
        return EYE_LINE + 1.66 * (self.mouth[1] - EYE_LINE)

    def middle_at(self, y: float) -> float:
        """The x of the middle of the skin at a height, without the nose."""
        return MIDDLE + (self.mouth[0] - MIDDLE) * (y - EYE_LINE) / (self.mouth[1] - EYE_LINE)


def face_of(places: NDArray[np.float64]) -> Face:
    """The head behind a row of `places_in_crops`, (6, 2); what is missing or makes no sense is as in most faces."""
    nose, mouth = places[2], (places[3] + places[4]) / 2
    width = places[5, 0]
    drop = mouth[1] - EYE_LINE
    # Also false where a number is missing.
    sound = 50 < drop < 92 and abs(mouth[0] - MIDDLE) < 16 and 0.3 < (nose[1] - EYE_LINE) / drop < 0.85
    if not sound or not abs(nose[0] - MIDDLE) < 36:
        return Face()
    aside = nose[0] - (MIDDLE + (mouth[0] - MIDDLE) * (nose[1] - EYE_LINE) / drop)
    pitch = 1.2 * ((nose[1] - EYE_LINE) / drop - _LEVEL_NOSE)
    return Face(
        nose=(float(nose[0]), float(nose[1])),
        mouth=(float(mouth[0]), float(mouth[1])),
        half_width=float(np.clip(width / 2, 62, 84)) if width > 0 else Face.half_width,
        yaw=math.asin(min(max(aside / _NOSE_DEPTH, -0.75), 0.75)),
        pitch=min(max(float(pitch), -0.3), 0.3),
    )


def places_in_crops(index: pd.DataFrame) -> NDArray[np.float64]:
    """Five landmarks, and the size of the face's box, of every row of a crop index, in pixels of the crop: (N, 6, 2).

    Not a number where nothing was found. In complex numbers a crop is z -> a*z + b, as in `shared.faces.alignment`.
    """
    corners = index[LANDMARKS].to_numpy(np.float64).reshape(-1, 5, 2)
    points = corners[..., 0] + 1j * corners[..., 1]
    apart = points[:, 1] - points[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(np.abs(apart) > 1, EYE_DISTANCE / apart, np.nan)
    moved = (points - points[:, :1]) * a[:, None] + complex(*EYES[0])
    box = index[BOX].to_numpy(np.float64)
    size = (box[:, 2:] - box[:, :2]) * np.abs(a)[:, None]
    return np.concatenate([np.stack([moved.real, moved.imag], axis=2), size[:, None]], axis=1)
