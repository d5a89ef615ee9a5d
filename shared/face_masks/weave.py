"""Cloth and prints as tiles that repeat, made once in a process from fixed seeds."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from shared.face_masks.surface import Plane

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
