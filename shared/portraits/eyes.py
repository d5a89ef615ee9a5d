"""Eyes, lashes, brows and glasses."""

from dataclasses import dataclass

import numpy as np

from shared.portraits.canvas import (
    Box,
    Colour,
    Layer,
    Plane,
    Relief,
    X,
    Y,
    blob,
    box_around,
    curve,
    inside,
    jitter,
    noise,
    ramp,
    step,
    stroke,
)
from shared.portraits.head import Head
from shared.portraits.person import Person

IRIS, PUPIL = 0.108, 0.045
LASH: Colour = (0.07, 0.055, 0.05)


@dataclass(frozen=True)
class _Eye:
    """One eye's surroundings: `t` runs from the inner corner (-1) to the outer (1) within the box."""

    side: float
    x: float
    box: Box
    t: Plane
    upper: Plane
    """Height (units) of the edge of the upper lid over each column."""
    lower: Plane

    @property
    def opening(self) -> Plane:
        y = Y[self.box[0]]
        return inside(np.minimum(y - self.upper, self.lower - y), 1.3)


def draw_eyes(rng: np.random.Generator, person: Person, head: Head, relief: Relief) -> None:
    """Both eyes with lids, lashes and make-up, on the bare face."""
    gaze = jitter(rng, 0.0, 0.012)
    painted = float(rng.uniform(0.4, 1.0)) if person.female else 0.0
    for side in (-1.0, 1.0):
        eye = _eye(person, head, side)
        _lid_paint(person, head, eye, relief, painted)
        _ball(person, eye, relief, gaze)
        _lashes(person, head, eye, relief)


def _eye(person: Person, head: Head, side: float) -> _Eye:
    m = head.measures
    x = side * m.eye_x
    box = box_around(np.array([[x, 0.0]], np.float32), 0.36)
    t = ((X[:, box[1]] - x) * (side / m.eye_width)).astype(np.float32)
    arch = np.clip(1 - t * t, 0, None)
    middle = -m.eye_tilt * t + 0.012 * person.wear * np.clip(t, 0, 1)
    upper = middle - m.lid * arch**0.72 * (1 - 0.10 * t)
    lower = middle + 0.52 * m.lid * arch**0.9 * (1 + 0.12 * t)
    outside = np.abs(t) >= 1
    return _Eye(side, x, box, t, np.where(outside, 9.0, upper), np.where(outside, -9.0, lower))


def _ball(person: Person, eye: _Eye, relief: Relief, gaze: float) -> None:
    x, y = X[:, eye.box[1]], Y[eye.box[0]]
    below_lid = y - eye.upper
    white = 0.93 - 0.06 * person.wear
    sclera = np.array([white, white - 0.03, white - 0.05 - 0.05 * person.wear], np.float32)[:, None, None]
    shade = 0.62 + 0.38 * step(below_lid, 0.0, 0.075)
    ball = sclera * (shade * (1 - 0.22 * eye.t**4))
    ball[1:] *= 1 - 0.16 * step(-eye.t, 0.72, 1.0)
    distance = np.sqrt((x - eye.x - gaze) ** 2 + (y + 0.012) ** 2)
    around = np.arctan2(y + 0.012, x - eye.x - gaze)
    streaks = 1 + 0.16 * np.sin(around * 17 + 3 * eye.side) * np.sin(around * 7 + 1)
    limbal = 1 - 0.55 * step(distance, IRIS * 0.74, IRIS)
    lit = 0.75 + 0.5 * step(y, -0.08, 0.08)
    iris = np.array(person.iris, np.float32)[:, None, None] * (streaks * limbal * lit * (0.55 + 0.45 * shade))
    ball += inside(IRIS - distance, 1.5) * (iris - ball)
    ball *= 1 - 0.92 * inside(PUPIL - distance, 1.5)
    relief.tint(eye.opening, ball.astype(np.float32), eye.box)
    relief.planes[5][eye.box] *= 1 - eye.opening


def _lid_paint(person: Person, head: Head, eye: _Eye, relief: Relief, painted: float) -> None:
    """The crease above the eye, deeper and lower with age, and eye shadow on some women."""
    m = head.measures
    fold = m.lid + 0.045 - 0.020 * person.wear
    crease = np.zeros_like(head.rho)
    path = curve(
        (eye.x - eye.side * 0.19, -0.02),
        (eye.x - eye.side * 0.08, -2.05 * fold + 0.02),
        (eye.x + eye.side * 0.12, -1.7 * fold),
        (eye.x + eye.side * 0.25, 0.0),
    )
    stroke(crease, path, 0.024, 0.42 + 0.25 * person.wear, 0.008)
    if painted:
        shadow = 0.40 * painted * blob(eye.x + eye.side * 0.02, -0.095, 0.15, 0.045)[eye.box]
        red, green, blue = person.skin
        relief.tint(shadow, (0.62 * red, 0.42 * green, 0.44 * blue), eye.box)
    relief.darken(crease)


