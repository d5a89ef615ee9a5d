"""One photograph, answered for the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.faces.image_io import UnusableImageError, decode
from shared.predictor import Face, Predictor
from shared.showing.boxes import Box, shown_size
from shared.showing.heat import lay_heat

Pixels = NDArray[np.uint8]

SENTENCES = {
    "empty file": "This file is empty. Please choose another.",
    "not an image": "This file is no image that can be read here. JPEG, PNG and WebP are fine.",
    "truncated": "This image was cut short, perhaps while it was sent or saved. Please choose another.",
}
"""What is wrong with a file, for people; all else is told in a general sentence."""


@dataclass(frozen=True)
class Sight:
    """A photograph and its faces."""

    pixels: Pixels
    """As shown, upright, RGB (H, W, 3)."""
    faces: Sequence[Face]
    """As one reads: from left to right, row by row."""
    crops: Sequence[Pixels]
    """Of each face, aligned, RGB (256, 256, 3)."""
    boxes: Sequence[Box]
    """Of each face, in pixels as shown."""

    def face_at(self, x: float, y: float) -> int | None:
        """The face at a point of the image as shown; of several the smallest."""
        hits = [at for at, (x0, y0, x1, y1) in enumerate(self.boxes) if x0 <= x <= x1 and y0 <= y <= y1]
        return min(hits, key=lambda at: self.boxes[at][2] - self.boxes[at][0]) if hits else None


@dataclass(frozen=True)
class Viewer:
    """Looks at photographs with a predictor."""

    predictor: Predictor

    def look(self, path: str | Path) -> Sight | str:
        """The photograph answered, or a sentence that says why it can't be."""
        content = Path(path).read_bytes()
        try:
            image = decode(content)
        except UnusableImageError as problem:
            return SENTENCES.get(str(problem), f"This image cannot be used: {problem}. Please choose another.")
        found = self.predictor.find([content])
        (photograph,) = self.predictor.answer(found)
        pixels = shown_size(image.pixels)
        scale = max(image.width, image.height) / max(pixels.shape[:2])
        order = reading_order([face.box for face in photograph.faces])
        faces = [photograph.faces[at] for at in order]
        boxes = [_shrunk(face.box, scale) for face in faces]
        return Sight(pixels, faces, [found[0].faces[at].crop for at in order], boxes)

    def heat(self, sight: Sight, at: int) -> dict[str, Pixels]:
        """Of each specialist that torch runs, what it sees of a face, lit up where it looked: the mean of its folds."""
        images = {name: _lit(trained.members, sight.crops[at]) for name, trained in self.predictor.specialists.items()}
        return {name: image for name, image in images.items() if image is not None}


def reading_order(boxes: Sequence[Box]) -> list[int]:
    """Indices of boxes from left to right, row by row; a row begins where the last one's first face ends."""
    rows: list[list[int]] = []
    for at in sorted(range(len(boxes)), key=lambda at: boxes[at][1]):
        if not rows or boxes[at][1] >= boxes[rows[-1][0]][3]:
            rows.append([])
        rows[-1].append(at)
    return [at for row in rows for at in sorted(row, key=lambda at: boxes[at][0])]


def _shrunk(box: Box, scale: float) -> Box:
    x0, y0, x1, y1 = ((place + 0.5) / scale - 0.5 for place in box)
    return x0, y0, x1, y1


def _lit(members: Sequence[Any], crop: Pixels) -> Pixels | None:
    if any(member.network is None for member in members):
        return None
    from shared.showing.grad_cam import heat_of

    heats = [heat_of(member.network, member.look([crop])) for member in members]
    known = [heat[0] for heat in heats if heat is not None]
    if not known:
        return None
    # Folds of a run share window and size; runs that do not are shown in the window of the first.
    alike = [heat for heat in known if heat.shape == known[0].shape]
    return lay_heat(members[0].look([crop])[0], np.mean(alike, axis=0).astype(np.float32))
