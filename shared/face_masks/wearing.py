"""How a mask sits on a face: where its four edges run, drawn at random for a mask state."""

from dataclasses import dataclass, replace

import numpy as np

from shared.face_masks.face import EYE_LINE, Face
from shared.face_masks.surface import ANGLES, Plane, Surface
from shared.labels import MASKS

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
    """Pixels that the mask hangs lower at the right of the picture, per half width."""
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


def fit_for(state: int, face: Face, rng: np.random.Generator) -> Fit:
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


def _right(face: Face, rng: np.random.Generator) -> Fit:
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


def _nose_out(face: Face, rng: np.random.Generator) -> Fit:
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


def _under_chin(face: Face, rng: np.random.Generator) -> Fit:
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


def _mouth_out(face: Face, rng: np.random.Generator) -> Fit:
    """Drawn up over the nose, the mouth free below it."""
    nose, mouth = face.nose[1], face.mouth[1]
    fit = _right(face, rng)
    return replace(
        fit,
        top=EYE_LINE + (nose - EYE_LINE) * _between(rng, 0.0, 0.5),
        cut=nose + _between(rng, 0.30, 0.68) * (mouth - nose),
        sag=_between(rng, -6, 16),
    )
