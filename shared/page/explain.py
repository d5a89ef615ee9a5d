"""Heat maps of where each network looked.

They are Grad-CAM: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017. The score y of the prediction is followed back to the feature maps A of a convolutional layer:

    alpha_k = 1/Z sum_ij dy/dA_ij^k      (1)    weight of map k; Z is the number of its cells
    L       = ReLU(sum_k alpha_k A^k)    (2)    where maps that support the prediction are active

The paper's y is the logit of one class. A prediction here may be a distribution over ages, so y is the mean of the
logits, weighted by the predicted probabilities: if the network is sure of one class, y is the logit of that class.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shared.predictor import Predictor

Pixels = NDArray[np.uint8]

FEWEST_CELLS = 6
"""Grad-CAM takes the deepest layer with at least this many cells a side; the last layer of a small image has three."""
STRENGTH = 0.65
"""Share of the heat map's colour where the heat is greatest."""


def heat_maps(predictor: Predictor, crop: Pixels) -> dict[str, Pixels]:
    """Return what each specialist sees of a crop with its heat map on it, by name: the mean over its folds.

    Specialists without a PyTorch network or without convolutional maps are left out.
    """
    images = {name: _heat_map(trained.networks, crop) for name, trained in predictor.specialists.items()}
    return {name: image for name, image in images.items() if image is not None}


def _heat_map(networks: Sequence[Any], crop: Pixels) -> Pixels | None:
    if any(network.module is None for network in networks):
        return None
    heats = [network_heat(network.module, network.inputs([crop]), network.head) for network in networks]
    known = [heat[0] for heat in heats if heat is not None]
    if not known:
        return None
    # The folds of one run have the same size; runs of another size are left out of the mean.
    alike = [heat for heat in known if heat.shape == known[0].shape]
    return overlay_heat(networks[0].inputs([crop])[0], np.mean(alike, axis=0).astype(np.float32))


def network_heat(network: Any, images: Pixels, head: tuple[int, int] | None = None) -> NDArray[np.float32] | None:
    """Return the Grad-CAM maps (B, h, w) of a `shared.training.model.Network` for uint8 RGB images (B, H, W, 3).

    `head` are first and end of the logits that count; None for all.
    """
    pixels = torch.from_numpy(images).to(network.mean.device).permute(0, 3, 1, 2)
    heat = grad_cam(network.backbone, (pixels - network.mean) / network.std, head)
    return None if heat is None else heat.cpu().numpy()


def grad_cam(
    backbone: Any, images: Tensor, head: tuple[int, int] | None = None, cells: int = FEWEST_CELLS
) -> Tensor | None:
    """Return Grad-CAM maps (B, h, w), float32 from 0 to 1, each divided by its maximum.

    `images` (B, 3, H, W) are normalised for the backbone, which has timm's `forward_intermediates` and `forward_head`.
    Returns None if its maps cannot be used (transformers).
    """
    if not hasattr(backbone, "forward_intermediates"):
        return None
    with torch.enable_grad():
        # The images require the gradient because the weights may be frozen.
        features, maps = backbone.forward_intermediates(images.detach().clone().requires_grad_())
        fine = [layer for layer in maps if min(layer.shape[2:]) >= cells]
        layer = fine[-1] if fine else maps[0]
        logits = backbone.forward_head(features)[:, slice(*head or (None,))]
        score = (logits * logits.detach().softmax(1)).sum()  # The sum is over images, which do not interact.
        (gradient,) = torch.autograd.grad(score, layer, allow_unused=True)
    if gradient is None:
        return None
    alpha = gradient.mean((2, 3), keepdim=True)  # (1)
    heat = functional.relu((alpha * layer).sum(1)).detach().float()  # (2)
    most = heat.amax((1, 2), keepdim=True)
    return heat / torch.where(most > 0, most, 1)


def overlay_heat(image: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """Return an image (S, S, 3), uint8 RGB, in grey with a heat map (h, w) of 0 to 1 laid over it in colour.

    The heat map is enlarged to the image. The image is made grey because its own colours could look like heat.
    """
    smooth = cv2.resize(heat, image.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colours = cv2.applyColorMap((255 * smooth).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    share = STRENGTH * smooth[:, :, None]
    return ((1 - share) * grey + share * colours).round().astype(np.uint8)
