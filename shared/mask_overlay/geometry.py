"""Geometry of a masked face: the head behind the landmarks, the surface of its lower half, and how a mask sits on it.

The lower face is an elliptic cylinder that narrows towards the chin and turns with the head. A point at the angle t
around the head lies at x = a sin(t) cos(yaw) - b (1 - cos(t)) sin(yaw) beside the middle, where a is half the width and
b the depth. With A = a cos(yaw), B = b sin(yaw) and R = sqrt(A^2 + B^2), x = A sin(t) + B cos(t) - B, so

    t = arcsin((x + B) / R) - arctan(B / A),

and the outline of the face is where |x + B| = R.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import NDArray

from shared.crops import BOX, CROP_SIZE, EYES, LANDMARKS
from shared.labels import MASKS

Plane = npt.NDArray[Any]
"""float32; numpy's type stubs lose the dtype in most operations."""
Box = tuple[slice, slice]
"""Rows and columns of a crop."""

EYE_LINE = EYES[0][1]
EYE_DISTANCE = EYES[1][0] - EYES[0][0]
MIDDLE = (EYES[0][0] + EYES[1][0]) / 2


@dataclass(frozen=True)
class FaceGeometry:
    """A head in an aligned crop; lengths in pixels of the crop, angles in radians. Defaults are those of most faces."""

    nose: tuple[float, float] = (MIDDLE, 151.0)
    """The tip."""
    mouth: tuple[float, float] = (MIDDLE, 181.0)
    """The middle."""
    half_width: float = 71.0
    """From the middle to the edge of the cheeks, in a frontal view."""
    yaw: float = 0.0
    """Positive if the face is turned to the right of the image."""
    pitch: float = 0.0
    """Positive if it looks down."""

    @property
    def chin(self) -> float:
        """Height of the lower end, from usual proportions of eyes, mouth and chin."""
        return EYE_LINE + 1.66 * (self.mouth[1] - EYE_LINE)

    def middle_at(self, y: float) -> float:
        """Return the x of the middle of the face at a height, without the nose."""
        return MIDDLE + (self.mouth[0] - MIDDLE) * (y - EYE_LINE) / (self.mouth[1] - EYE_LINE)


def face_of(places: NDArray[np.float64]) -> FaceGeometry:
    """Return the head behind one row of `places_in_crops`, (6, 2); defaults if the landmarks are missing or absurd."""
    nose, mouth = places[2], (places[3] + places[4]) / 2
    width = places[5, 0]
    drop = mouth[1] - EYE_LINE
    # All comparisons are false for NaN.
    sound = 50 < drop < 92 and abs(mouth[0] - MIDDLE) < 16 and 0.3 < (nose[1] - EYE_LINE) / drop < 0.85
    if not sound or not abs(nose[0] - MIDDLE) < 36:
        return FaceGeometry()
    # Where the nose is beside the line from the eyes to the mouth shows the turn: its tip stands out about 30 pixels.
    aside = nose[0] - (MIDDLE + (mouth[0] - MIDDLE) * (nose[1] - EYE_LINE) / drop)
    # In a level view the tip of the nose is at .56 of the way from the eyes to the mouth.
    pitch = 1.2 * ((nose[1] - EYE_LINE) / drop - 0.56)
    return FaceGeometry(
        nose=(float(nose[0]), float(nose[1])),
        mouth=(float(mouth[0]), float(mouth[1])),
        half_width=float(np.clip(width / 2, 62, 84)) if width > 0 else FaceGeometry.half_width,
        yaw=math.asin(min(max(aside / 30.0, -0.75), 0.75)),
        pitch=min(max(float(pitch), -0.3), 0.3),
    )