def _lashes(person: Person, head: Head, eye: _Eye, relief: Relief) -> None:
    """The dark edge of the upper lid, with a wing at the outer corner on women, and a faint lower one."""
    m = head.measures
    t = np.linspace(-0.98, 0.98, 25)
    arch = np.clip(1 - t * t, 0, None)
    upper = -m.eye_tilt * t - m.lid * arch**0.72 * (1 - 0.10 * t)
    lower = -m.eye_tilt * t + 0.53 * m.lid * arch**0.9
    x = eye.x + eye.side * m.eye_width * t
    top, low = np.stack([x, upper - 0.004], 1), np.stack([x, lower], 1)
    paint = np.zeros_like(head.rho)
    if person.female:
        wing = np.array([[eye.x + eye.side * (m.eye_width + 0.032), -m.eye_tilt - 0.028]])
        top = np.concatenate([top, wing])
        stroke(paint, top, np.interp(np.arange(26), [0, 8, 22, 25], [0.014, 0.036, 0.044, 0.008]), 0.95, 0.004)
    else:
        stroke(paint, top, np.interp(np.arange(25), [0, 12, 24], [0.010, 0.020, 0.016]), 0.80, 0.004)
    stroke(paint, low, 0.012, 0.45 if person.female else 0.28, 0.004)
    relief.tint(np.clip(paint, 0, 1), LASH)


def draw_brows(rng: np.random.Generator, person: Person, head: Head, relief: Relief) -> None:
    """Two tapered strokes of short hairs: thin and arched on women, straight and bushy on men."""
    m = head.measures
    thick = m.brow_width * (1 - 0.22 * person.wear * person.female)
    paint = np.zeros_like(head.rho)
    for side in (-1.0, 1.0):
        path = curve(
            (side * 0.17, m.brow_y + 0.025),
            (side * 0.36, m.brow_y - 0.035),
            (side * 0.56, m.brow_y - 0.01 - 1.7 * m.brow_arch),
            (side * (0.72 if person.female else 0.76), m.brow_y + 0.065),
        )
        stroke(
            paint, path, np.interp(np.linspace(0, 1, 17), [0, 0.15, 0.55, 1], [0.6, 1, 0.9, 0.2]) * thick, 1.0, 0.010
        )
    hairs = np.clip(0.88 + 0.12 * noise(rng, 0.02, 0.03), 0.55, 1.0)
    grey = 0.62 * ramp(person.grey, 0.15, 1.0) * (0.4 if person.female else 1.0)
    colour = [(1 - grey) * (0.75 * tone) + grey * 0.62 for tone in person.hair]
    strength = 0.78 if person.female else 0.88
    relief.tint(np.clip(paint, 0, 1) * hairs * (strength - 0.12 * person.wear), (colour[0], colour[1], colour[2]))


def glasses_layer(rng: np.random.Generator, person: Person, head: Head) -> Layer | None:
    """Thin frames, likelier with age; None for those who wear none."""
    if rng.random() > 0.12 + 0.38 * ramp(person.looks, 35.0, 65.0):
        return None
    m = head.measures
    corner, wide, tall = float(rng.uniform(2.2, 4.0)), jitter(rng, 0.345, 0.015), jitter(rng, 0.235, 0.02)
    frame = np.zeros_like(head.rho)
    for side in (-1.0, 1.0):
        reach = (np.abs((X - side * (m.eye_x + 0.01)) / wide) ** corner + np.abs((Y - 0.045) / tall) ** corner) ** (
            1 / corner
        )
        rim = 0.011 - np.abs(1 - reach) * tall
        np.maximum(frame, inside(rim, 1.2), out=frame)
        stroke(frame, curve((side * (m.eye_x + wide), -0.03), (side * head.width_at(0.0), 0.0)), 0.035)
    stroke(frame, curve((-0.10, 0.0), (0.0, -0.045), (0.10, 0.0)), 0.028)
    tones: list[Colour] = [
        (0.10, 0.09, 0.09),
        (0.28, 0.18, 0.12),
        (0.55, 0.44, 0.28),
        (0.45, 0.45, 0.47),
        (0.35, 0.10, 0.12),
    ]
    colour = tones[rng.integers(len(tones))]
    return Layer.of(np.clip(frame, 0, 0.92), colour, frame * 0.02, depth=0.85, gloss=0.5)
