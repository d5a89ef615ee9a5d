"""What a mask is made of: its kind, colours, cloth and seams, drawn at random."""

from dataclasses import dataclass

import numpy as np

from shared.face_masks.surface import Plane
from shared.face_masks.weave import CREASES, PRINTS, knits

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
