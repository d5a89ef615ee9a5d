"""The bare head: face, ears and neck."""

import numpy as np

from shared.portraits.age_lines import creased, draw_lines
from shared.portraits.canvas import Layer, Plane, X, Y, blob, blur, curve, inside, jitter, rgb, step, stroke
from shared.portraits.complexion import complexion
from shared.portraits.head import Head, neck_width
from shared.portraits.lower_face import draw_beard, draw_lips, draw_nostrils
from shared.portraits.person import Person


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
