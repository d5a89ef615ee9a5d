"""The lines that the years draw: each deepens from an onset of its own, so that a face tells its age by degrees.

The colours of skin: blood, mottling, freckles, moles and age spots.

What a mask hides: lips, nostrils and beard.

The bare head: face, ears and neck.
"""

from typing import NamedTuple

import numpy as np

from shared.portraits.head import Head, neck_width
from shared.portraits.person import Person
from shared.portraits.rendering import (
    HEIGHT,
    WIDTH,
    Colour,
    Layer,
    Plane,
    X,
    Y,
    blob,
    blur,
    curve,
    inside,
    jitter,
    mix,
    noise,
    ramp,
    rgb,
    step,
    stroke,
)


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


BLOOD: Colour = (0.78, 0.36, 0.32)
SPOT: Colour = (0.52, 0.36, 0.25)
TIRED: Colour = (0.55, 0.38, 0.36)
"""The last two are those of a fair skin; a darker one darkens them."""


def complexion(rng: np.random.Generator, person: Person, head: Head) -> Plane:
    """Albedo of the skin, (3, H, W): young skin is even and rosy, old skin mottled, spotted and sallow."""
    wear = person.wear
    sallow = rgb((1.0 - 0.04 * wear, 1.0 - 0.06 * wear, 1.0 - 0.08 * wear))
    colour = rgb(person.skin) * sallow + np.zeros_like(head.rho)
    mix(colour, _flush(rng, person, head), BLOOD)
    colour *= 1.0 + (0.006 + 0.040 * wear) * noise(rng, 0.05) + 0.008 * noise(rng, 0.0125)
    fair = person.skin[0] / 0.9
    mix(colour, _spots(rng, person), rgb(SPOT) * fair)
    mix(colour, _under_eyes(person, head), rgb(TIRED) * fair)
    return colour


def _flush(rng: np.random.Generator, person: Person, head: Head) -> Plane:
    """Where the blood shows: nose, chin, cheeks, and in blotches."""
    m = head.measures
    cheeks = (0.20 if person.female else 0.14) - 0.10 * person.wear
    flush = 0.10 * blob(0.0, m.nose_y - 0.05, 0.16, 0.13) + 0.06 * blob(0.0, m.chin - 0.15, 0.2, 0.12)
    for side in (-1.0, 1.0):
        flush += cheeks * blob(side * 0.58, 0.42, 0.20, 0.16)
    return flush + (0.02 + 0.04 * person.wear) * np.clip(noise(rng, 0.16), -1, 2)


def _spots(rng: np.random.Generator, person: Person) -> Plane:
    """Freckles on some of the fair, a mole or two on anyone, age spots past forty-five."""
    paint = np.zeros((HEIGHT, WIDTH), np.float32)
    if person.people == "northern" and rng.random() < 0.35:
        for _ in range(int(rng.integers(30, 60))):
            _dot(rng, paint, jitter(rng, 0.0, 0.38), jitter(rng, 0.28, 0.14), 0.011, 0.35)
    for _ in range(int(rng.integers(0, 3))):
        _dot(rng, paint, *_anywhere(rng), 0.014, 0.8)
    for _ in range(int(36 * ramp(person.looks, 45.0, 74.0))):
        _dot(rng, paint, *_anywhere(rng), jitter(rng, 0.035, 0.010), 0.5)
    return np.clip(paint, 0, 0.8)


def _anywhere(rng: np.random.Generator) -> tuple[float, float]:
    return jitter(rng, 0.0, 0.52), jitter(rng, -0.05, 0.55)


def _dot(rng: np.random.Generator, paint: Plane, x: float, y: float, size: float, strength: float) -> None:
    half = jitter(rng, 0.6, 0.25) * size
    stroke(paint, np.array([[x - half, y], [x, y + 0.2 * half], [x + half, y]]), 2 * size, strength, 0.4 * size)


