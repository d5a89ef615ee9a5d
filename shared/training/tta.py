"""Average the probabilities of several networks and of several views of each image.

Training, prediction, the predictor and its ONNX runtime all average here. Nothing heavy is imported: networks are
functions of a view, and images are arrays or tensors.

    each = ensemble_probabilities([lambda view: network(view.of(images))], "flip")
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.training.options import TtaName


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


Predict = Callable[[View], Any]
"""A view to the probabilities (B, K) of B images seen so, an array or a tensor on the CPU."""


def ensemble_probabilities(networks: Iterable[Predict], tta: TtaName) -> NDArray[np.float64]:
    """Return the probabilities (F, B, K) by each of F networks, averaged over views of each image."""
    return np.stack([_mean_over_views(predict, TTA_VIEWS[tta]) for predict in networks])


def _mean_over_views(predict: Predict, views: Sequence[View]) -> NDArray[np.float64]:
    total = predict(views[0])
    for view in views[1:]:
        total = total + predict(view)
    return np.asarray(total / len(views), np.float64)
