"""Cloth of drawn masks: tiles of creases, knits and prints, kinds of masks, and their look in a photograph's light.

Tiles repeat without a seam. They are made once per process from fixed seeds.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from shared.mask_overlay.geometry import ANGLES, EYE_LINE, MIDDLE, FaceGeometry, Fit, Plane, Surface, look_up

SIDE = 128
"""Pixels of a tile."""
REPEATS = 4
"""A patch as large as a crop can be cut from anywhere in the first of this many repeats."""
CREASES, PRINTS = 12, 48
"""Number of tiles."""


def _smooth(rng: np.random.Generator, across: float, down: float) -> Plane:
    """Return periodic noise of unit variance, (SIDE, SIDE); blob sizes in pixels."""
    white = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    wide = cv2.copyMakeBorder(white, SIDE, SIDE, SIDE, SIDE, cv2.BORDER_WRAP)
    soft = cv2.GaussianBlur(wide, (0, 0), sigmaX=across, sigmaY=down)[SIDE:-SIDE, SIDE:-SIDE]
    return soft / soft.std()


def _repeated(tile: Plane) -> Plane:
    return np.tile(tile, (REPEATS, REPEATS)).astype(np.float32)


@cache
def creases() -> list[Plane]:
    """Heights of crumpled cloth, about unit variance."""
    tiles = []
    for number in range(CREASES):
        rng = np.random.default_rng((1, number))
        coarse, fine = rng.uniform(7, 14), rng.uniform(2.5, 5)
        ridged = -np.abs(_smooth(rng, fine * rng.uniform(1, 3), fine))
        tiles.append(_repeated(_smooth(rng, coarse, coarse * rng.uniform(0.4, 1)) + 0.5 * ridged))
    return tiles


@cache
def knits() -> list[Plane]:
    """Fine regular structure of cloth, -1 to 1: plain weave, twill, knit, ribs, honeycomb, none."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) * np.float32(2 * np.pi / SIDE)
    tiles = [
        np.sin(44 * x) * np.sin(44 * y),
        np.sin(30 * (x + y)),
        np.sin(26 * y + 1.5 * np.sin(26 * x)),
        np.sin(36 * x),
        np.cos(28 * x) + np.cos(14 * x + 24 * y) + np.cos(14 * x - 24 * y) - 0.5,
        np.zeros_like(x),
    ]
    return [_repeated(tile) for tile in tiles]


@cache
def grain() -> Plane:
    """White noise of unit variance, as large as a repeated tile."""
    return np.random.default_rng(2).standard_normal((REPEATS * SIDE, REPEATS * SIDE)).astype(np.float32)


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Cut white noise of unit variance out of `grain`."""
    row, column = (int(value) for value in rng.integers(0, SIDE, 2))
    return grain()[row : row + shape[0], column : column + shape[1]]


def _patch(tile: Plane, shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Cut a random patch out of a repeated tile, turned or mirrored."""
    kind, row, column = (int(value) for value in rng.integers(0, (8, SIDE, SIDE)))
    turned = tile.T if kind & 1 else tile
    turned = turned[:: -1 if kind & 2 else 1, :: -1 if kind & 4 else 1]
    return turned[row : row + shape[0], column : column + shape[1]]


@cache
def prints() -> list[Plane]:
    """Patterns of three colours: shares (SIDE, SIDE, 2), 0-1, of the second and the third."""
    kinds = ("stripes", "checks", "dots", "blotches", "flowers", "scrawl")
    return [_print(kinds[number % len(kinds)], np.random.default_rng((3, number))) for number in range(PRINTS)]