def _under_eyes(person: Person, head: Head) -> Plane:
    """Darker below the eyes, more so with age, and at their inner corners."""
    x = head.measures.eye_x
    shadow = np.zeros_like(head.rho)
    for side in (-1.0, 1.0):
        shadow += (0.06 + 0.26 * person.wear) * blob(side * x * 0.97, 0.13, 0.17, 0.055)
        shadow += 0.12 * blob(side * (x - 0.25), 0.0, 0.06, 0.08)
    return shadow


def draw_lips(rng: np.random.Generator, person: Person, head: Head, colour: Plane) -> None:
    """Two lips about a line that lifts at the corners."""
    m = head.measures
    t = np.clip(np.abs(X) / m.mouth_width, 0, 1)
    line = m.mouth_y + 0.014 * np.exp(-0.5 * (t / 0.20) ** 2) - m.smile * t**2
    bow = 1.0 - 0.26 * np.exp(-0.5 * (t / 0.10) ** 2) + 0.10 * np.exp(-0.5 * ((t - 0.30) / 0.14) ** 2)
    top = line - m.upper_lip * bow * (1 - t**2.2) ** 0.9
    bottom = line + m.lower_lip * (1 - t**2.4) ** 0.8
    width = 0.85 * step(1 - t, 0.0, 0.10)
    red, green, blue = _lip_colour(rng, person)
    mix(colour, width * inside(np.minimum(Y - top, line - Y), 2.5), (0.84 * red, 0.84 * green, 0.84 * blue))
    mix(colour, width * inside(np.minimum(Y - line, bottom - Y), 2.5), (red, green, blue))
    seam = np.exp(-0.5 * ((Y - line) / 0.013) ** 2) * step(1.02 - np.abs(X) / m.mouth_width, 0.0, 0.12)
    colour *= (1.0 - 0.62 * seam) * (1.0 - 0.20 * blob(0.0, m.mouth_y + m.lower_lip + 0.045, 0.16, 0.03))
    for side in (-1.0, 1.0):
        colour *= 1.0 - 0.30 * blob(side * m.mouth_width, m.mouth_y - m.smile - 0.006, 0.022, 0.018)


