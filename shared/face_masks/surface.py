"""Where on the lower face a pixel lies: an elliptic cylinder, narrower towards the chin, that turns with the head.

A point at the angle t around the head lies at x = a sin(t) cos(yaw) - b (1 - cos(t)) sin(yaw) beside the middle: a is
half the width, b the depth, yaw the turn. With A = a cos(yaw) and B = b sin(yaw) that is A sin(t) + B cos(t) - B, so

    t = arcsin((x + B) / R) - arctan(B / A),    R = sqrt(A^2 + B^2),

and the outline is where |x + B| = R.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.crops import CROP_SIZE
from shared.face_masks.face import EYE_LINE, Face

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


def surface_of(face: Face, top: float, bottom: float, slack: float, wide: float = 1.0) -> Surface:
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


def _ridge(face: Face, y: Plane | float) -> Plane:
    """The x of the middle in each row: the nose, and the mask over it, stand out and move further when one turns."""
    slope = (face.mouth[0] - face.middle_at(EYE_LINE)) / (face.mouth[1] - EYE_LINE)
    middle = face.middle_at(EYE_LINE) + np.float32(slope) * (y - EYE_LINE)
    out = np.exp(-(((y - np.float32(face.nose[1])) / np.float32(38.0)) ** 2))
    return middle + np.float32(0.5 * (face.nose[0] - face.middle_at(face.nose[1]))) * out


def place_of(face: Face, reach: float, bottom: float, around: float, down: float) -> tuple[float, float]:
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