def places_in_crops(index: pd.DataFrame) -> NDArray[np.float64]:
    """Map the landmarks of every row of a crop index to pixels of the crop.

    Returns (N, 6, 2): five landmarks and the size of the face's box; NaN where no face was found.
    """
    # In complex numbers the similarity transform of a crop is z -> a*z + b, as in `shared.faces.alignment`.
    corners = index[LANDMARKS].to_numpy(np.float64).reshape(-1, 5, 2)
    points = corners[..., 0] + 1j * corners[..., 1]
    apart = points[:, 1] - points[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(np.abs(apart) > 1, EYE_DISTANCE / apart, np.nan)
    moved = (points - points[:, :1]) * a[:, None] + complex(*EYES[0])
    box = index[BOX].to_numpy(np.float64)
    size = (box[:, 2:] - box[:, :2]) * np.abs(a)[:, None]
    return np.concatenate([np.stack([moved.real, moved.imag], axis=2), size[:, None]], axis=1)


ANGLES = np.linspace(-2.4, 2.4, 1025, dtype=np.float32)
"""Radians at which functions of the angle are tabulated: a table look-up takes a tenth of the time of `exp`."""
_ARCSIN = np.arcsin(np.linspace(-1, 1, 4097)).astype(np.float32)
_DEPTH = 0.85
"""Depth of the cylinder, in half-widths."""
_TAPER_AT = np.array([-0.5, 0.0, 0.3, 0.5, 0.65, 0.78, 0.88, 0.95, 1.0])
_TAPER = np.array([1.0, 1.0, 0.99, 0.95, 0.88, 0.76, 0.59, 0.38, 0.0])
"""Half-width of a face from the eyes (0) to the chin (1)."""


def look_up(table: Plane, values: Plane, low: float, high: float) -> Plane:
    """Evaluate a function tabulated at equal steps from `low` to `high`; values beyond take its ends."""
    return np.take(table, _table_index(values, low, high, len(table)))


def _table_index(values: Plane, low: float, high: float, steps: int) -> Plane:
    scale = (steps - 1) / (high - low)
    scaled = values * np.float32(scale)
    scaled += np.float32(0.5 - low * scale)
    np.minimum(np.maximum(scaled, np.float32(0), out=scaled), np.float32(steps - 1), out=scaled)
    return scaled.astype(np.int32)


@dataclass(frozen=True)
class Surface:
    """The lower face within a box of the crop; planes are (rows, columns) of the box."""

    box: Box
    around: Plane
    """Angle around the head in radians, 0 in the middle of the face."""
    down: Plane
    """Height in pixels of the crop, as if the head were held level."""
    inside: Plane
    """Distance to the outline in pixels, positive inside."""
    reach: float
    """Half-width in pixels."""

    @cached_property
    def _index(self) -> Plane:
        return _table_index(self.around, -ANGLES[-1], ANGLES[-1], len(ANGLES))

    def along(self, profile: Plane) -> Plane:
        """Evaluate a function of the angle, tabulated at `ANGLES`, at each pixel."""
        return np.take(profile, self._index)


def surface_of(face: FaceGeometry, top: float, bottom: float, slack: float) -> Surface:
    """Return the surface from height `top` down to a chin at `bottom`, `slack` pixels outside the cheeks."""
    reach = face.half_width + slack
    x_middle, aside = face.middle_at(face.nose[1]), 1.12 * reach + abs(face.yaw) * 20
    rows = slice(max(int(top - 14), 0), min(int(bottom + 6) + 1, CROP_SIZE))
    columns = slice(max(int(x_middle - aside), 0), min(int(x_middle + aside) + 1, CROP_SIZE))
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :]
    share = (y - np.float32(EYE_LINE)) / np.float32(bottom - EYE_LINE)
    half = reach * np.interp(share, _TAPER_AT, _TAPER).astype(np.float32)
    # A, B and R of the module's docstring, for each row.
    across, along = half * np.float32(math.cos(face.yaw)), half * np.float32(_DEPTH * math.sin(face.yaw))
    radius = np.sqrt(across**2 + along**2) + np.float32(1e-3)
    side = x - _ridge(face, y) + along
    turn = np.float32(math.atan2(_DEPTH * math.sin(face.yaw), math.cos(face.yaw)))
    around = look_up(_ARCSIN, np.clip(side / radius, -1, 1), -1, 1) - turn
    down = y + np.float32(math.tan(face.pitch) * 0.8) * half * (1 - np.cos(around))
    # The outline is steep near the chin: convert the horizontal distance to the nearest one.
    steep = np.sqrt(1 + np.gradient(radius[:, 0]) ** 2).astype(np.float32)[:, None]
    return Surface((rows, columns), around, down, (radius - np.abs(side)) / steep, reach)


def _ridge(face: FaceGeometry, y: Plane | float) -> Plane:
    """Return the x of the middle of each row. Nose and mask stand out and therefore move further with the turn."""
    slope = (face.mouth[0] - face.middle_at(EYE_LINE)) / (face.mouth[1] - EYE_LINE)
    middle = face.middle_at(EYE_LINE) + np.float32(slope) * (y - EYE_LINE)
    out = np.exp(-(((y - np.float32(face.nose[1])) / np.float32(38.0)) ** 2))
    return middle + np.float32(0.5 * (face.nose[0] - face.middle_at(face.nose[1]))) * out


def place_of(face: FaceGeometry, reach: float, bottom: float, around: float, down: float) -> tuple[float, float]:
    """Return the pixel (x, y) of a point of the surface: the inverse of `Surface.around` and `Surface.down`."""
    half = reach * float(np.interp((down - EYE_LINE) / (bottom - EYE_LINE), _TAPER_AT, _TAPER))
    depth = _DEPTH * half * (1 - math.cos(around))
    x = half * math.sin(around) * math.cos(face.yaw) - depth * math.sin(face.yaw)
    y = down - math.tan(face.pitch) * 0.8 * half * (1 - math.cos(around))
    return float(_ridge(face, down)) + x, y


WORN, INCORRECT, NONE = (MASKS.index(name) for name in ("worn", "incorrect", "none"))

