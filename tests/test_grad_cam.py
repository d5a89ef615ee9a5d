"""Grad-CAM on a network small enough to be worked out by hand, and on timm's."""

from collections.abc import Sequence

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from shared.showing.grad_cam import grad_cam, heat_of
from shared.showing.heat import lay_heat
from shared.training.model import Network

LEFT = torch.tensor([[4.0, 0.0], [0.0, 0.0]])
DOWN = torch.tensor([[0.0, 0.0], [2.0, 2.0]])


class TwoMaps(nn.Module):
    """Its two feature maps are two colours of the image; a class's logit is a weighted sum of their means."""

    def __init__(self, weights: Sequence[Sequence[float]]):
        super().__init__()
        self.weights = torch.tensor(weights)

    def forward_intermediates(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        maps = 1.0 * images[:, :2]
        return maps, [maps]

    def forward_head(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3)) @ self.weights.T


def image(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack([first, second, torch.zeros(2, 2)])[None]


def test_the_map_that_speaks_for_the_answer_is_lit() -> None:
    # One class: its probability is 1, y = 3 mean(A1) + 6 mean(A2), Z = 4, so alpha = (3/4, 6/4).
    # ReLU(3/4 A1 + 6/4 A2) = [[3, 0], [3, 3]], and the greatest becomes 1.
    heat = grad_cam(TwoMaps([[3.0, 6.0]]), image(LEFT, DOWN))
    assert heat is not None
    assert heat[0].tolist() == [[1, 0], [1, 1]]


def test_the_map_that_speaks_against_the_answer_is_dark() -> None:
    # alpha = (1/4, -1/4): [[1, 0], [-1/2, -1/2]] before ReLU.
    heat = grad_cam(TwoMaps([[1.0, -1.0]]), image(LEFT, DOWN))
    assert heat is not None
    assert heat[0].tolist() == [[1, 0], [0, 0]]


def test_nothing_is_lit_where_nothing_speaks_for_the_answer() -> None:
    heat = grad_cam(TwoMaps([[-1.0, -1.0]]), image(LEFT, DOWN))
    assert heat is not None
    assert heat.count_nonzero() == 0


def test_several_answers_count_by_their_probability() -> None:
    # Means are (1, 1), so logits (a, b), of which each looks at one map only: alpha = (p1 a / 4, p2 b / 4).
    a, b = 2.0, 1.0
    p = torch.tensor([a, b]).softmax(0)
    heat = grad_cam(TwoMaps([[a, 0.0], [0.0, b]]), image(LEFT, DOWN))
    assert heat is not None
    assert heat[0, 0, 0] == 1
    expected = float(p[1] * b * 2 / (p[0] * a * 4))
    assert heat[0, 1].tolist() == pytest.approx([expected, expected])


def test_a_image_is_lit_alike_alone_and_among_others() -> None:
    backbone, others = TwoMaps([[1.0, 2.0], [2.0, -1.0]]), image(DOWN, LEFT)
    alone = grad_cam(backbone, image(LEFT, DOWN))
    together = grad_cam(backbone, torch.cat([others, image(LEFT, DOWN)]))
    assert alone is not None
    assert together is not None
    assert torch.allclose(together[1], alone[0])


def test_a_trained_network_is_looked_into_where_its_maps_are_fine_enough() -> None:
    network = Network("test_efficientnet", 3, dropout=0.0, pretrained=False).eval().requires_grad_(False)
    seen = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    with torch.inference_mode(False):
        heat = heat_of(network, seen)
    assert heat is not None
    assert min(heat.shape[1:]) >= 6
    assert heat.max() == 1
    assert heat.min() >= 0


def test_a_transformer_has_no_maps() -> None:
    backbone = timm.create_model("test_vit", pretrained=False, num_classes=3).eval()
    size = backbone.default_cfg["input_size"]
    assert grad_cam(backbone, torch.rand(1, *size)) is None


def test_what_is_lit_becomes_bright_and_the_rest_stays_grey() -> None:
    grey = np.full((64, 64, 3), 100, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    lit = lay_heat(grey, heat)
    assert (lit[40:, 40:].astype(int) - 100).__abs__().max() <= 1
    assert int(lit[2, 2, 0]) - int(lit[40, 40, 0]) > 60
