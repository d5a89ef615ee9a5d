"""Face, ears and neck: skin, lines of age, lips, nostrils and beard; eyes with lids and lashes, brows, and glasses."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shared.portraits.person import Head, Measures, Person, neck_width
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
    blur,
    both_sides,
    box_around,
    bump,
    curve,
    hills,
    inside,
    jitter,
    mix,
    noise,
    ramp,
    rgb,
    step,
    stroke,
)

BLOOD: Colour = (0.78, 0.36, 0.32)
SPOT: Colour = (0.52, 0.36, 0.25)
TIRED: Colour = (0.55, 0.38, 0.36)
"""Age spots and shadows under the eyes of fair skin; darker skin darkens them."""


def face_layer(rng: np.random.Generator, person: Person, head: Head) -> Layer:
    """Draw the face without eyes, brows and hair."""
    grooves, folds = _draw_lines(rng, person, head)
    height = head.height - 0.022 * grooves + 0.016 * folds
    # Ambient occlusion: hollows are darker than their surroundings.
    hollow = np.clip(1 + 2.2 * (height - blur(height, 0.13)), 0.62, 1.06)
    # Grooves are darker, and redder because light diffuses in the skin.
    creased = 1.0 - rgb((0.28, 0.33, 0.34)) * np.clip(grooves, 0, 1.2)
    colour = _complexion(rng, person, head) * (hollow * creased)
    _draw_lips(rng, person, head, colour)
    _draw_nostrils(head, colour)
    if not person.female:
        _draw_beard(rng, person, head, colour)
    shine = 0.21 + 0.10 * blob(0, -0.6, 0.4, 0.2) + 0.18 * blob(0, head.measures.nose_y - 0.1, 0.1, 0.2)
    depth = blur(head.height, 0.08)
    return Layer.of(inside(head.edge, 1.4), colour, height, depth=depth, gloss=shine, flesh=1.0)


class _Line(NamedTuple):
    """A line of age. Each has its own onset, so a face shows its age gradually."""

    path: Plane
    """(n, 2), units."""
    width: float
    onset: float
    """The wear (`Person.wear`) at which it begins."""
    strength: float
    """Depth at full wear; 1 is the deepest."""


def _draw_lines(rng: np.random.Generator, person: Person, head: Head) -> tuple[Plane, Plane]:
    """Return the depth of the grooves and the height of the soft folds below them, both about 0-1."""
    grooves, folds = blank(), blank()
    lines = _central_lines(rng, head)
    for side in SIDES:
        lines += [line._replace(path=line.path * (side, 1.0)) for line in _side_lines(rng, head)]
    for path, width, onset, strength in lines:
        depth = ramp(person.wear, onset, 1.0) ** 0.8 * strength * jitter(rng, 1.0, 0.10)
        if depth > 0.02:
            stroke(grooves, path, width, depth, 0.45 * width)
            stroke(folds, path + np.array([0.0, 0.9 * width]), 1.6 * width, depth, 0.8 * width)
    return grooves, folds


def _central_lines(rng: np.random.Generator, head: Head) -> list[_Line]:
    """Return the wrinkles over the root of the nose, across the forehead (the lowest first) and below the lip."""
    lines = [_Line(curve((-0.10, -0.10), (0.0, -0.08), (0.10, -0.10)), 0.022, 0.45, 0.60)]
    for row, y in enumerate((-0.51, -0.61, -0.71, -0.81)):
        left, right, dip = jitter(rng, 0.46, 0.08), jitter(rng, 0.46, 0.08), jitter(rng, 0.04, 0.02)
        low, high, end = y + 4 * dip, y - 3 * dip, y + 0.03
        path = curve((-left, end), (-0.25, high), (0.0, low), (0.25, high), (right, end))
        lines.append(_Line(path, 0.030, 0.08 + 0.07 * row, 0.85))
    y = head.measures.mouth_y + 0.24
    return [*lines, _Line(curve((-0.2, y), (0, y - 0.05), (0.2, y)), 0.030, 0.30, 0.50)]


def _side_lines(rng: np.random.Generator, head: Head) -> list[_Line]:
    """Return the wrinkles of one half of the face, the one with positive x."""
    m = head.measures
    corner, x, y = m.eye_x + m.eye_width, m.mouth_width, m.mouth_y
    crows_feet = []
    for spoke, fall in enumerate((-0.11, -0.035, 0.045, 0.12)):
        end = corner + 0.025 + jitter(rng, 0.17, 0.02)
        path = curve((corner + 0.025, 0.3 * fall), (corner + 0.1, 0.7 * fall), (end, 1.2 * fall))
        crows_feet.append(_Line(path, 0.024, 0.08 + 0.06 * spoke, 1.0))
    return [
        # Two bags under the eye, the frown and the sagging lid.
        _Line(curve((0.22, 0.11), (0.42, 0.21), (0.62, 0.12)), 0.030, 0.10, 0.75),
        _Line(curve((0.20, 0.16), (0.42, 0.33), (0.68, 0.20)), 0.034, 0.35, 0.75),
        _Line(curve((0.07, -0.36), (0.085, -0.26), (0.06, -0.14)), 0.026, 0.25, 0.80),
        _Line(curve((0.30, -0.155), (0.50, -0.17), (corner + 0.05, -0.03)), 0.034, 0.30, 0.70),
        *crows_feet,
        # Nasolabial fold, marionette line and hollow cheek.
        _Line(curve((m.wing + 0.04, m.nose_y - 0.06), (x, m.nose_y + 0.10), (x + 0.08, y + 0.04)), 0.042, 0.02, 0.85),
        _Line(curve((x + 0.02, y + 0.03), (x + 0.07, y + 0.15), (x + 0.02, y + 0.30)), 0.034, 0.35, 0.75),
        _Line(curve((0.70, 0.45), (0.66, 0.70), (0.58, 0.85)), 0.034, 0.55, 0.50),
    ]


def _complexion(rng: np.random.Generator, person: Person, head: Head) -> Plane:
    """Albedo of the skin, (3, H, W): young skin is even and rosy, old skin mottled, spotted and sallow."""
    m, wear = head.measures, person.wear
    sallow = rgb((1.0 - 0.04 * wear, 1.0 - 0.06 * wear, 1.0 - 0.08 * wear))
    colour = rgb(person.skin) * sallow + blank()
    # Blood shows at nose, chin and cheeks, and in blotches.
    cheeks = (0.20 if person.female else 0.14) - 0.10 * wear
    nose_and_chin = (0.10, 0.0, m.nose_y - 0.05, 0.16, 0.13), (0.06, 0.0, m.chin - 0.15, 0.2, 0.12)
    flush = hills(*nose_and_chin, *both_sides((cheeks, 0.58, 0.42, 0.20, 0.16)))
    mix(colour, flush + (0.02 + 0.04 * wear) * np.clip(noise(rng, 0.16), -1, 2), BLOOD)
    colour *= 1.0 + (0.006 + 0.040 * wear) * noise(rng, 0.05) + 0.008 * noise(rng, 0.0125)
    fair = person.skin[0] / 0.9
    mix(colour, _spots(rng, person), rgb(SPOT) * fair)
    under_eye = (0.06 + 0.26 * wear, m.eye_x * 0.97, 0.13, 0.17, 0.055)
    inner_corner = (0.12, m.eye_x - 0.25, 0.0, 0.06, 0.08)
    mix(colour, hills(*both_sides(under_eye, inner_corner)), rgb(TIRED) * fair)
    return colour


def _spots(rng: np.random.Generator, person: Person) -> Plane:
    """Coverage of freckles (on some fair skins), moles, and age spots past 45 years."""
    paint = blank()

    def dot(x: float, y: float, size: float, strength: float) -> None:
        half = jitter(rng, 0.6, 0.25) * size
        stroke(paint, np.array([[x - half, y], [x, y + 0.2 * half], [x + half, y]]), 2 * size, strength, 0.4 * size)

    if person.people == "northern" and rng.random() < 0.35:
        for _ in range(int(rng.integers(30, 60))):
            dot(jitter(rng, 0.0, 0.38), jitter(rng, 0.28, 0.14), 0.011, 0.35)
    for _ in range(int(rng.integers(0, 3))):
        dot(jitter(rng, 0.0, 0.52), jitter(rng, -0.05, 0.55), 0.014, 0.8)
    for _ in range(int(36 * ramp(person.apparent_age, 45.0, 74.0))):
        dot(jitter(rng, 0.0, 0.52), jitter(rng, -0.05, 0.55), jitter(rng, 0.035, 0.010), 0.5)
    return np.clip(paint, 0, 0.8)


def _draw_lips(rng: np.random.Generator, person: Person, head: Head, colour: Plane) -> None:
    """Draw two lips along a line that rises to the corners of the mouth."""
    m = head.measures
    t = np.clip(np.abs(X) / m.mouth_width, 0, 1)
    line = m.mouth_y + 0.014 * bump(t, 0.20) - m.smile * t**2
    bow = 1.0 - 0.26 * bump(t, 0.10) + 0.10 * bump(t - 0.30, 0.14)
    top = line - m.upper_lip * bow * (1 - t**2.2) ** 0.9
    bottom = line + m.lower_lip * (1 - t**2.4) ** 0.8
    width = 0.85 * step(1 - t, 0.0, 0.10)
    red, green, blue = _lip_colour(rng, person)
    mix(colour, width * inside(np.minimum(Y - top, line - Y), 2.5), (0.84 * red, 0.84 * green, 0.84 * blue))
    mix(colour, width * inside(np.minimum(Y - line, bottom - Y), 2.5), (red, green, blue))
    # Shadows between and below the lips and at the corners.
    seam = bump(Y - line, 0.013) * step(1.02 - np.abs(X) / m.mouth_width, 0.0, 0.12)
    colour *= (1.0 - 0.62 * seam) * (1.0 - 0.20 * blob(0.0, m.mouth_y + m.lower_lip + 0.045, 0.16, 0.03))
    for side in SIDES:
        colour *= 1.0 - 0.30 * blob(side * m.mouth_width, m.mouth_y - m.smile - 0.006, 0.022, 0.018)


def _lip_colour(rng: np.random.Generator, person: Person) -> Colour:
    """Return a redder skin colour; on women with lipstick."""
    red, green, blue = person.skin
    if not person.female:
        return 0.90 * red, 0.67 * green, 0.67 * blue
    share = float(rng.uniform(0.15, 0.75))
    stick = jitter(rng, 0.72, 0.08), jitter(rng, 0.27, 0.06), jitter(rng, 0.30, 0.05)
    bare = 0.88 * red, 0.66 * green, 0.66 * blue
    mixed = [own + share * (paint - own) for own, paint in zip(bare, stick, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _draw_nostrils(head: Head, colour: Plane) -> None:
    """Draw nostrils, the underside of the nose, the grooves of its wings, and its shadow on the lip."""
    m = head.measures
    below = m.nose_y + 0.045
    shadow = hills((0.24, 0.0, m.nose_y + 0.055, m.wing * 0.75, 0.030), (0.12, 0.0, m.nose_y + 0.12, 0.16, 0.05))
    for side in SIDES:
        x, wing = side * m.wing * 0.50, side * m.wing
        nostril = curve((x - side * 0.045, below), (x, m.nose_y + 0.012), (x + side * 0.055, below))
        stroke(shadow, nostril, 0.040, 0.66, 0.011)
        groove = curve((wing * 0.84, m.nose_y - 0.115), (wing * 1.22, m.nose_y - 0.05), (wing * 0.98, m.nose_y + 0.05))
        stroke(shadow, groove, 0.030, 0.30, 0.014)
    colour *= 1.0 - np.clip(shadow, 0, 0.85)


def _draw_beard(rng: np.random.Generator, person: Person, head: Head, colour: Plane) -> None:
    """Draw the shadow of a shaved beard, or a beard on about one man in five."""
    m = head.measures
    jaw = step(head.rho, 0.62, 0.80) * step(Y, 0.55, 0.95) + blob(0.0, m.mouth_y + 0.36, 0.24, 0.14)
    moustache = blob(0.0, m.mouth_y - 0.14, 0.26, 0.05) * step(np.abs(X), 0.0, 0.06)
    strength = float(rng.uniform(0.60, 0.85) if rng.random() < 0.22 else rng.uniform(0.05, 0.20))
    cover = np.clip(strength * (np.clip(jaw, 0, 1) + moustache), 0, 0.9)
    cover *= np.clip(0.85 + 0.30 * noise(rng, 0.02, 0.035), 0.3, 1.1)
    mix(colour, cover, person.greyed(0.9 * person.grey))


def ears_layer(person: Person, head: Head) -> Layer:
    """Draw both ears at the sides of the outline: tilted ellipses with a dark rim and a hollow."""
    alpha, shade = blank(), np.ones_like(head.rho)
    for side in SIDES:
        x = side * (head.width_at(0.12) + 0.035)
        leaning = (X - x) + side * 0.10 * (Y - 0.12)
        reach = np.sqrt((leaning / 0.115) ** 2 + ((Y - 0.12) / 0.30) ** 2)
        np.maximum(alpha, inside((1 - reach) * 0.115), out=alpha)
        rim = curve((x + side * 0.05, -0.08), (x + side * 0.10, 0.12), (x + side * 0.01, 0.30))
        stroke(shade, rim, 0.05, -0.35, 0.012)
        shade -= 0.4 * blob(x - side * 0.02, 0.12, 0.025, 0.08)
    red, green, blue = person.skin
    colour = rgb((0.98 * red, 0.90 * green, 0.88 * blue)) * shade
    return Layer.of(alpha, colour, 0.10 * blur(alpha, 0.04), depth=0.0, gloss=0.2, flesh=1.0)


def neck_layer(rng: np.random.Generator, person: Person, head: Head) -> Layer:
    """Draw the neck: a cylinder that widens into the shoulders, in the shadow of the chin."""
    m = head.measures
    width = neck_width(m)
    rings = blank()
    for y in (m.chin + 0.16, m.chin + 0.30):
        path = curve((-m.neck * 0.8, y - 0.05), (0.0, jitter(rng, y + 0.07, 0.02)), (m.neck * 0.8, y - 0.05))
        stroke(rings, path, 0.03, person.wear, 0.012)
    height = 0.55 * np.sqrt(1 - np.clip(X / width, -0.97, 0.97) ** 2) - 0.02 * rings
    shadow = 0.52 * step(head.edge, -0.42, 0.03)
    colour = rgb(person.skin) * (0.97 * (1 - 0.25 * rings) * (1 - shadow))
    alpha = inside(width - np.abs(X)) * (Y > 0.6)
    return Layer.of(alpha, colour, height, depth=0.1, gloss=0.15, flesh=1.0)


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
