"""Average the probabilities of several networks and of several views of each image.

Training, prediction, the predictor and its ONNX runtime all average here. Nothing heavy is imported: networks are
functions, and images are arrays or tensors.

    each = ensemble_probabilities([(network, images), (other, other_images)], "flip")
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.training.options import TtaName

Predict = Callable[[Any], Any]
"""Images (B, H, W, 3) to probabilities (B, K), both arrays or tensors on the CPU."""


class View(NamedTuple):
    """A test-time augmentation: an optional mirror image, and a shift in shares of the image's side."""

    mirrored: bool = False
    right: float = 0.0
    down: float = 0.0

    def of(self, images: Any) -> Any:
        """Return the view of images (B, H, W, 3), tensor or array. Shifts repeat the edge."""
        height, width = images.shape[1:3]
        shown = images[:, _shifted(height, self.down)] if self.down else images
        if not (self.right or self.mirrored):
            return shown
        columns = _shifted(width, self.right)
        return shown[:, :, width - 1 - columns if self.mirrored else columns]


def _shifted(side: int, share: float) -> NDArray[np.int64]:
    """Return the source row or column of each place (side,)."""
    return (np.arange(side) - round(share * side)).clip(0, side - 1)


_SHIFTS = ((0.0, 0.0), (-0.04, 0.0), (0.04, 0.0), (0.0, -0.04), (0.0, 0.04))

TTA_VIEWS: dict[TtaName, tuple[View, ...]] = {
    "none": (View(),),
    "flip": (View(), View(mirrored=True)),
    "all": tuple(View(mirrored, right, down) for mirrored in (False, True) for right, down in _SHIFTS),
}


def ensemble_probabilities(networks: Iterable[tuple[Predict, Any]], tta: TtaName) -> NDArray[np.float64]:
    """Return the probabilities (F, B, K) by each of F networks, averaged over views of each image.

    Every network comes with the B images as it sees them, since its window and size may be its own.
    """
    return np.stack([_mean_over_views(predict, images, tta) for predict, images in networks])


def _mean_over_views(predict: Predict, images: Any, tta: TtaName) -> NDArray[np.float64]:
    views = TTA_VIEWS[tta]
    total = predict(views[0].of(images))
    for view in views[1:]:
        total = total + predict(view.of(images))
    return np.asarray(total / len(views), np.float64)
