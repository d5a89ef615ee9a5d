"""Eyes with lids and lashes, brows, and glasses."""

from dataclasses import dataclass

import numpy as np

from shared.portraits.head import Head, Measures
from shared.portraits.person import Person
from shared.portraits.rendering import (
    GLOSS,
    SIDES,
    Box,
    Colour,
    Layer,
    Plane,
    Relief,
    X,
    Y,
    blank,
    blob,
    box_around,
    curve,
    inside,
    jitter,
    noise,
    ramp,
    rgb,
    step,
    stroke,
)

IRIS, PUPIL, IRIS_Y = 0.108, 0.045, -0.012
"""Radii of iris and pupil, and their height."""
FRAMES: tuple[Colour, ...] = (
    (0.10, 0.09, 0.09), (0.28, 0.18, 0.12), (0.55, 0.44, 0.28), (0.45, 0.45, 0.47), (0.35, 0.10, 0.12),
)  # fmt: skip
"""Colours of glasses."""


@dataclass(frozen=True)
class _Eye:
    """Coordinates around one eye."""

    side: float
    middle: float
    box: Box
    x: Plane
    y: Plane
    """Coordinates of the box."""
    t: Plane
    """Position across the eye: -1 at the inner corner, 1 at the outer one."""
    below_lid: Plane
    """Distance below the edge of the upper lid, units."""
    opening: Plane
    """Coverage of the eyeball."""


def draw_eyes(rng: np.random.Generator, person: Person, head: Head, relief: Relief) -> None:
    """Draw both eyes on the bare face."""
    gaze = jitter(rng, 0.0, 0.012)
    painted = float(rng.uniform(0.4, 1.0)) if person.female else 0.0
    for side in SIDES:
        eye = _eye(head.measures, side)
        _draw_lid(person, head, eye, relief, painted)
        relief.tint(eye.opening, _ball(person, eye, gaze), eye.box)
        relief.planes[GLOSS][eye.box] *= 1 - eye.opening
        _draw_lashes(person, head, eye, relief)


def draw_catch_lights(head: Head, relief: Relief, towards: tuple[float, float, float]) -> None:
    """Draw the reflection of the key light in both eyes."""
    for side in SIDES:
        x, y = side * head.measures.eye_x + 0.05 * towards[0], IRIS_Y + 0.05 * towards[1]
        box = box_around(np.array([[x, y]], np.float32), 0.08)
        relief.tint(0.85 * blob(x, y, 0.017, 0.017)[box], (1.0, 1.0, 1.0), box)


def _lids(m: Measures, t: Plane) -> tuple[Plane, Plane]:
    """Heights of the edges of the upper and the lower lid at positions `t` across the eye."""
    arch = np.clip(1 - t * t, 0, None)
    upper = -m.eye_tilt * t - m.lid * arch**0.72 * (1 - 0.10 * t)
    lower = -m.eye_tilt * t + 0.52 * m.lid * arch**0.9 * (1 + 0.12 * t)
    return upper, lower


def _eye(m: Measures, side: float) -> _Eye:
    middle = side * m.eye_x
    box = box_around(np.array([[middle, 0.0]], np.float32), 0.36)
    x, y = X[:, box[1]], Y[box[0]]
    t = (x - middle) * (side / m.eye_width)
    upper, lower = _lids(m, t)
    opening = inside(np.minimum(y - upper, lower - y), 1.3) * (np.abs(t) < 1)
    return _Eye(side, middle, box, x, y, t, y - upper, opening)


def _ball(person: Person, eye: _Eye, gaze: float) -> Plane:
    """Colours of the white, the iris and the pupil, in the shadow of the upper lid."""
    white = 0.93 - 0.06 * person.wear
    shade = 0.62 + 0.38 * step(eye.below_lid, 0.0, 0.075)
    ball = rgb((white, white - 0.03, white - 0.05 - 0.05 * person.wear)) * (shade * (1 - 0.22 * eye.t**4))
    ball[1:] *= 1 - 0.16 * step(-eye.t, 0.72, 1.0)  # The inner corner is red.
    x, y = eye.x - eye.middle - gaze, eye.y - IRIS_Y
    distance, around = np.sqrt(x**2 + y**2), np.arctan2(y, x)
    streaks = 1 + 0.16 * np.sin(around * 17 + 3 * eye.side) * np.sin(around * 7 + 1)
    ring = 1 - 0.55 * step(distance, IRIS * 0.74, IRIS)
    lit = (0.75 + 0.5 * step(eye.y, -0.08, 0.08)) * (0.55 + 0.45 * shade)
    ball += inside(IRIS - distance, 1.5) * (rgb(person.iris) * (streaks * ring * lit) - ball)
    return ball * (1 - 0.92 * inside(PUPIL - distance, 1.5))


