"""Cloth and prints as tiles that repeat, made once in a process from fixed seeds.

What a mask is made of: its kind, colours, cloth and seams, drawn at random.

What the cloth of a mask looks like on the face: colour, print, pleats, creases and valves in the light.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from shared.mask_overlay.geometry import ANGLES, Fit, Light, Plane, Surface, lookup

SIDE = 128
"""Pixels of a tile."""
CREASES, PRINTS = 12, 48
REPEATS = 4
"""So that a piece as large as a crop can be cut out of a tile from anywhere in its first repeat."""


def _smooth(rng: np.random.Generator, across: float, down: float) -> Plane:
    """Noise of unit variance that repeats; sizes of its blobs in pixels."""
    white = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    wide = cv2.copyMakeBorder(white, SIDE, SIDE, SIDE, SIDE, cv2.BORDER_WRAP)
    soft = cv2.GaussianBlur(wide, (0, 0), sigmaX=across, sigmaY=down)[SIDE:-SIDE, SIDE:-SIDE]
    return soft / soft.std()


@cache
def creases() -> list[Plane]:
    """Heights of crumpled cloth, about unit variance; each tile `REPEATS` times both ways."""
    tiles = []
    for number in range(CREASES):
        rng = np.random.default_rng((1, number))
        coarse, fine = rng.uniform(7, 14), rng.uniform(2.5, 5)
        ridged = -np.abs(_smooth(rng, fine * rng.uniform(1, 3), fine))
        tiles.append(_repeated(_smooth(rng, coarse, coarse * rng.uniform(0.4, 1)) + 0.5 * ridged))
    return tiles


@cache
def grain() -> Plane:
    """White noise of unit variance, as large as a repeated tile."""
    return np.random.default_rng(2).standard_normal((REPEATS * SIDE, REPEATS * SIDE)).astype(np.float32)


@cache
def knits() -> list[Plane]:
    """Fine regular structure of cloth, -1 to 1: plain weave, twill, knit, ribs, honeycomb, none; repeated likewise."""
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


def _repeated(tile: Plane) -> Plane:
    return np.tile(tile, (REPEATS, REPEATS)).astype(np.float32)


@cache
def prints() -> list[Plane]:
    """Which of three colours is where: shares (SIDE, SIDE, 2) of the second and the third, in 0-1."""
    return [_print(np.random.default_rng((3, number)), number) for number in range(PRINTS)]


def _print(rng: np.random.Generator, number: int) -> Plane:
    kinds: tuple[Callable[[np.random.Generator], Plane], ...] = (_stripes, _checks, _dots, _blotches, _flowers, _scrawl)
    return np.clip(kinds[number % len(kinds)](rng), 0, 1).astype(np.float32)


def _wave(rng: np.random.Generator, times_x: int, times_y: int) -> Plane:
    y, x = np.mgrid[:SIDE, :SIDE] * (2 * np.pi / SIDE)
    return np.sin(times_x * x + times_y * y + rng.uniform(0, 6)) * 4


def _stripes(rng: np.random.Generator) -> Plane:
    many, lean = int(rng.integers(3, 14)), int(rng.integers(-4, 5))
    first = _wave(rng, lean, many) if rng.random() < 0.6 else _wave(rng, many, lean)
    return np.stack([first, _wave(rng, 0, 2 * many) - 2.5], axis=2)


def _checks(rng: np.random.Generator) -> Plane:
    many = int(rng.integers(4, 12))
    return np.stack([_wave(rng, many, 0) / 2, _wave(rng, 0, many) / 2], axis=2)


def _dots(rng: np.random.Generator) -> Plane:
    many = int(rng.integers(4, 11))
    dots = _wave(rng, many, 0) * _wave(rng, 0, many) / 4 - rng.uniform(0.5, 2)
    return np.stack([dots * 2, _wave(rng, 2 * many, many) - 3.5], axis=2)


def _blotches(rng: np.random.Generator) -> Plane:
    size = rng.uniform(3, 11)
    return np.stack([3 * _smooth(rng, size, size) + 0.5, 3 * _smooth(rng, size, size) - 1], axis=2)


def _flowers(rng: np.random.Generator) -> Plane:
    layers = np.zeros((2, SIDE, SIDE), np.uint8)
    for _ in range(int(rng.integers(8, 26))):
        x, y, size = rng.uniform(0, SIDE), rng.uniform(0, SIDE), rng.uniform(3, 10)
        petals, turn = int(rng.integers(3, 7)), rng.uniform(0, 6)
        for petal in range(petals):
            angle = turn + 2 * np.pi * petal / petals
            _disc(layers[0], x + size * np.cos(angle), y + size * np.sin(angle), 0.6 * size)
        _disc(layers[1], x, y, 0.5 * size)
    return layers.transpose(1, 2, 0) / 255


def _scrawl(rng: np.random.Generator) -> Plane:
    """Lines, letters and figures without a meaning."""
    layers = np.zeros((2, SIDE, SIDE), np.uint8)
    for number in range(int(rng.integers(5, 18))):
        at = (int(rng.integers(0, SIDE)), int(rng.integers(0, SIDE)))
        if rng.random() < 0.5:
            letters = "".join(chr(int(code)) for code in rng.integers(65, 91, size=int(rng.integers(1, 5))))
            font, size, pen = int(rng.integers(0, 8)), float(rng.uniform(0.4, 1.2)), int(rng.integers(1, 4))
            cv2.putText(layers[number % 2], letters, at, font, size, 255, pen, cv2.LINE_AA)
        else:
            path = (np.array(at) + np.cumsum(rng.normal(0, 12, (6, 2)), axis=0)).astype(np.int32)
            cv2.polylines(layers[number % 2], [path], False, 255, int(rng.integers(1, 5)), cv2.LINE_AA)
    return layers.transpose(1, 2, 0) / 255


def _disc(layer: Plane, x: float, y: float, radius: float) -> None:
    cv2.circle(layer, (int(16 * x), int(16 * y)), int(16 * radius), 255, -1, cv2.LINE_AA, shift=4)


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
    """What sets one kind of mask apart; shares are probabilities."""

    often: float
    colours: tuple[Rgb, ...]
    """Those it usually has."""
    any_colour: float
    """How often it has any other."""
    printed: float
    valve: float
    crumpled: float
    """How deep its creases are."""
    reach: float
    """Its width as a share of what the wearing says."""
    around_head: float
    """How often its bands go around the head instead of the ears."""


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
class Make:
    """One mask."""

    kind: str
    colours: Plane
    """(3, 3): the cloth, and two of its print; RGB, 0-255, as in a well lit photograph."""
    printed: int | None
    """Which of `weave.prints`."""
    print_size: float
    """Pixels of the crop per pixel of the tile."""
    crease: int
    """Which of `weave.creases`."""
    crumpled: float
    knit: int
    """Which of `weave.knits`."""
    knit_depth: float
    valves: tuple[tuple[float, float], ...]
    """Where they sit: the angle around the head, and the height from the upper edge (0) to the lower (1)."""
    valve_colour: Plane
    hem: float
    """How light (or dark, below 0) a sewn edge is."""
    seams: tuple[float, ...]
    """Heights of pleats or folds, 0-1."""
    reach: float
    around_head: bool
    clear: bool
    """With a window before the mouth."""
    gloss: float


def make_of(rng: np.random.Generator) -> Make:
    """Any mask there is."""
    names = list(KINDS)
    shares = np.array([KINDS[name].often for name in names])
    name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    kind = KINDS[name]
    colours = np.stack([_colour(rng, kind), any_colour(rng), any_colour(rng)]).astype(np.float32)
    return Make(
        kind=name,
        colours=colours,
        printed=int(rng.integers(PRINTS)) if rng.random() < kind.printed else None,
        print_size=float(np.exp(rng.uniform(np.log(0.35), np.log(1.6)))),
        crease=int(rng.integers(CREASES)),
        crumpled=kind.crumpled * float(rng.uniform(0.3, 1.5)),
        knit=int(rng.integers(len(knits()))),
        knit_depth=float(rng.uniform(0, 0.05)),
        valves=_valves(rng, kind, name),
        valve_colour=(any_colour(rng) if rng.random() < 0.3 else colours[0] * rng.uniform(0.6, 1.3)).clip(20, 250),
        hem=float(rng.normal(0, 0.10)),
        seams=_seams(rng, name),
        reach=kind.reach * float(rng.uniform(0.92, 1.06)),
        around_head=bool(rng.random() < kind.around_head),
        clear=bool(rng.random() < 0.012),
        gloss=float(rng.uniform(0, 0.25)) if name in ("pleated", "smooth", "sporty") else 0.0,
    )


def _colour(rng: np.random.Generator, kind: Kind) -> Plane:
    if rng.random() < kind.any_colour:
        return any_colour(rng)
    usual = np.array(kind.colours[int(rng.integers(len(kind.colours)))])
    return np.clip(usual * rng.uniform(0.88, 1.06) + rng.normal(0, 7, 3), 16, 252)


def any_colour(rng: np.random.Generator) -> Plane:
    """From grey to gaudy, dark to light."""
    bright, strong = rng.uniform(30, 245), rng.uniform(0, 1) ** 1.5
    hue = rng.uniform(0, 1, 3)
    hue = (hue - hue.min()) / max(float(np.ptp(hue)), 0.1)
    return np.clip(bright * (1 - 0.85 * strong * (1 - hue)), 14, 250)


def _valves(rng: np.random.Generator, kind: Kind, name: str) -> tuple[tuple[float, float], ...]:
    if rng.random() >= kind.valve:
        return ()
    height = float(rng.uniform(0.35, 0.62))
    if name == "sporty":
        aside = float(rng.uniform(0.45, 0.62))
        return ((-aside, height + 0.12), (aside, height + 0.12))
    aside = 0.0 if rng.random() < 0.4 else float(rng.uniform(0.3, 0.55)) * (1 if rng.random() < 0.5 else -1)
    return ((aside, height),)


def _seams(rng: np.random.Generator, name: str) -> tuple[float, ...]:
    if name == "pleated":
        count = int(rng.integers(2, 5))
        start, end = rng.uniform(0.20, 0.34), rng.uniform(0.62, 0.80)
        return tuple(float(at) for at in np.linspace(start, end, count) + rng.normal(0, 0.015, count))
    if name == "folded":
        return (float(rng.uniform(0.22, 0.34)), float(rng.uniform(0.64, 0.8)))
    return ()


_VALVE = 10.0
"""Radius in pixels."""

_KNEE = np.float32(95.0)
"""Half the brightness, of 255, above which a camera flattens."""

_SHARES = (-0.5, 1.5)
_NEAR = (0.0, 20.0)
"""Ends of tables: shares of a mask's height, pixels from its edge."""