def _print(kind: str, rng: np.random.Generator) -> Plane:
    y, x = np.mgrid[:SIDE, :SIDE] * (2 * np.pi / SIDE)

    def wave(times_x: int, times_y: int) -> Plane:
        return np.sin(times_x * x + times_y * y + rng.uniform(0, 6)) * 4

    if kind == "stripes":
        many, lean = int(rng.integers(3, 14)), int(rng.integers(-4, 5))
        first = wave(lean, many) if rng.random() < 0.6 else wave(many, lean)
        layers = first, wave(0, 2 * many) - 2.5
    elif kind == "checks":
        many = int(rng.integers(4, 12))
        layers = wave(many, 0) / 2, wave(0, many) / 2
    elif kind == "dots":
        many = int(rng.integers(4, 11))
        dots = wave(many, 0) * wave(0, many) / 4 - rng.uniform(0.5, 2)
        layers = dots * 2, wave(2 * many, many) - 3.5
    elif kind == "blotches":
        size = rng.uniform(3, 11)
        layers = 3 * _smooth(rng, size, size) + 0.5, 3 * _smooth(rng, size, size) - 1
    else:
        drawn = np.zeros((2, SIDE, SIDE), np.uint8)
        (_draw_flowers if kind == "flowers" else _draw_scrawl)(drawn, rng)
        layers = drawn[0] / 255, drawn[1] / 255
    return np.clip(np.stack(layers, axis=2), 0, 1).astype(np.float32)


def _draw_flowers(layers: Plane, rng: np.random.Generator) -> None:
    def disc(layer: Plane, x: float, y: float, radius: float) -> None:
        cv2.circle(layer, (int(16 * x), int(16 * y)), int(16 * radius), 255, -1, cv2.LINE_AA, shift=4)

    for _ in range(int(rng.integers(8, 26))):
        x, y, size = rng.uniform(0, SIDE), rng.uniform(0, SIDE), rng.uniform(3, 10)
        petals, turn = int(rng.integers(3, 7)), rng.uniform(0, 6)
        for petal in range(petals):
            angle = turn + 2 * np.pi * petal / petals
            disc(layers[0], x + size * np.cos(angle), y + size * np.sin(angle), 0.6 * size)
        disc(layers[1], x, y, 0.5 * size)


def _draw_scrawl(layers: Plane, rng: np.random.Generator) -> None:
    """Draw random letters and lines."""
    for number in range(int(rng.integers(5, 18))):
        at = (int(rng.integers(0, SIDE)), int(rng.integers(0, SIDE)))
        if rng.random() < 0.5:
            letters = "".join(chr(int(code)) for code in rng.integers(65, 91, size=int(rng.integers(1, 5))))
            font, size, pen = int(rng.integers(0, 8)), float(rng.uniform(0.4, 1.2)), int(rng.integers(1, 4))
            cv2.putText(layers[number % 2], letters, at, font, size, 255, pen, cv2.LINE_AA)
        else:
            path = (np.array(at) + np.cumsum(rng.normal(0, 12, (6, 2)), axis=0)).astype(np.int32)
            cv2.polylines(layers[number % 2], [path], False, 255, int(rng.integers(1, 5)), cv2.LINE_AA)


Rgb = tuple[float, float, float]

WHITE, BLACK = (238.0, 240.0, 242.0), (34.0, 34.0, 37.0)
_PAPER: tuple[Rgb, ...] = (
    WHITE, (150, 196, 226), (120, 178, 216), (172, 208, 232), (150, 208, 200), (110, 184, 172), (236, 186, 204),
    (196, 186, 222), (238, 226, 170), (128, 132, 140), BLACK, (196, 200, 204), (70, 110, 170),
)  # fmt: skip
_FOLDED: tuple[Rgb, ...] = (WHITE, WHITE, (244, 240, 230), BLACK, (98, 100, 106), (214, 196, 176), (66, 82, 120))
_CUP: tuple[Rgb, ...] = (WHITE, (240, 236, 224), (226, 226, 222), (120, 170, 210), (90, 92, 96), (232, 210, 150))
_SMOOTH: tuple[Rgb, ...] = (BLACK, (48, 50, 58), (92, 94, 100), (226, 226, 226), (230, 196, 204), (176, 160, 146))


