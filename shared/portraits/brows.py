"""Brows and glasses."""

import numpy as np

from shared.portraits.canvas import Colour, Layer, Plane, Relief, X, Y, curve, inside, jitter, noise, ramp, stroke
from shared.portraits.head import Head
from shared.portraits.person import Person

FRAMES: tuple[Colour, ...] = (
    (0.10, 0.09, 0.09), (0.28, 0.18, 0.12), (0.55, 0.44, 0.28), (0.45, 0.45, 0.47), (0.35, 0.10, 0.12),
)  # fmt: skip


def draw_brows(rng: np.random.Generator, person: Person, head: Head, relief: Relief) -> None:
    """Two tapered strokes of short hairs: thin and arched on women, straight and bushy on men."""
    m = head.measures
    outer = 0.72 if person.female else 0.76
    path = curve(
        (0.17, m.brow_y + 0.025),
        (0.36, m.brow_y - 0.035),
        (0.56, m.brow_y - 0.01 - 1.7 * m.brow_arch),
        (outer, m.brow_y + 0.065),
    )
    thick = m.brow_width * (1 - 0.22 * person.wear * person.female)
    widths = thick * np.interp(np.linspace(0, 1, len(path)), [0, 0.2, 0.55, 1], [0.45, 1, 0.9, 0.2])
    paint = np.zeros_like(head.rho)
    for side in (-1.0, 1.0):
        stroke(paint, path * (side, 1.0), widths, 1.0, 0.010)
    hairs = np.clip(0.88 + 0.12 * noise(rng, 0.02, 0.03), 0.55, 1.0)
    strength = (0.78 if person.female else 0.88) - 0.12 * person.wear
    relief.tint(strength * np.clip(paint, 0, 1) * hairs, _brow_colour(person))


def _brow_colour(person: Person) -> Colour:
    """Darker than the hair, and later grey; too light a brow and a detector loses a masked face."""
    share = 0.62 * ramp(person.grey, 0.15, 1.0) * (0.4 if person.female else 1.0)
    red, green, blue = (0.8 * tone for tone in person.greyed(share))
    return red, green, blue


def glasses_layer(rng: np.random.Generator, person: Person, head: Head, worn: bool | None = None) -> Layer | None:
    """Thin frames, or None for those who wear none; unless it is said whether they are `worn`, likelier with age."""
    drawn_by_lot = rng.random() <= 0.12 + 0.38 * ramp(person.looks, 35.0, 65.0)
    if not (drawn_by_lot if worn is None else worn):
        return None
    m = head.measures
    wide, tall, corner = jitter(rng, 0.345, 0.015), jitter(rng, 0.235, 0.02), float(rng.uniform(2.2, 4.0))
    frame = np.zeros_like(head.rho)
    stroke(frame, curve((-0.10, 0.0), (0.0, -0.045), (0.10, 0.0)), 0.028)
    for side in (-1.0, 1.0):
        np.maximum(frame, _rim(side * (m.eye_x + 0.01), wide, tall, corner), out=frame)
        stroke(frame, curve((side * (m.eye_x + wide), -0.03), (side * head.width_at(0.0), 0.0)), 0.035)
    colour = FRAMES[rng.integers(len(FRAMES))]
    return Layer.of(np.clip(frame, 0, 0.92), colour, 0.02 * frame, depth=0.85, gloss=0.5)


def _rim(x: float, wide: float, tall: float, corner: float) -> Plane:
    """A ring; `corner` 2 is an ellipse, more has corners."""
    reach = (np.abs((X - x) / wide) ** corner + np.abs((Y - 0.045) / tall) ** corner) ** (1 / corner)
    return inside(0.011 - np.abs(1 - reach) * tall, 1.2)
