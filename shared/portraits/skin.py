"""Skin: its colours, the marks that the years leave, lips, nostrils and beard."""

import numpy as np

from shared.portraits.canvas import (
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
    noise,
    ramp,
    step,
    stroke,
)
from shared.portraits.head import Head
from shared.portraits.person import Person

BLOOD: Colour = (0.78, 0.36, 0.32)
AGE_SPOT: Colour = (0.52, 0.36, 0.25)


def face_layer(rng: np.random.Generator, person: Person, head: Head) -> Layer:
    """The bare face without eyes, brows and hair."""
    grooves, folds = _marks_of_age(rng, person, head)
    height = head.height - 0.022 * grooves + 0.016 * folds
    colour = _complexion(rng, person, head)
    hollow = np.clip(1 + 2.2 * (height - blur(height, 0.13)), 0.62, 1.06)
    colour *= hollow * _creased(grooves)
    _lips(rng, person, head, colour)
    _nostrils(head, colour)
    _beard(rng, person, head, colour)
    shine = 0.35 * (0.6 + 0.3 * blob(0, -0.6, 0.4, 0.2) + 0.5 * blob(0, head.measures.nose_y - 0.1, 0.1, 0.2))
    depth = blur(head.height, 0.08)
    return Layer.of(inside(head.edge, 1.4), colour, height, depth=depth, gloss=shine, flesh=1.0)


def ears_layer(person: Person, head: Head) -> Layer:
    """Both ears, at the sides of the outline."""
    alpha = np.zeros_like(head.rho)
    shade = np.ones_like(head.rho)
    for side in (-1.0, 1.0):
        x = side * (head.width_at(0.12) + 0.035)
        leaning = (X - x) + side * 0.10 * (Y - 0.12)
        shell = np.sqrt((leaning / 0.115) ** 2 + ((Y - 0.12) / 0.30) ** 2)
        np.maximum(alpha, inside((1 - shell) * 0.115), out=alpha)
        stroke(
            shade, curve((x + side * 0.05, -0.08), (x + side * 0.10, 0.12), (x + side * 0.01, 0.30)), 0.05, -0.35, 0.012
        )
        shade -= 0.4 * blob(x - side * 0.02, 0.12, 0.025, 0.08)
    colour = np.array(person.skin, np.float32)[:, None, None] * np.array([0.98, 0.90, 0.88], np.float32)[:, None, None]
    return Layer.of(alpha, colour * shade, blur(alpha, 0.04) * 0.10, depth=0.0, gloss=0.2, flesh=1.0)


def neck_layer(rng: np.random.Generator, person: Person, head: Head) -> Layer:
    """A cylinder that widens into the shoulders, in the shadow of the chin."""
    m = head.measures
    flare = 0.9 * np.clip(Y - m.chin - 0.12, 0, None) ** 2
    width = m.neck + flare
    across = np.clip(X / width, -0.97, 0.97)
    height = 0.55 * np.sqrt(1 - across**2)
    rings = np.zeros_like(head.rho)
    for y in (m.chin + 0.16, m.chin + 0.30):
        path = curve((-m.neck * 0.8, y - 0.05), (0.0, jitter(rng, y + 0.07, 0.02)), (m.neck * 0.8, y - 0.05))
        stroke(rings, path, 0.03, person.wear, 0.012)
    shadow = 0.52 * step(head.edge, -0.42, 0.03)
    colour = np.array(person.skin, np.float32)[:, None, None] * (0.97 * (1 - 0.25 * rings) * (1 - shadow))
    alpha = inside(width - np.abs(X)) * (Y > 0.6)
    return Layer.of(alpha, colour, height - 0.02 * rings, depth=0.1, gloss=0.15, flesh=1.0)