@dataclass(frozen=True)
class Kind:
    """Properties of one kind of mask; shares are probabilities."""

    share: float
    colours: tuple[Rgb, ...]
    any_colour: float
    """Probability of a colour outside `colours`."""
    printed: float
    valve: float
    crumpled: float
    """Depth of its creases."""
    reach: float
    """Factor on the width of the `Fit`."""
    around_head: float
    """Probability that its straps go around the head instead of the ears."""


KINDS = {
    "pleated": Kind(0.34, _PAPER, 0.10, 0.10, 0.0, 0.50, 1.0, 0.06),
    "folded": Kind(0.15, _FOLDED, 0.12, 0.06, 0.05, 0.30, 1.0, 0.05),
    "keeled": Kind(0.12, (*_FOLDED, *_SMOOTH), 0.30, 0.20, 0.15, 0.40, 1.0, 0.05),
    "cup": Kind(0.07, _CUP, 0.06, 0.05, 0.30, 0.10, 0.80, 0.75),
    "cloth": Kind(0.18, (*_SMOOTH, WHITE), 0.55, 0.50, 0.0, 0.90, 1.0, 0.05),
    "smooth": Kind(0.09, _SMOOTH, 0.15, 0.12, 0.15, 0.25, 1.12, 0.03),
    "sporty": Kind(0.05, (BLACK, (60, 64, 72), (40, 52, 84), (70, 80, 60)), 0.2, 0.1, 0.85, 0.25, 1.1, 0.15),
}


@dataclass(frozen=True)
class Mask:
    """One mask."""

    kind: str
    """A key of `KINDS`."""
    colours: Plane
    """(3, 3): the cloth, and two of its print; RGB, 0-255, as in a well-lit photograph."""
    pattern: int | None
    """Index into `prints`."""
    print_size: float
    """Pixels of the crop per pixel of the tile."""
    crease: int
    """Index into `creases`."""
    crumpled: float
    knit: int
    """Index into `knits`."""
    knit_depth: float
    valves: tuple[tuple[float, float], ...]
    """Angle around the head, and height from the upper edge (0) to the lower one (1)."""
    valve_colour: Plane
    hem: float
    """Brightness of a sewn edge; negative is dark."""
    seams: tuple[float, ...]
    """Heights of pleats or folds, 0-1."""
    reach: float
    around_head: bool
    gloss: float


def sample_mask(rng: np.random.Generator) -> Mask:
    """Draw a mask of any kind."""
    names = list(KINDS)
    shares = np.array([KINDS[name].share for name in names])
    name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    kind = KINDS[name]
    colours = np.stack([_usual_colour(rng, kind), any_colour(rng), any_colour(rng)]).astype(np.float32)
    return Mask(
        kind=name,
        colours=colours,
        pattern=int(rng.integers(PRINTS)) if rng.random() < kind.printed else None,
        print_size=float(np.exp(rng.uniform(np.log(0.35), np.log(1.6)))),
        crease=int(rng.integers(CREASES)),
        crumpled=kind.crumpled * rng.uniform(0.3, 1.5),
        knit=int(rng.integers(len(knits()))),
        knit_depth=rng.uniform(0, 0.05),
        valves=_sample_valves(rng, kind, name),
        valve_colour=(any_colour(rng) if rng.random() < 0.3 else colours[0] * rng.uniform(0.6, 1.3)).clip(20, 250),
        hem=rng.normal(0, 0.10),
        seams=_sample_seams(rng, name),
        reach=kind.reach * rng.uniform(0.92, 1.06),
        around_head=rng.random() < kind.around_head,
        gloss=rng.uniform(0, 0.25) if name in ("pleated", "smooth", "sporty") else 0.0,
    )


def _usual_colour(rng: np.random.Generator, kind: Kind) -> Plane:
    if rng.random() < kind.any_colour:
        return any_colour(rng)
    usual = np.array(kind.colours[int(rng.integers(len(kind.colours)))])
    return np.clip(usual * rng.uniform(0.88, 1.06) + rng.normal(0, 7, 3), 16, 252)