def cloth(surface: Surface, fit: Fit, make: Make, light: Light, edge: Plane, rng: np.random.Generator) -> Plane:
    """RGB, 0-255, (3, rows, columns), of the mask wherever it may be seen; `edge` is the way to its edge."""
    top = fit.upper_edge(surface)
    height = max(min(fit.bottom, fit.cut) - fit.top, 8.0)
    share = (surface.down - top) * np.float32(1 / height)
    shade = surface.along(_across(surface.reach, make, light))
    for profile, bent in _downwards(height, make):
        shade += np.take(profile, lookup(share - surface.along(bent) if bent is not None else share, *_SHARES))
    shade += np.take(_edges(make), lookup(edge, *_NEAR))
    shade += _crumple(surface, make, light, rng)
    colour = _dyed(surface, make, light, rng)
    for around, down in make.valves:
        disc = _valve(shade, surface, around, top + np.float32(down * height))
        colour = colour + disc * (_planes(make.valve_colour * light.tint) - colour)
    shade *= light.shade
    return _exposed(colour * shade)


def _exposed(colour: Plane) -> Plane:
    """Highlights flatten out before they are white, as in a camera."""
    flat = colour * np.float32(0.5)
    flat += _KNEE
    return np.minimum(np.minimum(colour, flat, out=colour), np.float32(252), out=colour)


