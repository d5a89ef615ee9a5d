"""From five landmarks in an aligned crop to what drawing must know of a head.

Where on the lower face a pixel lies: an elliptic cylinder, narrower towards the chin, that turns with the head.

A point at the angle t around the head lies at x = a sin(t) cos(yaw) - b (1 - cos(t)) sin(yaw) beside the middle: a is
half the width, b the depth, yaw the turn. With A = a cos(yaw) and B = b sin(yaw) that is A sin(t) + B cos(t) - B, so

    t = arcsin((x + B) / R) - arctan(B / A),    R = sqrt(A^2 + B^2),

and the outline is where |x + B| = R.

What a photograph says of its light, its sharpness and its noise, measured on the bare face.

How a mask sits on a face: where its four edges run, drawn at random for a mask state.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import NDArray

from shared.crops import BOX, CROP_SIZE, EYES, LANDMARKS
from shared.labels import MASKS

EYE_LINE = EYES[0][1]
EYE_DISTANCE = EYES[1][0] - EYES[0][0]
MIDDLE = (EYES[0][0] + EYES[1][0]) / 2

_NOSE_DEPTH = 30.0
"""Pixels that the tip of the nose stands out before the line from eyes to mouth, 64 between the eyes."""
_LEVEL_NOSE = 0.56
"""Where the tip of the nose is between eyes and mouth when one looks straight ahead."""


@dataclass(frozen=True)
class FaceGeometry:
    """A head in an aligned crop; pixels of the crop and radians."""

    nose: tuple[float, float] = (MIDDLE, 151.0)
    """The tip."""
    mouth: tuple[float, float] = (MIDDLE, 181.0)
    """Its middle."""
    half_width: float = 71.0
    """From the middle to where the cheeks end, seen from the front."""
    yaw: float = 0.0
    """Positive where the face is turned to the right of the image."""
    pitch: float = 0.0
    """Positive where it looks down."""

    @property
    def chin(self) -> float:
        """Its lower end: eyes, mouth and chin keep their proportions."""
        return EYE_LINE + 1.66 * (self.mouth[1] - EYE_LINE)

    def middle_at(self, y: float) -> float:
        """The x of the middle of the skin at a height, without the nose."""
        return MIDDLE + (self.mouth[0] - MIDDLE) * (y - EYE_LINE) / (self.mouth[1] - EYE_LINE)


def face_of(places: NDArray[np.float64]) -> FaceGeometry:
    """The head behind a row of `places_in_crops`, (6, 2); what is missing or makes no sense is as in most faces."""
    nose, mouth = places[2], (places[3] + places[4]) / 2
    width = places[5, 0]
    drop = mouth[1] - EYE_LINE
    # Also false where a number is missing.
    sound = 50 < drop < 92 and abs(mouth[0] - MIDDLE) < 16 and 0.3 < (nose[1] - EYE_LINE) / drop < 0.85
    if not sound or not abs(nose[0] - MIDDLE) < 36:
        return FaceGeometry()
    aside = nose[0] - (MIDDLE + (mouth[0] - MIDDLE) * (nose[1] - EYE_LINE) / drop)
    pitch = 1.2 * ((nose[1] - EYE_LINE) / drop - _LEVEL_NOSE)
    return FaceGeometry(
        nose=(float(nose[0]), float(nose[1])),
        mouth=(float(mouth[0]), float(mouth[1])),
        half_width=float(np.clip(width / 2, 62, 84)) if width > 0 else FaceGeometry.half_width,
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


Plane = npt.NDArray[Any]
"""float32; numpy's stubs lose that at every turn."""

Box = tuple[slice, slice]
"""Rows and columns of a crop."""

ANGLES = np.linspace(-2.4, 2.4, 1025, dtype=np.float32)
"""Radians at which functions of the angle are tabulated: a look in a table takes a tenth of the time of an exp."""

_ARCSIN = np.arcsin(np.linspace(-1, 1, 4097)).astype(np.float32)

_DEPTH = 0.85
"""Of the cylinder, in half widths."""

_TAPER_AT = np.array([-0.5, 0.0, 0.3, 0.5, 0.65, 0.78, 0.88, 0.95, 1.0])
_TAPER = np.array([1.0, 1.0, 0.99, 0.95, 0.88, 0.76, 0.59, 0.38, 0.0])
"""Half the width of a face from the eyes (0) to the chin (1)."""


