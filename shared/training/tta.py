"""Test-time augmentation: ways of looking at an image whose answers are averaged. Imports nothing heavy."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.training.options import TtaName


class View(NamedTuple):
    """One way of looking at an image; shifts are shares of its side, to the right and down."""

    mirrored: bool = False
    right: float = 0.0
    down: float = 0.0

    def of(self, images: Any) -> Any:
        """The view of images (B, H, W, 3), a tensor or an array; what a shift uncovers repeats the edge."""
        height, width = images.shape[1:3]
        shown = images[:, _shifted(height, self.down)] if self.down else images
        if not (self.right or self.mirrored):
            return shown
        columns = _shifted(width, self.right)
        return shown[:, :, width - 1 - columns if self.mirrored else columns]


def _shifted(side: int, share: float) -> NDArray[np.int64]:
    """Which row or column is seen at each place, (side,)."""
    return (np.arange(side) - round(share * side)).clip(0, side - 1)


PLAIN = (View(),)
FLIP = (View(), View(mirrored=True))
_SHIFTS = ((0.0, 0.0), (-0.04, 0.0), (0.04, 0.0), (0.0, -0.04), (0.0, 0.04))
ALL = tuple(View(mirrored, right, down) for mirrored in (False, True) for right, down in _SHIFTS)

TTA_VIEWS: dict[TtaName, tuple[View, ...]] = {"none": PLAIN, "flip": FLIP, "all": ALL}
