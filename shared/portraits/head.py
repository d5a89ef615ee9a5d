"""Shape of a head: its measures, its outline and the height field of the face."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from shared.portraits.person import Person
from shared.portraits.rendering import SCALE, Plane, X, Y, blob, both_sides, bump, hills, inside, jitter


def _measure(female: float, male: float, sigma: float, ageing: float = 0.0) -> Any:
    """Return a field of `Measures`: its means, their spread, and the change from 20 to 74 years."""
    return field(metadata={"female": female, "male": male, "sigma": sigma, "ageing": ageing})


@dataclass(frozen=True)
class Measures:
    """Positions and lengths in units. Widths of the outline, eyes, nose, mouth, neck and shoulders are half-widths."""

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
    """Draw the measures of a person's head."""
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
    """Planes that follow from the measures."""

    measures: Measures
    rho: Plane
    """Distance from the middle of the face, as a share of the outline's distance: 1 on the outline."""
    edge: Plane
    """Distance to the outline in units, positive inside."""
    half_width: Plane
    """Half-width of the outline in each row of the canvas, (HEIGHT, 1)."""
    height: Plane
    """Height of the face and its features above the plane of the ears; continues smoothly beyond the outline."""

    def width_at(self, y: float) -> float:
        """Half-width of the outline at a height, units."""
        return float(np.interp(y, Y[:, 0], self.half_width[:, 0]))


def build_head(m: Measures) -> Head:
    """Build the outline and the height field of a head."""
    rho, edge = _outline(m)
    half_width = inside(edge).sum(axis=1, keepdims=True) / np.float32(2 * SCALE)
    # A dome `rise * (1 - rho^power)^root`, continued along its tangent beyond `last`: the jaw has no edge of its own.
    rise, power, root, last = 0.95, 2.6, 0.62, 0.955
    within = np.minimum(rho, last)
    slope = -rise * root * power * last ** (power - 1) * (1 - last**power) ** (root - 1)
    dome = rise * (1 - within**power) ** root + slope * (rho - within)
    return Head(m, rho, edge, half_width, dome + (_eyes_and_cheeks(m) + _nose(m) + _mouth_and_chin(m)))


def _outline(m: Measures) -> tuple[Plane, Plane]:
    """Return `Head.rho` and `Head.edge` of a closed, star-shaped curve through the measures."""
    middle = 0.05
    corners = [(0.0, m.crown), (0.48, m.crown + 0.10), (0.80, -1.02), (m.temple, -0.42), (m.cheek, 0.38)]
    corners += [(m.jaw, 0.80), (m.lower, m.chin - 0.36), (m.chin_width, m.chin - 0.08), (0.0, m.chin)]
    angles = [float(np.arctan2(x, y - middle)) for x, y in reversed(corners)]
    radii = [float(np.hypot(x, y - middle)) for x, y in reversed(corners)]
    turn = np.linspace(-np.pi, np.pi, 721)
    radius = np.interp(np.abs(turn), angles, radii)
    # Round the corners: a circular Gaussian blur of 7 degrees (14 samples), applied to the spectrum.
    attenuation = np.exp(-2 * (np.pi * np.fft.rfftfreq(720) * 7.0 * 2) ** 2)
    smooth = np.fft.irfft(np.fft.rfft(radius[:720]) * attenuation, 720)
    dy = Y - middle
    limit = np.interp(np.arctan2(X, dy), turn, np.append(smooth, smooth[0])).astype(np.float32)
    distance = np.sqrt(X * X + dy * dy)
    return distance / limit, limit - distance


def _eyes_and_cheeks(m: Measures) -> Plane:
    """Height of the root of the nose; on both sides eye socket, brow ridge, cheekbone and eyeball."""
    return hills(
        (0.03, 0.0, m.brow_y + 0.02, 0.12, 0.09),
        *both_sides(
            (-0.12, m.eye_x * 0.96, 0.0, 0.20, 0.125),
            (m.brow_ridge, 0.42, m.brow_y + 0.05, 0.24, 0.075),
            (0.055, 0.60, 0.34, 0.20, 0.15),
            (0.035, m.eye_x, 0.0, 0.13, 0.085),
        ),
    )


def _nose(m: Measures) -> Plane:
    """Height of the ridge, the tip and the wings."""
    tip = m.nose_y - 0.05
    ridge = np.interp(Y, [-0.22, 0.0, 0.25, tip, tip + 0.06, tip + 0.20], [0, 0.05, 0.11, m.nose_rise, 0.14, 0])
    width = np.interp(Y, [-0.2, 0.05, tip], [0.11, 0.075, 0.115])
    height = (ridge * bump(X, width)).astype(np.float32)
    height += 0.09 * blob(0.0, tip, 0.095, 0.075)
    for term in both_sides((0.11, m.wing - 0.045, m.nose_y - 0.025, 0.062, 0.062)):
        height += hills(term)
    return height


def _mouth_and_chin(m: Measures) -> Plane:
    """Height of the jaw below the lips, the groove above them, both lips, the groove below them, and the chin."""
    return hills(
        (0.085, 0.0, m.mouth_y - 0.02, 0.33, 0.23),
        (-0.025, 0.0, m.mouth_y - 0.19, 0.035, 0.06),
        (0.030, 0.0, m.mouth_y - 0.045, m.mouth_width * 0.5, 0.035),
        (0.045, 0.0, m.mouth_y + 0.055, m.mouth_width * 0.45, 0.045),
        (-0.040, 0.0, m.mouth_y + 0.20, 0.20, 0.05),
        (0.070, 0.0, m.chin - 0.19, 0.19, 0.12),
    )