@dataclass(frozen=True)
class Surface:
    """The lower face over a box of the crop; planes are (rows, columns)."""

    box: Box
    around: Plane
    """The angle around the head, 0 in the middle of the face; radians."""
    down: Plane
    """Height in pixels of the crop, as it would be with the head held level."""
    inside: Plane
    """Pixels to the outline, positive within."""
    reach: float
    """Half the width, pixels."""

    @cached_property
    def _place(self) -> Plane:
        return lookup(self.around, -ANGLES[-1], ANGLES[-1])

    def along(self, profile: Plane) -> Plane:
        """A function of the angle, given at `ANGLES`, at each pixel."""
        return np.take(profile, self._place)


def lookup(values: Plane, low: float, high: float, steps: int = len(ANGLES)) -> Plane:
    """Places in a table of so many steps from `low` to `high`; beyond it, its ends."""
    scale = (steps - 1) / (high - low)
    scaled = values * np.float32(scale)
    scaled += np.float32(0.5 - low * scale)
    np.minimum(np.maximum(scaled, np.float32(0), out=scaled), np.float32(steps - 1), out=scaled)
    return scaled.astype(np.int32)


def surface_of(face: FaceGeometry, top: float, bottom: float, slack: float, wide: float = 1.0) -> Surface:
    """The face from the height `top` to its lower end, moved to `bottom`; what covers it stands off by `slack`."""
    reach = face.half_width * wide + slack
    aside = 1.12 * reach + abs(face.yaw) * 20
    box = _box(face.middle_at(face.nose[1]), aside, top - 14, bottom + 6)
    y = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None]
    x = np.arange(box[1].start, box[1].stop, dtype=np.float32)[None, :]
    share = (y - np.float32(EYE_LINE)) / np.float32(bottom - EYE_LINE)
    half = reach * np.interp(share, _TAPER_AT, _TAPER).astype(np.float32)
    across, along = half * np.float32(math.cos(face.yaw)), half * np.float32(_DEPTH * math.sin(face.yaw))
    radius = np.sqrt(across**2 + along**2) + np.float32(1e-3)
    side = x - _ridge(face, y) + along
    sine = np.clip(side / radius, -1, 1)
    turn = np.float32(math.atan2(_DEPTH * math.sin(face.yaw), math.cos(face.yaw)))
    around = np.take(_ARCSIN, lookup(sine, -1, 1, len(_ARCSIN))) - turn
    down = y + np.float32(math.tan(face.pitch) * 0.8) * half * (1 - np.cos(around))
    steep = np.sqrt(1 + np.gradient(radius[:, 0]) ** 2).astype(np.float32)[:, None]
    return Surface(box, around, down, (radius - np.abs(side)) / steep, reach)


def _ridge(face: FaceGeometry, y: Plane | float) -> Plane:
    """The x of the middle in each row: the nose, and the mask over it, stand out and move further when one turns."""
    slope = (face.mouth[0] - face.middle_at(EYE_LINE)) / (face.mouth[1] - EYE_LINE)
    middle = face.middle_at(EYE_LINE) + np.float32(slope) * (y - EYE_LINE)
    out = np.exp(-(((y - np.float32(face.nose[1])) / np.float32(38.0)) ** 2))
    return middle + np.float32(0.5 * (face.nose[0] - face.middle_at(face.nose[1]))) * out


def place_of(face: FaceGeometry, reach: float, bottom: float, around: float, down: float) -> tuple[float, float]:
    """The pixel of a point on the surface: the inverse of `Surface.around` and `Surface.down`."""
    half = reach * float(np.interp((down - EYE_LINE) / (bottom - EYE_LINE), _TAPER_AT, _TAPER))
    depth = _DEPTH * half * (1 - math.cos(around))
    x = half * math.sin(around) * math.cos(face.yaw) - depth * math.sin(face.yaw)
    y = down - math.tan(face.pitch) * 0.8 * half * (1 - math.cos(around))
    return float(_ridge(face, down)) + x, y


def _box(x: float, aside: float, top: float, bottom: float) -> Box:
    rows = (max(int(top), 0), min(int(bottom) + 1, CROP_SIZE))
    columns = (max(int(x - aside), 0), min(int(x + aside) + 1, CROP_SIZE))
    return slice(*rows), slice(*columns)


_SKIN = np.array([200.0, 160.0, 140.0], np.float32)
"""RGB of light skin in a well lit photograph: what the face's own is compared with."""

_COARSE = 8
"""Light is looked at in so many times fewer pixels each way."""