def _planes(colour: Plane) -> Plane:
    """A colour (3,) to be laid on planes: channels first, for numpy goes along the last axis."""
    return colour.astype(np.float32)[:, None, None]


def _across(reach: float, make: Make, light: Light) -> Plane:
    """Brightness by angle: the bulge in light from one side, the ridge over the nose, seams down the middle."""
    lit = 0.98 - 0.05 * ANGLES**2 + 0.20 * light.side * np.sin(ANGLES)
    ridge = {"keeled": 0.12, "smooth": 0.10, "cloth": 0.06, "sporty": 0.08}.get(make.kind, 0.04)
    lit += ridge * (light.side + 0.3 * np.sign(light.side)) * np.tanh(9 * ANGLES)
    away = ANGLES * reach
    if make.kind in ("keeled", "cloth", "smooth", "sporty"):
        lit -= 0.14 * np.exp(-(away**2) / 2) + 0.05 * np.exp(-((away - 2) ** 2) / 2.5)
    if make.kind == "sporty":
        lit -= 0.2 * np.exp(-((np.abs(away) - 24) ** 2) / 2)
    if make.kind == "cup":
        lit -= 0.13 * ANGLES**2
    return (lit + make.gloss * np.exp(-((4 * (ANGLES - 0.25 * light.side)) ** 2))).astype(np.float32)