def any_colour(rng: np.random.Generator) -> Plane:
    """Draw a colour from grey to gaudy and from dark to light; RGB, 0-255."""
    bright, strong = rng.uniform(30, 245), rng.uniform(0, 1) ** 1.5
    hue = rng.uniform(0, 1, 3)
    hue = (hue - hue.min()) / max(float(np.ptp(hue)), 0.1)
    return np.clip(bright * (1 - 0.85 * strong * (1 - hue)), 14, 250)


def _sample_valves(rng: np.random.Generator, kind: Kind, name: str) -> tuple[tuple[float, float], ...]:
    if rng.random() >= kind.valve:
        return ()
    height = rng.uniform(0.35, 0.62)
    if name == "sporty":
        aside = rng.uniform(0.45, 0.62)
        return ((-aside, height + 0.12), (aside, height + 0.12))
    return ((0.0 if rng.random() < 0.4 else rng.uniform(0.3, 0.55) * (1 if rng.random() < 0.5 else -1), height),)


def _sample_seams(rng: np.random.Generator, name: str) -> tuple[float, ...]:
    if name == "pleated":
        count = int(rng.integers(2, 5))
        start, end = rng.uniform(0.20, 0.34), rng.uniform(0.62, 0.80)
        return tuple(float(at) for at in np.linspace(start, end, count) + rng.normal(0, 0.015, count))
    return (rng.uniform(0.22, 0.34), rng.uniform(0.64, 0.8)) if name == "folded" else ()


@dataclass(frozen=True)
class Light:
    """Light, sharpness and noise of a crop."""

    shade: Plane | np.float32
    """Relative brightness of the skin over a surface, (rows, columns) or one for all; 1 in the mean."""
    tint: Plane
    """(3,): brightness of RGB relative to a well-lit photograph."""
    skin: float
    """Brightness of the cheeks, 0-255."""
    side: float
    """-1 to 1: how much more light comes from the right of the image."""
    blur: float
    """Standard deviation of the crop's own blur, pixels."""
    noise: float
    """Standard deviation of its noise, 0-255."""


def light_on(crop: Plane, face: FaceGeometry, surface: Surface) -> Light:
    """Measure the light in the crop of a bare face, uint8 RGB."""
    usual_skin = np.array([200.0, 160.0, 140.0], np.float32)
    row, column = int(face.nose[1]), int(face.middle_at(face.nose[1]))
    cheeks = crop[row - 14 : row + 12 : 3, max(column - 46, 0) : column + 46 : 3].reshape(-1, 3)
    skin = np.median(cheeks, axis=0).astype(np.float32) if len(cheeks) else usual_skin
    shade = _shade(cv2.cvtColor(crop[surface.box], cv2.COLOR_RGB2GRAY), surface)
    third = shade.shape[1] // 4
    left, right = float(shade[:, :third].mean()), float(shade[:, -third:].mean())
    side = float(np.clip(1.5 * (right - left), -1, 1))
    return Light(shade, np.clip(skin / usual_skin, 0.12, 1.5), float(skin.mean()), side, *_blur_and_noise(crop))


