"""Where a network looked for its answer: Grad-CAM.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017. The
score y of the answer is followed back to the feature maps A of a convolutional layer:

    alpha_k = 1/Z sum_ij dy/dA_ij^k      (1)    how much map k matters, Z being the number of its cells
    L       = ReLU(sum_k alpha_k A^k)    (2)    where maps that speak for the answer are active

The paper's y is the logit of one class. An answer here may be a distribution over years, so y is the mean of the
logits, weighted by the probabilities that the network gave: where it is sure of one class, that is this class's logit.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

FEWEST_CELLS = 6
"""On a side: the deepest layer that still has so many is looked at, for the last one of a small image has three."""


def grad_cam(backbone: Any, images: Tensor, cells: int = FEWEST_CELLS) -> Tensor | None:
    """Maps (B, h, w), float32 with values 0..1, the greatest of each being 1 unless nothing spoke for the answer.

    `images` as the backbone wants them, (B, 3, H, W); `backbone` with timm's `forward_intermediates` and
    `forward_head`. None where it has no maps that Grad-CAM could use (transformers).
    """
    if not hasattr(backbone, "forward_intermediates"):
        return None
    with torch.enable_grad():
        # Asked for by the images: weights may be frozen.
        features, maps = backbone.forward_intermediates(images.detach().clone().requires_grad_())
        layer = _layer(maps, cells)
        logits = backbone.forward_head(features)
        score = (logits * logits.detach().softmax(1)).sum()  # Of all images: none depends on another.
        (gradient,) = torch.autograd.grad(score, layer, allow_unused=True)
    if gradient is None:
        return None
    alpha = gradient.mean((2, 3), keepdim=True)
    heat = functional.relu((alpha * layer).sum(1)).detach().float()
    most = heat.amax((1, 2), keepdim=True)
    return heat / torch.where(most > 0, most, 1)


def _layer(maps: list[Tensor], cells: int) -> Tensor:
    fine = [layer for layer in maps if min(layer.shape[2:]) >= cells]
    return fine[-1] if fine else maps[0]


def heat_of(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The maps (B, h, w) of a `shared.training.model.Network` for what it sees, uint8 RGB (B, H, W, 3)."""
    seen = torch.from_numpy(images).to(network.mean.device).permute(0, 3, 1, 2)
    heat = grad_cam(network.backbone, (seen - network.mean) / network.std)
    return None if heat is None else heat.cpu().numpy()