def _downwards(height: float, make: Make) -> list[tuple[Plane, Plane | None]]:
    """Brightness by the share of the height: light from above, pleats and folds.

    With it comes by how much its lines bend with the angle, if they do.
    """
    share = np.linspace(*_SHARES, len(ANGLES))
    lit = 0.06 - 0.14 * np.clip(share, 0, 1.2) ** 2
    if make.kind == "cup":
        lit = 0.1 - 0.5 * (share - 0.4) ** 2
    if make.kind != "folded":
        return [((lit + sum(_pleat((share - at) * height) for at in make.seams)).astype(np.float32), None)]
    bent = (0.14 * (ANGLES**2 - 0.3)).astype(np.float32)
    upper, lower = ((share - at) * height for at in make.seams)
    above = lit + _pleat(upper) - 0.05 * np.tanh(upper)
    return [(above.astype(np.float32), bent), ((_pleat(lower) - 0.07 * np.tanh(lower)).astype(np.float32), -bent)]


def _pleat(way: Plane) -> Plane:
    """Dark below its edge, light above it; `way` in pixels."""
    return 0.07 * np.exp(-((way + 2) ** 2) / 5) - 0.17 * np.exp(-((way - 1.2) ** 2) / 3)


def _edges(make: Make) -> Plane:
    """Brightness by the distance from the edge: it turns away from the light, and may be sewn."""
    near = np.linspace(*_NEAR, len(ANGLES))
    return (make.hem * np.exp(-((0.7 * (near - 4)) ** 2)) - 0.10 * np.exp(-0.45 * near)).astype(np.float32)


def _crumple(surface: Surface, make: Make, light: Light, rng: np.random.Generator) -> Plane:
    """Light on creases, and the structure of the cloth."""
    tile = creases()[make.crease]
    rows, columns = surface.around.shape
    high = _patch(tile, (rows + 1, columns + 1), rng)
    slope = high[1:, 1:] - high[:-1, 1:] + np.float32(light.side + 0.2) * (high[1:, 1:] - high[1:, :-1])
    # Up to half as bright again, and no darker than half, however deep the crease.
    lit = np.float32(0.45) * np.tanh(slope * np.float32(1.3 * make.crumpled))
    if make.knit_depth > 0.02:
        lit += np.float32(make.knit_depth) * _patch(knits()[make.knit], surface.around.shape, rng)
    return lit


def _dyed(surface: Surface, make: Make, light: Light, rng: np.random.Generator) -> Plane:
    """Its colours in the photograph's even light, (3, rows, columns); (3, 1, 1) without a print."""
    base, first, second = (_planes(colour * light.tint) for colour in make.colours)
    if make.printed is None:
        return base
    zoom = np.float32(1 / make.print_size)
    offset = rng.uniform(0, SIDE, 2).astype(np.float32)
    columns = surface.around * np.float32(surface.reach * zoom) + offset[0]
    rows = surface.down * zoom + offset[1]
    shares = cv2.remap(prints()[make.printed], columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    one, two = cv2.split(shares)
    colour = base + one * (first - base)
    colour += two * (second - colour)
    return colour


def _valve(shade: Plane, surface: Surface, around: float, row: Plane) -> Plane:
    """A disc with a rim and slats: where it is, 0-1; draws its light into `shade`."""
    across = (surface.around - np.float32(around)) * np.float32(0.9 * surface.reach)
    away = np.sqrt(across**2 + (surface.down - row) ** 2)
    disc = np.clip(np.float32(_VALVE) - away, 0, 1)
    shade *= 1 - disc
    lit = 1 + np.float32(0.12) * np.sin((surface.down - row) * np.float32(1.4))
    lit -= np.float32(0.45) * np.exp(-((away - 8.5) ** 2)) - np.float32(0.2) * np.exp(-((away - 6.5) ** 2))
    shade += disc * lit
    shade -= np.float32(0.25) * np.exp(-((away - _VALVE - 1.5) ** 2) * 0.25) * (1 - disc)
    return disc


def _patch(tile: Plane, shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Somewhere out of a tile that repeats, turned or mirrored."""
    kind, row, column = (int(value) for value in rng.integers(0, (8, SIDE, SIDE)))
    turned = tile.T if kind & 1 else tile
    turned = turned[:: -1 if kind & 2 else 1, :: -1 if kind & 4 else 1]
    return turned[row : row + shape[0], column : column + shape[1]]


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """White noise of unit variance."""
    row, column = (int(value) for value in rng.integers(0, SIDE, 2))
    return grain()[row : row + shape[0], column : column + shape[1]]
