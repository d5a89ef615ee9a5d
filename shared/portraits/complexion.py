"""The colours of skin: blood, mottling, freckles, moles and age spots."""

import numpy as np

from shared.portraits.canvas import HEIGHT, WIDTH, Colour, Plane, blob, jitter, mix, noise, ramp, rgb, stroke
from shared.portraits.head import Head
from shared.portraits.person import Person

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
