"""The shape of a head: its measures, its outline and the height field of the face."""

from dataclasses import dataclass

import numpy as np

from shared.portraits.canvas import SCALE, Plane, X, Y, blob, inside, jitter
from shared.portraits.person import Person

# name: female, male, sigma, change from 20 to 72 years
_MEASURES = {
    "crown": (-1.50, -1.52, 0.03, 0.0),
    "temple": (0.93, 0.95, 0.02, 0.0),
    "cheek": (0.91, 0.93, 0.02, 0.02),
    "jaw": (0.76, 0.87, 0.025, 0.05),
    "lower": (0.57, 0.70, 0.03, 0.06),
    "chin": (1.50, 1.60, 0.03, 0.0),
    "chin_width": (0.30, 0.40, 0.03, 0.02),
    "eye_x": (0.44, 0.44, 0.012, 0.0),
    "eye_width": (0.205, 0.195, 0.008, -0.008),
    "lid": (0.108, 0.083, 0.006, -0.030),
    "eye_tilt": (0.022, 0.010, 0.010, -0.020),
    "brow_y": (-0.325, -0.258, 0.012, 0.020),
    "brow_width": (0.052, 0.108, 0.007, 0.0),
    "brow_arch": (0.070, 0.025, 0.012, 0.0),
    "brow_ridge": (0.025, 0.085, 0.012, 0.0),
    "nose_y": (0.62, 0.65, 0.025, 0.02),
    "wing": (0.170, 0.205, 0.012, 0.015),
    "nose_rise": (0.17, 0.20, 0.02, 0.0),
    "mouth_y": (0.985, 1.02, 0.02, 0.01),
    "mouth_width": (0.385, 0.415, 0.02, 0.01),
    "upper_lip": (0.082, 0.062, 0.010, -0.022),
    "lower_lip": (0.115, 0.095, 0.012, -0.025),
    "smile": (0.060, 0.045, 0.020, -0.020),
    "hairline": (-0.93, -0.95, 0.03, 0.0),
    "neck": (0.50, 0.65, 0.025, 0.02),
    "shoulder": (1.75, 2.15, 0.07, 0.0),
}


@dataclass(frozen=True)
class Measures:
    """Lengths and places in units; see `_MEASURES`. Lids, lips and wings are half-widths or heights of their parts."""

    crown: float
    temple: float
    cheek: float
    jaw: float
    lower: float
    chin: float
    chin_width: float
    eye_x: float
    eye_width: float
    lid: float
    eye_tilt: float
    brow_y: float
    brow_width: float
    brow_arch: float
    brow_ridge: float
    nose_y: float
    wing: float
    nose_rise: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    smile: float
    hairline: float
    neck: float
    shoulder: float


def sample_measures(rng: np.random.Generator, person: Person) -> Measures:
    """The measures of this person's head."""
    values = {}
    for name, (female, male, sigma, ageing) in _MEASURES.items():
        mean = (female if person.female else male) + ageing * person.wear
        values[name] = jitter(rng, mean, sigma)
    return Measures(**values)


@dataclass(frozen=True)
class Head:
    """The planes that follow from the measures."""

    measures: Measures
    rho: Plane
    """Distance from the middle of the face as a share of the outline's: 1 on the outline."""
    edge: Plane
    """Distance inwards from the outline, units."""
    half_width: Plane
    """Of each row of the canvas, (HEIGHT, 1)."""
    height: Plane
    """Of the face above the plane of the ears, features included; goes on smoothly past the outline."""

    def width_at(self, y: float) -> float:
        """Half-width of the outline at a height, units."""
        return float(np.interp(y, Y[:, 0], self.half_width[:, 0]))


def build_head(measures: Measures) -> Head:
    """Outline and relief of a head."""
    rho, edge = _outline(measures)
    half_width = inside(edge).sum(axis=1, keepdims=True) / np.float32(2 * SCALE)
    return Head(measures, rho, edge, half_width, _dome(rho) + _features(measures))


MIDDLE = 0.05
"""Height of the point that outlines are measured from."""