def _complexion(rng: np.random.Generator, person: Person, head: Head) -> Plane:
    """Skin tone with blood in cheeks, nose and chin, mottling, freckles, and the unevenness of age."""
    m, wear = head.measures, person.wear
    colour = np.empty((3, *head.rho.shape), np.float32)
    sallow = (1.0 - 0.04 * wear, 1.0 - 0.06 * wear, 1.0 - 0.08 * wear)
    for channel, tone in enumerate(person.skin):
        colour[channel] = tone * sallow[channel]
    flush = 0.10 * blob(0.0, m.nose_y - 0.05, 0.16, 0.13) + 0.06 * blob(0.0, m.chin - 0.15, 0.2, 0.12)
    for side in (-1.0, 1.0):
        flush += ((0.20 if person.female else 0.14) - 0.10 * wear) * blob(side * 0.58, 0.42, 0.20, 0.16)
    flush += (0.02 + 0.04 * wear) * np.clip(noise(rng, 0.16), -1, 2)
    colour += flush * (np.array(BLOOD, np.float32)[:, None, None] - colour)
    colour *= 1.0 + (0.006 + 0.040 * wear) * noise(rng, 0.05) + 0.008 * noise(rng, 0.0125)
    _spots(rng, person, colour)
    _under_eyes(person, head, colour)
    return colour


def _spots(rng: np.random.Generator, person: Person, colour: Plane) -> None:
    """Freckles and moles of the young, age spots past fifty."""
    freckled = person.people == "northern" and rng.random() < 0.35
    freckles = [(0.011, 0.35)] * (int(rng.integers(30, 60)) if freckled else 0)
    moles = [(0.014, 0.8)] * int(rng.integers(0, 3))
    liver = [(jitter(rng, 0.035, 0.010), 0.5) for _ in range(int(36 * ramp(person.looks, 45.0, 74.0)))]
    paint = np.zeros_like(colour[0])
    for size, strength in freckles:
        _dot(rng, paint, (0.0, 0.28), (0.38, 0.14), size, strength)
    for size, strength in moles + liver:
        _dot(rng, paint, (0.0, -0.05), (0.52, 0.55), size, strength)
    target = np.array(AGE_SPOT, np.float32)[:, None, None] * (person.skin[0] / 0.9)
    colour += np.clip(paint, 0, 0.8) * (target - colour)


def _dot(
    rng: np.random.Generator,
    paint: Plane,
    middle: tuple[float, float],
    spread: tuple[float, float],
    size: float,
    strength: float,
) -> None:
    x, y = (jitter(rng, *of) for of in zip(middle, spread, strict=True))
    long = jitter(rng, 0.6, 0.25) * size
    stroke(paint, np.array([[x - long, y], [x, y + 0.2 * long], [x + long, y]]), 2 * size, strength, 0.4 * size)


def _under_eyes(person: Person, head: Head, colour: Plane) -> None:
    m = head.measures
    shadow = np.zeros_like(head.rho)
    for side in (-1.0, 1.0):
        shadow += (0.06 + 0.26 * person.wear) * blob(side * m.eye_x * 0.97, 0.13, 0.17, 0.055)
        shadow += 0.12 * blob(side * (m.eye_x - 0.25), 0.0, 0.06, 0.08)
    dark = np.array((0.55, 0.38, 0.36), np.float32)[:, None, None] * person.skin[0]
    colour += shadow * (dark - colour)


def _marks_of_age(rng: np.random.Generator, person: Person, head: Head) -> tuple[Plane, Plane]:
    """Grooves, and the soft folds of skin beside them; both grow with the years, each from its own onset."""
    grooves, folds = np.zeros_like(head.rho), np.zeros_like(head.rho)
    for path, width, onset, strength in _lines(rng, head):
        depth = ramp(person.wear, onset, 1.0) ** 0.8 * strength * jitter(rng, 1.0, 0.10)
        if depth < 0.02:
            continue
        stroke(grooves, path, width, depth, 0.45 * width)
        stroke(folds, path + np.array([0.0, 0.9 * width]), 1.6 * width, depth, 0.8 * width)
    return grooves, folds