def _draw_lid(person: Person, head: Head, eye: _Eye, relief: Relief, painted: float) -> None:
    """Draw eye shadow, and the crease above the eye, which deepens and sinks with age."""
    fold = head.measures.lid + 0.045 - 0.020 * person.wear
    path = curve((-0.19, -0.02), (-0.08, 0.02 - 2.05 * fold), (0.12, -1.7 * fold), (0.25, 0.0))
    crease = blank()
    stroke(crease, path * (eye.side, 1.0) + (eye.middle, 0.0), 0.024, 0.42 + 0.25 * person.wear, 0.008)
    red, green, blue = person.skin
    shadow = 0.40 * painted * blob(eye.middle + eye.side * 0.02, -0.095, 0.15, 0.045)[eye.box]
    relief.tint(shadow, (0.62 * red, 0.42 * green, 0.44 * blue), eye.box)
    relief.darken(crease)


def _draw_lashes(person: Person, head: Head, eye: _Eye, relief: Relief) -> None:
    """Draw the dark edges of the lids: on women strong, with a wing at the outer corner."""
    m = head.measures
    t = np.linspace(-0.98, 0.98, 25)
    upper, lower = _lids(m, t)
    x = eye.middle + eye.side * m.eye_width * t
    top, bottom = np.stack([x, upper - 0.004], 1), np.stack([x, lower], 1)
    paint = blank()
    if person.female:
        wing = (eye.middle + eye.side * (m.eye_width + 0.032), -m.eye_tilt - 0.028)
        widths = np.interp(np.arange(26), [0, 8, 22, 25], [0.014, 0.036, 0.044, 0.008])
        stroke(paint, np.concatenate([top, [wing]]), widths, 0.95, 0.004)
    else:
        stroke(paint, top, np.interp(np.arange(25), [0, 12, 24], [0.010, 0.020, 0.016]), 0.80, 0.004)
    stroke(paint, bottom, 0.012, 0.45 if person.female else 0.28, 0.004)
    relief.tint(np.clip(paint, 0, 1), (0.07, 0.055, 0.05))


def draw_brows(rng: np.random.Generator, person: Person, head: Head, relief: Relief) -> None:
    """Draw tapered strokes of short hairs: thin and arched on women, straight and bushy on men."""
    m = head.measures
    arch = (0.56, m.brow_y - 0.01 - 1.7 * m.brow_arch)
    end = (0.72 if person.female else 0.76, m.brow_y + 0.065)
    path = curve((0.17, m.brow_y + 0.025), (0.36, m.brow_y - 0.035), arch, end)
    thick = m.brow_width * (1 - 0.22 * person.wear * person.female)
    widths = thick * np.interp(np.linspace(0, 1, len(path)), [0, 0.2, 0.55, 1], [0.45, 1, 0.9, 0.2])
    paint = blank()
    for side in SIDES:
        stroke(paint, path * (side, 1.0), widths, 1.0, 0.010)
    hairs = np.clip(0.88 + 0.12 * noise(rng, 0.02, 0.03), 0.55, 1.0)
    strength = (0.78 if person.female else 0.88) - 0.12 * person.wear
    # Brows are darker than the hair and turn grey later; detectors miss masked faces with light brows.
    share = 0.62 * ramp(person.grey, 0.15, 1.0) * (0.4 if person.female else 1.0)
    red, green, blue = (0.8 * tone for tone in person.greyed(share))
    relief.tint(strength * np.clip(paint, 0, 1) * hairs, (red, green, blue))


def glasses_layer(rng: np.random.Generator, person: Person, head: Head, worn: bool | None = None) -> Layer | None:
    """Draw thin frames, or return None if the person wears none; `worn=None` draws by lot, more often with age."""
    by_lot = rng.random() <= 0.12 + 0.38 * ramp(person.apparent_age, 35.0, 65.0)
    if not (by_lot if worn is None else worn):
        return None
    m = head.measures
    wide, tall, corner = jitter(rng, 0.345, 0.015), jitter(rng, 0.235, 0.02), float(rng.uniform(2.2, 4.0))
    frame = blank()
    stroke(frame, curve((-0.10, 0.0), (0.0, -0.045), (0.10, 0.0)), 0.028)
    for side in SIDES:
        # A superellipse: exponent 2 is an ellipse, larger ones have corners.
        across = np.abs((X - side * (m.eye_x + 0.01)) / wide) ** corner
        reach = (across + np.abs((Y - 0.045) / tall) ** corner) ** (1 / corner)
        np.maximum(frame, inside(0.011 - np.abs(1 - reach) * tall, 1.2), out=frame)
        stroke(frame, curve((side * (m.eye_x + wide), -0.03), (side * head.width_at(0.0), 0.0)), 0.035)
    colour = FRAMES[rng.integers(len(FRAMES))]
    return Layer.of(np.clip(frame, 0, 0.92), colour, 0.02 * frame, depth=0.85, gloss=0.5)
