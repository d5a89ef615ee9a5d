"""What a mask hides: lips, nostrils and beard."""

import numpy as np

from shared.portraits.canvas import Colour, Plane, X, Y, blob, curve, inside, jitter, mix, noise, step, stroke
from shared.portraits.head import Head
from shared.portraits.person import Person


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