def _shade(grey: Plane, surface: Surface) -> Plane:
    """Blur the brightness of the face. Weights exclude what is beside the face."""
    height, width = grey.shape
    small = (max(width // 8, 2), max(height // 8, 2))
    on_face = np.clip(surface.inside * np.float32(0.2), 0.01, 1)
    weight = cv2.resize(on_face, small, interpolation=cv2.INTER_AREA)
    light = cv2.resize(grey, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    usual = max(float((light * weight).sum() / weight.sum()), 8.0)
    light = np.clip(light / usual, 0.35, 1.6)
    soft = cv2.GaussianBlur(light * weight, (0, 0), 2.0) / cv2.GaussianBlur(weight, (0, 0), 2.0)
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)


def _blur_and_noise(crop: Plane) -> tuple[float, float]:
    """Estimate blur and noise at the eyes."""
    rows = slice(int(EYE_LINE) - 18, int(EYE_LINE) + 16)
    eyes = crop[rows, int(MIDDLE) - 52 : int(MIDDLE) + 52, 1].astype(np.float32)
    once = cv2.GaussianBlur(eyes, (0, 0), 1.0)
    # The blurrier an image is, the less of its gradients a further blur removes.
    fine, coarse = float(np.abs(np.diff(eyes)).mean()), float(np.abs(np.diff(once)).mean())
    kept = coarse / max(fine, 0.3)
    # Noise: what the blur removes away from edges, so the lower third of the residuals.
    rest = np.abs(eyes - once)
    noise = 1.2 * float(np.partition(rest.ravel(), rest.size // 3)[rest.size // 3])
    return min(max(3.2 * (kept - 0.55), 0.4), 2.2), min(max(noise, 0.3), 8.0)


_VALVE = 10.0
"""Radius of a valve, pixels."""
_SHARES, _NEAR = (-0.5, 1.5), (0.0, 20.0)
"""Ranges of tabulated functions: shares of a mask's height, pixels from its edge."""


def cloth(surface: Surface, fit: Fit, mask: Mask, light: Light, edge: Plane, rng: np.random.Generator) -> Plane:
    """Return the mask's colours in the light of the crop: RGB, 0-255, (3, rows, columns).

    `edge` is the distance to the edge of the mask in pixels.
    """
    top = fit.upper_edge(surface)
    height = max(min(fit.bottom, fit.cut) - fit.top, 8.0)
    share = (surface.down - top) * np.float32(1 / height)
    shade = surface.along(_across(surface.reach, mask, light))
    for profile, bent in _downwards(height, mask):
        shade += look_up(profile, share - surface.along(bent) if bent is not None else share, *_SHARES)
    # The edge turns away from the light, and may be sewn.
    near = np.linspace(*_NEAR, len(ANGLES))
    hem = mask.hem * np.exp(-((0.7 * (near - 4)) ** 2)) - 0.10 * np.exp(-0.45 * near)
    shade += look_up(hem.astype(np.float32), edge, *_NEAR)
    shade += _crumple(surface, mask, light, rng)
    colour = _dyed(surface, mask, light, rng)
    for around, down in mask.valves:
        disc = _draw_valve(shade, surface, around, top + np.float32(down * height))
        colour = colour + disc * (_planes(mask.valve_colour * light.tint) - colour)
    shade *= light.shade
    colour = colour * shade
    # As in a camera, highlights above a grey level of 190 flatten out.
    flat = colour * np.float32(0.5)
    flat += np.float32(95.0)
    return np.minimum(np.minimum(colour, flat, out=colour), np.float32(252), out=colour)


def _planes(colour: Plane) -> Plane:
    """Return a colour (3,) as (3, 1, 1): channels come first because numpy is fastest along the last axis."""
    return colour.astype(np.float32)[:, None, None]


def _across(reach: float, mask: Mask, light: Light) -> Plane:
    """Brightness by angle: the bulge in light from one side, the ridge over the nose, vertical seams."""
    lit = 0.98 - 0.05 * ANGLES**2 + 0.20 * light.side * np.sin(ANGLES)
    ridge = {"keeled": 0.12, "smooth": 0.10, "cloth": 0.06, "sporty": 0.08}.get(mask.kind, 0.04)
    lit += ridge * (light.side + 0.3 * np.sign(light.side)) * np.tanh(9 * ANGLES)
    away = ANGLES * reach
    if mask.kind in ("keeled", "cloth", "smooth", "sporty"):
        lit -= 0.14 * np.exp(-(away**2) / 2) + 0.05 * np.exp(-((away - 2) ** 2) / 2.5)
    if mask.kind == "sporty":
        lit -= 0.2 * np.exp(-((np.abs(away) - 24) ** 2) / 2)
    if mask.kind == "cup":
        lit -= 0.13 * ANGLES**2
    return (lit + mask.gloss * np.exp(-((4 * (ANGLES - 0.25 * light.side)) ** 2))).astype(np.float32)


def _downwards(height: float, mask: Mask) -> list[tuple[Plane, Plane | None]]:
    """Brightness by the share of the height (light from above, pleats and folds), and its bend by angle, if any."""
    share = np.linspace(*_SHARES, len(ANGLES))
    lit = 0.06 - 0.14 * np.clip(share, 0, 1.2) ** 2
    if mask.kind == "cup":
        lit = 0.1 - 0.5 * (share - 0.4) ** 2
    if mask.kind != "folded":
        return [((lit + sum(_pleat((share - at) * height) for at in mask.seams)).astype(np.float32), None)]
    bent = (0.14 * (ANGLES**2 - 0.3)).astype(np.float32)
    upper, lower = ((share - at) * height for at in mask.seams)
    above = lit + _pleat(upper) - 0.05 * np.tanh(upper)
    return [(above.astype(np.float32), bent), ((_pleat(lower) - 0.07 * np.tanh(lower)).astype(np.float32), -bent)]


def _pleat(pixels: Plane) -> Plane:
    """Brightness around a pleat: light above its edge, dark below it."""
    return 0.07 * np.exp(-((pixels + 2) ** 2) / 5) - 0.17 * np.exp(-((pixels - 1.2) ** 2) / 3)


def _crumple(surface: Surface, mask: Mask, light: Light, rng: np.random.Generator) -> Plane:
    """Brightness of creases and of the structure of the cloth."""
    rows, columns = surface.around.shape
    high = _patch(creases()[mask.crease], (rows + 1, columns + 1), rng)
    slope = high[1:, 1:] - high[:-1, 1:] + np.float32(light.side + 0.2) * (high[1:, 1:] - high[1:, :-1])
    # The tangent limits the effect of deep creases to a factor of 0.55 to 1.45.
    lit = np.float32(0.45) * np.tanh(slope * np.float32(1.3 * mask.crumpled))
    if mask.knit_depth > 0.02:
        lit += np.float32(mask.knit_depth) * _patch(knits()[mask.knit], surface.around.shape, rng)
    return lit


def _dyed(surface: Surface, mask: Mask, light: Light, rng: np.random.Generator) -> Plane:
    """Return colours in even light, (3, rows, columns); (3, 1, 1) without a print."""
    base, first, second = (_planes(colour * light.tint) for colour in mask.colours)
    if mask.pattern is None:
        return base
    zoom = np.float32(1 / mask.print_size)
    offset = rng.uniform(0, SIDE, 2).astype(np.float32)
    columns = surface.around * np.float32(surface.reach * zoom) + offset[0]
    rows = surface.down * zoom + offset[1]
    shares = cv2.remap(prints()[mask.pattern], columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    one, two = cv2.split(shares)
    colour = base + one * (first - base)
    colour += two * (second - colour)
    return colour


def _draw_valve(shade: Plane, surface: Surface, around: float, row: Plane) -> Plane:
    """Draw the light on a disc with a rim and slats into `shade`; return the coverage of the disc, 0-1."""
    across = (surface.around - np.float32(around)) * np.float32(0.9 * surface.reach)
    away = np.sqrt(across**2 + (surface.down - row) ** 2)
    disc = np.clip(np.float32(_VALVE) - away, 0, 1)
    shade *= 1 - disc
    lit = 1 + np.float32(0.12) * np.sin((surface.down - row) * np.float32(1.4))
    lit -= np.float32(0.45) * np.exp(-((away - 8.5) ** 2)) - np.float32(0.2) * np.exp(-((away - 6.5) ** 2))
    shade += disc * lit
    shade -= np.float32(0.25) * np.exp(-((away - _VALVE - 1.5) ** 2) * 0.25) * (1 - disc)
    return disc
