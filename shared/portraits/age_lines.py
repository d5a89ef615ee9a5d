"""The lines that the years draw: each deepens from an onset of its own, so that a face tells its age by degrees."""

from typing import NamedTuple

import numpy as np

from shared.portraits.canvas import Plane, curve, jitter, ramp, rgb, stroke
from shared.portraits.head import Head
from shared.portraits.person import Person


class Line(NamedTuple):
    """A line that a face may get."""

    path: Plane
    """(n, 2), units."""
    width: float
    onset: float
    """The wear (`Person.wear`) at which it begins."""
    strength: float
    """Depth at full wear; 1 is the deepest."""


def draw_lines(rng: np.random.Generator, person: Person, head: Head) -> tuple[Plane, Plane]:
    """Depth of the grooves, and height of the soft folds below them; both about 0-1."""
    grooves, folds = np.zeros_like(head.rho), np.zeros_like(head.rho)
    for path, width, onset, strength in _lines(rng, head):
        depth = ramp(person.wear, onset, 1.0) ** 0.8 * strength * jitter(rng, 1.0, 0.10)
        if depth > 0.02:
            stroke(grooves, path, width, depth, 0.45 * width)
            stroke(folds, path + np.array([0.0, 0.9 * width]), 1.6 * width, depth, 0.8 * width)
    return grooves, folds


def creased(grooves: Plane) -> Plane:
    """Grooves are darker, and redder for the light that seeps in: a factor on the colour, (3, H, W)."""
    return 1.0 - rgb((0.28, 0.33, 0.34)) * np.clip(grooves, 0, 1.2)


def _lines(rng: np.random.Generator, head: Head) -> list[Line]:
    lines = _forehead(rng)
    below_lip = head.measures.mouth_y + 0.24
    lines.append(Line(curve((-0.2, below_lip), (0, below_lip - 0.05), (0.2, below_lip)), 0.030, 0.30, 0.50))
    for side in (-1.0, 1.0):
        around = (*_around_eye(rng, head), *_around_mouth(head))
        lines += [line._replace(path=line.path * (side, 1.0)) for line in around]
    return lines


def _forehead(rng: np.random.Generator) -> list[Line]:
    """Four wavy lines across, the lowest first, and one over the root of the nose."""
    lines = [Line(curve((-0.10, -0.10), (0.0, -0.08), (0.10, -0.10)), 0.022, 0.45, 0.60)]
    for row, y in enumerate((-0.51, -0.61, -0.71, -0.81)):
        left, right, dip = jitter(rng, 0.46, 0.08), jitter(rng, 0.46, 0.08), jitter(rng, 0.04, 0.02)
        path = curve(
            (-left, y + 0.03), (-0.25, y - 3 * dip), (0.0, y + 4 * dip), (0.25, y - 3 * dip), (right, y + 0.03)
        )
        lines.append(Line(path, 0.030, 0.08 + 0.07 * row, 0.85))
    return lines


def _around_eye(rng: np.random.Generator, head: Head) -> list[Line]:
    """Bags, the frown, the sagging lid and crow's feet of one side, x positive."""
    corner = head.measures.eye_x + head.measures.eye_width
    lines = [
        Line(curve((0.22, 0.11), (0.42, 0.21), (0.62, 0.12)), 0.030, 0.10, 0.75),
        Line(curve((0.20, 0.16), (0.42, 0.33), (0.68, 0.20)), 0.034, 0.35, 0.75),
        Line(curve((0.07, -0.36), (0.085, -0.26), (0.06, -0.14)), 0.026, 0.25, 0.80),
        Line(curve((0.30, -0.155), (0.50, -0.17), (corner + 0.05, -0.03)), 0.034, 0.30, 0.70),
    ]
    for spoke, fall in enumerate((-0.11, -0.035, 0.045, 0.12)):
        end = corner + 0.025 + jitter(rng, 0.17, 0.02)
        path = curve((corner + 0.025, 0.3 * fall), (corner + 0.1, 0.7 * fall), (end, 1.2 * fall))
        lines.append(Line(path, 0.024, 0.08 + 0.06 * spoke, 1.0))
    return lines


def _around_mouth(head: Head) -> list[Line]:
    """The fold from nose to mouth, the one below the corner of the mouth, and the hollow cheek of one side."""
    m = head.measures
    x, y = m.mouth_width, m.mouth_y
    nasolabial = curve((m.wing + 0.04, m.nose_y - 0.06), (x, m.nose_y + 0.10), (x + 0.08, y + 0.04))
    marionette = curve((x + 0.02, y + 0.03), (x + 0.07, y + 0.15), (x + 0.02, y + 0.30))
    cheek = curve((0.70, 0.45), (0.66, 0.70), (0.58, 0.85))
    return [Line(nasolabial, 0.042, 0.02, 0.85), Line(marionette, 0.034, 0.35, 0.75), Line(cheek, 0.034, 0.55, 0.50)]