@dataclass(frozen=True)
class Light:
    """How the face is lit and seen."""

    shade: Plane | np.float32
    """(rows, columns) of a surface, or one for all: how bright the skin is there, 1 in the mean."""
    tint: Plane
    """(3,): by how much things are brighter or darker here, RGB, than in a well lit photograph."""
    skin: float
    """Brightness of the cheeks, of 255."""
    side: float
    """From -1 to 1: how much more light comes from the right of the image."""
    blur: float
    """Standard deviation in pixels of the crop's own blur."""
    noise: float
    """Standard deviation of its noise, of 255."""


def light_on(crop: Plane, face: FaceGeometry, surface: Surface) -> Light:
    """Measured in an aligned crop, uint8 RGB, before anything is drawn on it."""
    skin = _cheeks(crop, face)
    grey = cv2.cvtColor(crop[surface.box], cv2.COLOR_RGB2GRAY)
    shade = _shade(grey, surface)
    third = shade.shape[1] // 4
    left, right = float(shade[:, :third].mean()), float(shade[:, -third:].mean())
    tint = np.clip(skin / _SKIN, 0.12, 1.5)
    blur, noise = _sharpness(crop)
    return Light(shade, tint, float(skin.mean()), float(np.clip(1.5 * (right - left), -1, 1)), blur, noise)


def _cheeks(crop: Plane, face: FaceGeometry) -> Plane:
    """The usual colour of the skin beside the nose, RGB."""
    row, column = int(face.nose[1]), int(face.middle_at(face.nose[1]))
    area = crop[row - 14 : row + 12 : 3, max(column - 46, 0) : column + 46 : 3].reshape(-1, 3)
    return np.median(area, axis=0).astype(np.float32) if len(area) else _SKIN


