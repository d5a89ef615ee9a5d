"""A photograph with its faces marked and numbered, and what is said of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]

SHOWN_SIDE = 1400
"""Pixels of the longer side of what is shown."""
CHOSEN = (255, 196, 0)
OTHER = (255, 255, 255)
SHADOW = (24, 32, 40)

LETTERS = 0.17
"""Share of the width of a usual box that letters are high."""
SMALLEST_LETTERS = 11
"""Pixels; smaller ones are not written."""
LEADING, MARGIN = 1.25, 0.4
"""From one line to the next, and around words, in heights of letters."""


def shown_size(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, 3) no larger than `SHOWN_SIDE`."""
    factor = SHOWN_SIDE / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    height, width = (max(1, round(length * factor)) for length in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def draw_boxes(
    pixels: NDArray[np.uint8], boxes: Sequence[Box], answers: Sequence[Sequence[str]], chosen: int | None
) -> NDArray[np.uint8]:
    """A copy with a box around each face and its answers below, line by line; the chosen face is stressed.

    Boxes are in pixels of this image. Several faces are numbered from 1; where a face is too small for words, or its
    words would lie upon another's, it has its number alone.
    """
    image = Image.fromarray(pixels)
    wide = float(np.median([x1 - x0 for x0, _, x1, _ in boxes] or [0]))
    letters = min(LETTERS * wide, max(image.size) / 40)
    pen = Pen(ImageDraw.Draw(image), max(2, round(max(image.size) / 300)), letters, image.size)
    taken: list[Box] = []
    # The chosen face is drawn last, so that no neighbour covers it, but finds a place for its words first.
    order = sorted(range(len(boxes)), key=lambda at: at != chosen)
    labels = {at: pen.place(boxes[at], answers[at], taken) for at in order}
    for at in reversed(order):
        number = str(at + 1) if len(boxes) > 1 else ""
        pen.mark(boxes[at], CHOSEN if at == chosen else OTHER, number)
        label = labels[at]
        if label is not None:
            pen.write(label, answers[at], CHOSEN if at == chosen else OTHER)
    return np.asarray(image)


@dataclass(frozen=True)
class Pen:
    """Draws on one image."""

    draw: ImageDraw.ImageDraw
    line: int
    """Pixels."""
    letters: float
    """Pixels that they are high."""
    size: tuple[int, int]
    """Of the image, width and height."""

    def mark(self, box: Box, colour: Colour, number: str) -> None:
        """A box with rounded corners, and its number in one of them."""
        x0, y0, x1, y1 = box
        radius = 0.08 * (x1 - x0)
        edge = max(1, self.line // 2)
        around = (x0 - edge, y0 - edge, x1 + edge, y1 + edge)
        self.draw.rounded_rectangle(around, radius, outline=SHADOW, width=self.line + 2 * edge)
        self.draw.rounded_rectangle(box, radius, outline=colour, width=self.line)
        if number:
            height = max(14.0, min(8.0 * self.line, 0.25 * (x1 - x0)))
            # Inside the image, where the box begins beyond its edge.
            self._words((max(0.0, x0), max(0.0, y0)), [number], height, colour)

    def place(self, box: Box, lines: Sequence[str], taken: list[Box]) -> Box | None:
        """Where a face's words go: below its box, or else above; None where there is no room. Added to `taken`."""
        width, tall = self._measure(lines, self.letters)
        if self.letters < SMALLEST_LETTERS or width > self.size[0]:
            return None
        left = min(max(0.0, (box[0] + box[2] - width) / 2), self.size[0] - width)
        for top in (box[3] + 2 * self.line, box[1] - 2 * self.line - tall):
            label = (left, top, left + width, top + tall)
            if left >= 0 <= top and label[3] <= self.size[1] and not any(_touch(label, other) for other in taken):
                taken.append(label)
                return label
        return None

    def write(self, label: Box, lines: Sequence[str], colour: Colour) -> None:
        """Words where `place` found room."""
        self._words(label[:2], lines, self.letters, colour)

    def _measure(self, lines: Sequence[str], height: float) -> tuple[float, float]:
        font = ImageFont.load_default(height)
        wide = max(self.draw.textlength(text, font) for text in lines)
        return wide + 2 * MARGIN * height, (LEADING * len(lines) + MARGIN) * height

    def _words(self, corner: tuple[float, float], lines: Sequence[str], height: float, colour: Colour) -> None:
        (x, y), font = corner, ImageFont.load_default(height)
        width, tall = self._measure(lines, height)
        self.draw.rounded_rectangle((x, y, x + width, y + tall), 0.3 * height, fill=colour)
        for number, text in enumerate(lines):
            middle = y + (MARGIN / 2 + LEADING * (number + 0.5)) * height
            self.draw.text((x + width / 2, middle), text, SHADOW, font, anchor="mm")


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