def _creased(grooves: Plane) -> Plane:
    """Creases are darker, and redder for the light that seeps in: a factor on the colour, (3, H, W)."""
    return 1.0 - np.array([0.28, 0.33, 0.34], np.float32)[:, None, None] * np.clip(grooves, 0, 1.2)


def _lines(rng: np.random.Generator, head: Head) -> list[tuple[Plane, float, float, float]]:
    """Path, width, onset (share of wear) and strength of every line that a face may get."""
    m = head.measures
    lines = []
    for row, y in enumerate((-0.51, -0.61, -0.71, -0.81)):
        left, right, dip = jitter(rng, 0.46, 0.08), jitter(rng, 0.46, 0.08), jitter(rng, 0.04, 0.02)
        path = curve(
            (-left, y + 0.03), (-0.25, y - 3 * dip), (0.0, y + 4 * dip), (0.25, y - 3 * dip), (right, y + 0.03)
        )
        lines.append((path, 0.030, 0.08 + 0.07 * row, 0.85))
    for side in (-1.0, 1.0):
        lines += _side_lines(rng, head, side)
        frown = curve((side * 0.07, -0.36), (side * 0.085, -0.26), (side * 0.06, -0.14))
        lines.append((frown, 0.026, 0.25, 0.8))
    lines.append((curve((-0.10, -0.10), (0.0, -0.08), (0.10, -0.10)), 0.022, 0.45, 0.6))
    lines.append((curve((-0.2, m.mouth_y + 0.24), (0, m.mouth_y + 0.19), (0.2, m.mouth_y + 0.24)), 0.03, 0.3, 0.5))
    return lines


def _side_lines(rng: np.random.Generator, head: Head, side: float) -> list[tuple[Plane, float, float, float]]:
    m = head.measures
    outer, corner = m.eye_x + m.eye_width, m.mouth_width

    def mirrored(*points: tuple[float, float]) -> Plane:
        return curve(*((side * x, y) for x, y in points))

    lines = [
        (mirrored((0.22, 0.11), (0.42, 0.21), (0.62, 0.12)), 0.030, 0.10, 0.75),
        (mirrored((0.20, 0.16), (0.42, 0.33), (0.68, 0.20)), 0.034, 0.35, 0.75),
        (
            mirrored((m.wing + 0.04, m.nose_y - 0.06), (corner, m.nose_y + 0.10), (corner + 0.08, m.mouth_y + 0.04)),
            0.042,
            0.02,
            0.85,
        ),
        (
            mirrored(
                (corner + 0.02, m.mouth_y + 0.03), (corner + 0.07, m.mouth_y + 0.15), (corner + 0.02, m.mouth_y + 0.30)
            ),
            0.034,
            0.35,
            0.75,
        ),
        (mirrored((0.70, 0.45), (0.66, 0.70), (0.58, 0.85)), 0.034, 0.55, 0.5),
        (mirrored((0.30, -0.155), (0.50, -0.17), (outer + 0.05, -0.03)), 0.034, 0.30, 0.7),
    ]
    for spoke, fall in enumerate((-0.11, -0.035, 0.045, 0.12)):
        length = jitter(rng, 0.17, 0.02)
        path = mirrored((outer + 0.025, 0.3 * fall), (outer + 0.1, 0.7 * fall), (outer + 0.025 + length, 1.2 * fall))
        lines.append((path, 0.024, 0.08 + 0.06 * spoke, 1.0))
    return lines


