"""The shape of a head: its measures, its outline and the height field of the face."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from shared.portraits.person import Person
from shared.portraits.rendering import SCALE, Plane, X, Y, blob, inside, jitter

MIDDLE = 0.05
"""Height of the point that the outline is measured from."""


def _measure(female: float, male: float, sigma: float, ageing: float = 0.0) -> Any:
    """A field of `Measures`: its means, their spread, and the change from 20 to 74 years."""
    return field(metadata={"female": female, "male": male, "sigma": sigma, "ageing": ageing})


@dataclass(frozen=True)
class Measures:
    """Places and lengths in units. Widths of the outline, of eyes, nose, mouth, neck and shoulders are halved."""

    crown: float = _measure(-1.50, -1.52, 0.03)
    temple: float = _measure(0.93, 0.95, 0.02)
    cheek: float = _measure(0.91, 0.93, 0.02, 0.02)
    jaw: float = _measure(0.76, 0.87, 0.025, 0.05)
    lower: float = _measure(0.57, 0.70, 0.03, 0.06)
    chin: float = _measure(1.50, 1.60, 0.03)
    chin_width: float = _measure(0.30, 0.40, 0.03, 0.02)
    eye_x: float = _measure(0.44, 0.44, 0.012)
    eye_width: float = _measure(0.205, 0.195, 0.008, -0.008)
    lid: float = _measure(0.108, 0.083, 0.006, -0.030)
    eye_tilt: float = _measure(0.022, 0.010, 0.010, -0.020)
    brow_y: float = _measure(-0.325, -0.258, 0.012, 0.020)
    brow_width: float = _measure(0.052, 0.108, 0.007)
    brow_arch: float = _measure(0.070, 0.025, 0.012)
    brow_ridge: float = _measure(0.025, 0.085, 0.012)
    nose_y: float = _measure(0.62, 0.65, 0.025, 0.02)
    wing: float = _measure(0.170, 0.205, 0.012, 0.015)
    nose_rise: float = _measure(0.17, 0.20, 0.02)
    mouth_y: float = _measure(0.985, 1.02, 0.02, 0.01)
    mouth_width: float = _measure(0.385, 0.415, 0.02, 0.01)
    upper_lip: float = _measure(0.082, 0.062, 0.010, -0.022)
    lower_lip: float = _measure(0.115, 0.095, 0.012, -0.025)
    smile: float = _measure(0.060, 0.045, 0.020, -0.020)
    """How much higher the corners of the mouth are than its middle."""
    hairline: float = _measure(-0.93, -0.95, 0.03)
    neck: float = _measure(0.50, 0.65, 0.025, 0.02)
    shoulder: float = _measure(1.75, 2.15, 0.07)


def sample_measures(rng: np.random.Generator, person: Person) -> Measures:
    """The measures of this person's head."""
    values = {}
    for measure in fields(Measures):
        of = measure.metadata
        mean = of["female" if person.female else "male"] + of["ageing"] * person.wear
        values[measure.name] = jitter(rng, mean, of["sigma"])
    return Measures(**values)


def neck_width(m: Measures) -> Plane:
    """Half-width of the neck in each row, (HEIGHT, 1): it widens into the shoulders."""
    return m.neck + 0.9 * np.clip(Y - m.chin - 0.12, 0, None) ** 2


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


def _rounded(radius: Plane, sigma: float = 7.0) -> Plane:
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