HANGING = "hanging from one ear"
WAYS = {
    WORN: {"stiff": 0.4, "soft": 0.6},
    INCORRECT: {"nose out": 0.42, "under the chin": 0.30, "mouth out": 0.08, "low and askew": 0.08, HANGING: 0.12},
}
"""Ways to wear a mask in each mask state, with probabilities. Soft masks follow the nose down, stiff ones do not."""


@dataclass(frozen=True)
class Fit:
    """Edges of a mask on a `Surface`; heights in pixels of the crop, angles around the head in radians."""

    top: float
    """Height of the upper edge in the middle."""
    flank: float
    """Fall of the upper edge beside the nose."""
    peak: float
    """Angle within which it falls."""
    rise: float
    """Rise of the upper edge towards the sides."""
    bottom: float
    """Lower end of the covered face: the chin, or below it if the mask stands off."""
    upper_reach: float
    """Angle at which the mask ends at its upper edge."""
    lower_reach: float
    """Angle at which it ends at its lower end."""
    cut: float = 400.0
    """Height of the lower edge if the mask ends above the chin; otherwise far below."""
    sag: float = 0.0
    """Rise of that lower edge towards the sides."""
    tilt: float = 0.0
    """Pixels that the mask hangs lower at the right of the image, per half-width."""
    slack: float = 2.0
    """Distance from the cheeks, pixels."""
    way: str = ""
    """A key of `WAYS`."""

    def upper_edge(self, surface: Surface) -> Plane:
        """Return the height of the upper edge at each pixel's angle."""
        fallen = self.flank * (1 - np.exp(-((ANGLES / self.peak) ** 2)))
        edge = self.top + fallen - self.rise * np.abs(ANGLES) ** 3 + self.tilt * np.sin(ANGLES)
        return surface.along(edge.astype(np.float32))

    def lower_edge(self, surface: Surface) -> Plane:
        """Return the height of the lower edge at each pixel's angle."""
        return surface.along((self.cut - self.sag * ANGLES**2 + self.tilt * np.sin(ANGLES)).astype(np.float32))


Range = tuple[float, float]


class _FitRanges(NamedTuple):
    """Ranges from which a `Fit` is drawn; see its fields."""

    top_between: tuple[int, int]
    """The upper edge is between these two of eye line (0), tip of the nose (1), mouth (2) and chin (3)."""
    top: Range
    """As a share of the way between them."""
    flank: Range
    peak: Range
    rise: Range
    below_chin: Range
    """Pixels from the chin to `Fit.bottom`."""
    upper_reach: Range
    lower_share: Range
    """`Fit.lower_reach` as a share of the upper one."""
    tilt: float
    """Standard deviation."""
    slack: Range


_CHIN = _FitRanges((2, 3), (0.38, 1.0), (-8, 5), (0.4, 0.9), (2, 30), (14, 44), (0.9, 1.5), (0.75, 1.3), 4.0, (0, 9))
_NOSE = _FitRanges((1, 2), (0.2, 0.56), (-6, 7), (0.3, 0.7), (-2, 22), (2, 24), (0.92, 1.36), (0.8, 1.1), 3.0, (-1, 6))
_SOFT = _FitRanges(
    (0, 1), (0.06, 0.74), (4, 23), (0.25, 0.6), (-2, 9), (1, 15), (0.92, 1.45), (0.82, 1.12), 2.5, (-2, 8)
)
_FITS = {
    "stiff": _SOFT._replace(flank=(-4, 6)),
    "soft": _SOFT,
    "mouth out": _SOFT._replace(top=(0.0, 0.5)),
    "nose out": _NOSE,
    "low and askew": _NOSE._replace(top=(0.34, 0.7)),
    "under the chin": _CHIN,
    HANGING: _CHIN,
}


def fit_for(state: int, face: FaceGeometry, rng: np.random.Generator) -> Fit:
    """Draw a way to wear a mask that has this mask state (an index into `labels.MASKS`), and how the mask sits."""
    ways = WAYS[state]
    way = str(rng.choice(list(ways), p=list(ways.values())))
    ranges, (nose, mouth) = _FITS[way], (face.nose[1], face.mouth[1])
    low, high = ((EYE_LINE, nose, mouth, face.chin)[level] for level in ranges.top_between)
    reach = rng.uniform(*ranges.upper_reach)
    fit = Fit(
        top=low + rng.uniform(*ranges.top) * (high - low),
        flank=rng.uniform(*ranges.flank),
        peak=rng.uniform(*ranges.peak),
        rise=rng.uniform(*ranges.rise),
        bottom=face.chin + rng.uniform(*ranges.below_chin),
        upper_reach=reach,
        lower_reach=reach * rng.uniform(*ranges.lower_share),
        tilt=rng.normal(0, ranges.tilt),
        slack=rng.uniform(*ranges.slack),
        way=way,
    )
    if way == "mouth out":
        return replace(fit, cut=nose + rng.uniform(0.30, 0.68) * (mouth - nose), sag=rng.uniform(-6, 16))
    if way == "low and askew":
        return replace(fit, tilt=rng.choice((-1, 1)) * rng.uniform(10, 18))
    return fit