def _lips(rng: np.random.Generator, person: Person, head: Head, colour: Plane) -> None:
    """Two lips about a line that lifts a little at the corners."""
    m = head.measures
    t = np.clip(np.abs(X) / m.mouth_width, 0, 1)
    line = m.mouth_y + 0.014 * np.exp(-0.5 * (t / 0.20) ** 2) - m.smile * t**2
    bow = 1.0 - 0.26 * np.exp(-0.5 * (t / 0.10) ** 2) + 0.10 * np.exp(-0.5 * ((t - 0.30) / 0.14) ** 2)
    top = line - m.upper_lip * bow * (1 - t**2.2) ** 0.9
    bottom = line + m.lower_lip * (1 - t**2.4) ** 0.8
    between = step(1 - t, 0.0, 0.10)
    upper = between * inside(np.minimum(Y - top, line - Y), 2.5)
    lower = between * inside(np.minimum(Y - line, bottom - Y), 2.5)
    rouge = _lipstick(rng, person)
    seam = np.exp(-0.5 * ((Y - line) / 0.013) ** 2) * step(1.02 - np.abs(X) / m.mouth_width, 0.0, 0.12)
    for region, brightness in ((upper, 0.84), (lower, 1.0)):
        colour += (0.85 * region) * (rouge[:, None, None] * brightness - colour)
    colour *= 1.0 - 0.62 * seam
    colour *= 1.0 - 0.20 * blob(0.0, m.mouth_y + m.lower_lip + 0.045, 0.16, 0.03)
    for side in (-1.0, 1.0):
        colour *= 1.0 - 0.30 * blob(side * m.mouth_width, m.mouth_y - m.smile - 0.006, 0.022, 0.018)


def _lipstick(rng: np.random.Generator, person: Person) -> np.ndarray:
    natural = np.array(person.skin, np.float32) * np.array([0.88, 0.66, 0.66], np.float32)
    if not person.female:
        return natural * np.float32(1.02)
    painted = np.array([jitter(rng, 0.72, 0.08), jitter(rng, 0.27, 0.06), jitter(rng, 0.30, 0.05)], np.float32)
    return natural + np.float32(rng.uniform(0.15, 0.75)) * (painted - natural)


def _nostrils(head: Head, colour: Plane) -> None:
    """Nostrils, the underside of the nose between them, the grooves of the wings and the shadow on the lip."""
    m = head.measures
    shadow = 0.24 * blob(0.0, m.nose_y + 0.055, m.wing * 0.75, 0.030) + 0.12 * blob(0.0, m.nose_y + 0.12, 0.16, 0.05)
    for side in (-1.0, 1.0):
        x = side * m.wing * 0.50
        path = curve((x - side * 0.045, m.nose_y + 0.045), (x, m.nose_y + 0.012), (x + side * 0.055, m.nose_y + 0.045))
        stroke(shadow, path, 0.042, 0.75, 0.010)
        wing = side * m.wing
        around = curve((wing * 0.84, m.nose_y - 0.115), (wing * 1.22, m.nose_y - 0.05), (wing * 0.98, m.nose_y + 0.05))
        stroke(shadow, around, 0.030, 0.30, 0.014)
    colour *= 1.0 - np.clip(shadow, 0, 0.85)


def _beard(rng: np.random.Generator, person: Person, head: Head, colour: Plane) -> None:
    """The shadow of a shave on every man, a beard on some."""
    if person.female:
        return
    m = head.measures
    jaw = step(head.rho, 0.62, 0.80) * step(Y, 0.55, 0.95) + blob(0.0, m.mouth_y + 0.36, 0.24, 0.14)
    moustache = blob(0.0, m.mouth_y - 0.14, 0.26, 0.05) * step(np.abs(X), 0.0, 0.06)
    full = rng.random() < 0.22
    strength = rng.uniform(0.60, 0.85) if full else rng.uniform(0.05, 0.20)
    alpha = np.clip(strength * (np.clip(jaw, 0, 1) + moustache), 0, 0.9)
    alpha *= np.clip(0.85 + 0.30 * noise(rng, 0.02, 0.035), 0.3, 1.15)
    grey = 0.9 * person.grey
    hair = np.array([(1 - grey) * tone + grey * 0.74 for tone in person.hair], np.float32)
    colour += np.clip(alpha, 0, 1) * (hair[:, None, None] - colour)