def _lip_colour(rng: np.random.Generator, person: Person) -> Colour:
    """A redder skin; on women, more or less of a lipstick over it."""
    red, green, blue = person.skin
    if not person.female:
        return 0.90 * red, 0.67 * green, 0.67 * blue
    share = float(rng.uniform(0.15, 0.75))
    stick = jitter(rng, 0.72, 0.08), jitter(rng, 0.27, 0.06), jitter(rng, 0.30, 0.05)
    bare = 0.88 * red, 0.66 * green, 0.66 * blue
    mixed = [own + share * (paint - own) for own, paint in zip(bare, stick, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def draw_nostrils(head: Head, colour: Plane) -> None:
    """Nostrils, the underside of the nose between them, the grooves of the wings and the shadow on the lip."""
    m = head.measures
    below = m.nose_y + 0.045
    shadow = 0.24 * blob(0.0, m.nose_y + 0.055, m.wing * 0.75, 0.030) + 0.12 * blob(0.0, m.nose_y + 0.12, 0.16, 0.05)
    for side in (-1.0, 1.0):
        x, wing = side * m.wing * 0.50, side * m.wing
        nostril = curve((x - side * 0.045, below), (x, m.nose_y + 0.012), (x + side * 0.055, below))
        stroke(shadow, nostril, 0.040, 0.66, 0.011)
        groove = curve((wing * 0.84, m.nose_y - 0.115), (wing * 1.22, m.nose_y - 0.05), (wing * 0.98, m.nose_y + 0.05))
        stroke(shadow, groove, 0.030, 0.30, 0.014)
    colour *= 1.0 - np.clip(shadow, 0, 0.85)


def draw_beard(rng: np.random.Generator, person: Person, head: Head, colour: Plane) -> None:
    """The shadow of a shave, or on one man in five a beard."""
    m = head.measures
    jaw = step(head.rho, 0.62, 0.80) * step(Y, 0.55, 0.95) + blob(0.0, m.mouth_y + 0.36, 0.24, 0.14)
    moustache = blob(0.0, m.mouth_y - 0.14, 0.26, 0.05) * step(np.abs(X), 0.0, 0.06)
    strength = float(rng.uniform(0.60, 0.85) if rng.random() < 0.22 else rng.uniform(0.05, 0.20))
    cover = np.clip(strength * (np.clip(jaw, 0, 1) + moustache), 0, 0.9)
    cover *= np.clip(0.85 + 0.30 * noise(rng, 0.02, 0.035), 0.3, 1.1)
    mix(colour, cover, person.greyed(0.9 * person.grey))


def face_layer(rng: np.random.Generator, person: Person, head: Head) -> Layer:
    """The face without eyes, brows and hair."""
    grooves, folds = draw_lines(rng, person, head)
    height = head.height - 0.022 * grooves + 0.016 * folds
    hollow = np.clip(1 + 2.2 * (height - blur(height, 0.13)), 0.62, 1.06)
    colour = complexion(rng, person, head) * (hollow * creased(grooves))
    draw_lips(rng, person, head, colour)
    draw_nostrils(head, colour)
    if not person.female:
        draw_beard(rng, person, head, colour)
    shine = 0.21 + 0.10 * blob(0, -0.6, 0.4, 0.2) + 0.18 * blob(0, head.measures.nose_y - 0.1, 0.1, 0.2)
    depth = blur(head.height, 0.08)
    return Layer.of(inside(head.edge, 1.4), colour, height, depth=depth, gloss=shine, flesh=1.0)


def ears_layer(person: Person, head: Head) -> Layer:
    """Both ears, at the sides of the outline."""
    alpha, shade = np.zeros_like(head.rho), np.ones_like(head.rho)
    for side in (-1.0, 1.0):
        _ear(side, side * (head.width_at(0.12) + 0.035), alpha, shade)
    red, green, blue = person.skin
    colour = rgb((0.98 * red, 0.90 * green, 0.88 * blue)) * shade
    return Layer.of(alpha, colour, 0.10 * blur(alpha, 0.04), depth=0.0, gloss=0.2, flesh=1.0)


def _ear(side: float, x: float, alpha: Plane, shade: Plane) -> None:
    """An ellipse that leans outwards, with a dark rim and hollow."""
    leaning = (X - x) + side * 0.10 * (Y - 0.12)
    reach = np.sqrt((leaning / 0.115) ** 2 + ((Y - 0.12) / 0.30) ** 2)
    np.maximum(alpha, inside((1 - reach) * 0.115), out=alpha)
    rim = curve((x + side * 0.05, -0.08), (x + side * 0.10, 0.12), (x + side * 0.01, 0.30))
    stroke(shade, rim, 0.05, -0.35, 0.012)
    shade -= 0.4 * blob(x - side * 0.02, 0.12, 0.025, 0.08)


def neck_layer(rng: np.random.Generator, person: Person, head: Head) -> Layer:
    """A cylinder that widens into the shoulders, in the shadow of the chin."""
    m = head.measures
    width = neck_width(m)
    rings = np.zeros_like(head.rho)
    for y in (m.chin + 0.16, m.chin + 0.30):
        path = curve((-m.neck * 0.8, y - 0.05), (0.0, jitter(rng, y + 0.07, 0.02)), (m.neck * 0.8, y - 0.05))
        stroke(rings, path, 0.03, person.wear, 0.012)
    height = 0.55 * np.sqrt(1 - np.clip(X / width, -0.97, 0.97) ** 2) - 0.02 * rings
    shadow = 0.52 * step(head.edge, -0.42, 0.03)
    colour = rgb(person.skin) * (0.97 * (1 - 0.25 * rings) * (1 - shadow))
    alpha = inside(width - np.abs(X)) * (Y > 0.6)
    return Layer.of(alpha, colour, height, depth=0.1, gloss=0.15, flesh=1.0)