def _shade(grey: Plane, surface: Surface) -> Plane:
    """Brightness without detail, of the face alone: what lies beside it would shine into it."""
    height, width = grey.shape
    small = (max(width // _COARSE, 2), max(height // _COARSE, 2))
    on_face = np.clip(surface.inside * np.float32(0.2), 0.01, 1)
    weight = cv2.resize(on_face, small, interpolation=cv2.INTER_AREA)
    light = cv2.resize(grey, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    usual = max(float((light * weight).sum() / weight.sum()), 8.0)
    light = np.clip(light / usual, 0.35, 1.6)
    sigma = 2.0
    soft = cv2.GaussianBlur(light * weight, (0, 0), sigma) / cv2.GaussianBlur(weight, (0, 0), sigma)
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)


def _sharpness(crop: Plane) -> tuple[float, float]:
    """Blur by how little the eyes lose when they are blurred once more; noise by what is left without edges."""
    rows = slice(int(EYE_LINE) - 18, int(EYE_LINE) + 16)
    eyes = crop[rows, int(MIDDLE) - 52 : int(MIDDLE) + 52, 1].astype(np.float32)
    once = cv2.GaussianBlur(eyes, (0, 0), 1.0)
    fine, coarse = float(np.abs(np.diff(eyes)).mean()), float(np.abs(np.diff(once)).mean())
    kept = coarse / max(fine, 0.3)
    rest = np.abs(eyes - once)
    noise = 1.2 * float(np.partition(rest.ravel(), rest.size // 3)[rest.size // 3])
    return min(max(3.2 * (kept - 0.55), 0.4), 2.2), min(max(noise, 0.3), 8.0)


WORN, INCORRECT, NONE = (MASKS.index(name) for name in ("worn", "incorrect", "none"))

HANGING = "hanging from one ear"
WAYS = {
    WORN: {"right": 1.0},
    INCORRECT: {"nose out": 0.42, "under the chin": 0.30, "mouth out": 0.08, "low and askew": 0.08, HANGING: 0.12},
}
"""For each mask state the ways to wear one, and how often."""


@dataclass(frozen=True)
class Fit:
    """Edges of a mask on a `Surface`; heights in pixels of the crop, angles around the head in radians."""

    way: str
    top: float
    """Height of the upper edge in the middle."""
    flank: float
    """How much lower the upper edge is beside the nose."""
    peak: float
    """How far from the middle it has fallen."""
    rise: float
    """How much the upper edge is higher again at the sides."""
    bottom: float
    """Where the covered face ends: at the chin, or below it by what stands off."""
    cut: float
    """Height of the lower edge, where the mask ends above the chin; else far below."""
    sag: float
    """How much higher that lower edge is at the sides."""
    upper_reach: float
    """Angle at which the mask ends at the height of its upper edge."""
    lower_reach: float
    """The same at its lower end."""
    tilt: float = 0.0
    """Pixels that the mask hangs lower at the right of the image, per half width."""
    slack: float = 2.0
    """Pixels that it stands off the cheeks."""

    def upper_edge(self, surface: Surface) -> Plane:
        """Height of the upper edge at each pixel's angle."""
        fallen = self.flank * (1 - np.exp(-((ANGLES / self.peak) ** 2)))
        return surface.along(_f32(self.top + fallen - self.rise * np.abs(ANGLES) ** 3 + self.tilt * np.sin(ANGLES)))

    def lower_edge(self, surface: Surface) -> Plane:
        """The same for the lower edge."""
        return surface.along(_f32(self.cut - self.sag * ANGLES**2 + self.tilt * np.sin(ANGLES)))


def _f32(values: Plane) -> Plane:
    return values.astype(np.float32)


def fit_for(state: int, face: FaceGeometry, rng: np.random.Generator) -> Fit:
    """A way to wear a mask that has this state, and how it sits."""
    ways = WAYS[state]
    way = str(rng.choice(list(ways), p=list(ways.values())))
    fit = {
        "right": _right,
        "nose out": _nose_out,
        "low and askew": _nose_out,
        "under the chin": _under_chin,
        "mouth out": _mouth_out,
        HANGING: _under_chin,
    }[way](face, rng)
    if way == "low and askew":
        side = 1 if rng.random() < 0.5 else -1
        return replace(fit, way=way, top=fit.top + 4, tilt=side * float(rng.uniform(10, 18)))
    return replace(fit, way=way)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _right(face: FaceGeometry, rng: np.random.Generator) -> Fit:
    """Nose, mouth and chin covered."""
    nose = face.nose[1] - EYE_LINE
    top = EYE_LINE + nose * _between(rng, 0.06, 0.74)
    reach = _between(rng, 0.92, 1.45)
    straight = rng.random() < 0.4
    return Fit(
        way="",
        top=top,
        # Stiff ones run straight across the nose, soft ones follow it down.
        flank=(_between(rng, -0.1, 0.15) if straight else _between(rng, 0.1, 0.6)) * nose,
        peak=_between(rng, 0.25, 0.6),
        rise=_between(rng, -2, 9),
        bottom=face.chin + _between(rng, 1, 15),
        cut=400.0,
        sag=0.0,
        upper_reach=reach,
        lower_reach=reach * _between(rng, 0.82, 1.12),
        tilt=float(rng.normal(0, 2.5)),
        slack=_between(rng, -2, 8),
    )


def _nose_out(face: FaceGeometry, rng: np.random.Generator) -> Fit:
    """The tip of the nose free, the mouth covered."""
    nose, mouth = face.nose[1], face.mouth[1]
    reach = _between(rng, 0.92, 1.36)
    return Fit(
        way="",
        top=nose + _between(rng, 0.2, 0.56) * (mouth - nose),
        flank=_between(rng, -6, 7),
        peak=_between(rng, 0.3, 0.7),
        rise=_between(rng, -2, 22),
        bottom=face.chin + _between(rng, 2, 24),
        cut=400.0,
        sag=0.0,
        upper_reach=reach,
        lower_reach=reach * _between(rng, 0.8, 1.1),
        tilt=float(rng.normal(0, 3)),
        slack=_between(rng, -1, 6),
    )


def _under_chin(face: FaceGeometry, rng: np.random.Generator) -> Fit:
    """Nose and mouth free; the mask hugs the chin or lies below it."""
    mouth, chin = face.mouth[1], face.chin
    return Fit(
        way="",
        top=mouth + _between(rng, 0.38, 1.0) * (chin - mouth),
        flank=_between(rng, -8, 5),
        peak=_between(rng, 0.4, 0.9),
        rise=_between(rng, 2, 30),
        bottom=chin + _between(rng, 14, 44),
        cut=400.0,
        sag=0.0,
        upper_reach=_between(rng, 0.9, 1.5),
        lower_reach=_between(rng, 0.9, 1.5),
        tilt=float(rng.normal(0, 4)),
        slack=_between(rng, 0, 9),
    )


def _mouth_out(face: FaceGeometry, rng: np.random.Generator) -> Fit:
    """Drawn up over the nose, the mouth free below it."""
    nose, mouth = face.nose[1], face.mouth[1]
    fit = _right(face, rng)
    return replace(
        fit,
        top=EYE_LINE + (nose - EYE_LINE) * _between(rng, 0.0, 0.5),
        cut=nose + _between(rng, 0.30, 0.68) * (mouth - nose),
        sag=_between(rng, -6, 16),
    )