def _outline(measures: Measures) -> tuple[Plane, Plane]:
    """A star-shaped closed curve through the measures, rounded by a circular blur of its radius."""
    m = measures
    corners = [(0.0, m.crown), (0.48, m.crown + 0.10), (0.80, -1.02), (m.temple, -0.42), (m.cheek, 0.38)]
    corners += [(m.jaw, 0.80), (m.lower, m.chin - 0.36), (m.chin_width, m.chin - 0.08), (0.0, m.chin)]
    angles = [float(np.arctan2(x, y - MIDDLE)) for x, y in reversed(corners)]
    radii = [float(np.hypot(x, y - MIDDLE)) for x, y in reversed(corners)]
    turn = np.linspace(-np.pi, np.pi, 721)
    radius = _rounded(np.interp(np.abs(turn), angles, radii))
    dy = Y - MIDDLE
    limit = np.interp(np.arctan2(X, dy), turn, radius).astype(np.float32)
    distance = np.sqrt(X * X + dy * dy)
    return distance / limit, limit - distance


def _rounded(radius: np.ndarray, sigma: float = 7.0) -> np.ndarray:
    """Circular Gaussian blur; `sigma` in degrees."""
    frequencies = np.fft.rfftfreq(720)
    attenuation = np.exp(-2 * (np.pi * frequencies * sigma * 2) ** 2)
    smooth = np.fft.irfft(np.fft.rfft(radius[:720]) * attenuation, 720)
    return np.append(smooth, smooth[0])


def _dome(rho: Plane, rise: float = 0.95, power: float = 2.6, root: float = 0.62, last: float = 0.955) -> Plane:
    """`rise * (1 - rho^power)^root`, continued along its tangent beyond `last`: the jaw has no edge of its own."""
    within = np.minimum(rho, last)
    slope = -rise * root * power * last ** (power - 1) * (1 - last**power) ** (root - 1)
    return rise * (1 - within**power) ** root + slope * (rho - within)


def _features(measures: Measures) -> Plane:
    return _eyes_and_cheeks(measures) + _nose(measures) + _mouth_and_chin(measures)


def _eyes_and_cheeks(measures: Measures) -> Plane:
    m = measures
    height = 0.03 * blob(0.0, m.brow_y + 0.02, 0.12, 0.09)
    for side in (-1.0, 1.0):
        height += -0.12 * blob(side * m.eye_x * 0.96, 0.0, 0.20, 0.125)
        height += m.brow_ridge * blob(side * 0.42, m.brow_y + 0.05, 0.24, 0.075)
        height += 0.055 * blob(side * 0.60, 0.34, 0.20, 0.15)
        height += 0.035 * blob(side * m.eye_x, 0.0, 0.13, 0.085)
    return height


def _nose(measures: Measures) -> Plane:
    m = measures
    tip = m.nose_y - 0.05
    ridge = np.interp(Y, [-0.22, 0.0, 0.25, tip, tip + 0.06, tip + 0.20], [0, 0.05, 0.11, m.nose_rise, 0.14, 0])
    width = np.interp(Y, [-0.2, 0.05, tip], [0.11, 0.075, 0.115])
    height = (ridge * np.exp(-0.5 * (X / width) ** 2)).astype(np.float32)
    height += 0.09 * blob(0.0, tip, 0.095, 0.075)
    for side in (-1.0, 1.0):
        height += 0.11 * blob(side * (m.wing - 0.045), m.nose_y - 0.025, 0.062, 0.062)
    return height


def _mouth_and_chin(measures: Measures) -> Plane:
    m = measures
    height = 0.085 * blob(0.0, m.mouth_y - 0.02, 0.33, 0.23)
    height += -0.025 * blob(0.0, m.mouth_y - 0.19, 0.035, 0.06)
    height += 0.030 * blob(0.0, m.mouth_y - 0.045, m.mouth_width * 0.5, 0.035)
    height += 0.045 * blob(0.0, m.mouth_y + 0.055, m.mouth_width * 0.45, 0.045)
    height += -0.040 * blob(0.0, m.mouth_y + 0.20, 0.20, 0.05)
    height += 0.070 * blob(0.0, m.chin - 0.19, 0.19, 0.12)
    return height
