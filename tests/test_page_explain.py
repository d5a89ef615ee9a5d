"""Grad-CAM on a network small enough to be worked out by hand, and on timm's."""

from collections.abc import Sequence

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from shared.page.explain import grad_cam, heat_maps, network_heat, overlay_heat
from shared.predictor import Predictor
from shared.training.model import Network

LEFT = torch.tensor([[4.0, 0.0], [0.0, 0.0]])
DOWN = torch.tensor([[0.0, 0.0], [2.0, 2.0]])


class TwoMaps(nn.Module):
    """A backbone: its two feature maps are two colours of the image, a logit is a weighted sum of their means."""

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


@pytest.mark.parametrize(
    ("weights", "heat"),
    [
        # One class: its probability is 1, y = 3 mean(A1) + 6 mean(A2), Z = 4, so alpha = (3/4, 6/4).
        # ReLU(3/4 A1 + 6/4 A2) = [[3, 0], [3, 3]], divided by its maximum.
        ([3.0, 6.0], [[1, 0], [1, 1]]),
        # alpha = (1/4, -1/4): [[1, 0], [-1/2, -1/2]] before ReLU.
        ([1.0, -1.0], [[1, 0], [0, 0]]),
        ([-1.0, -1.0], [[0, 0], [0, 0]]),
    ],
    ids=["both maps support the class", "one map opposes it", "nothing supports it"],
)
def test_the_heat_of_one_class_is_that_of_the_paper(weights: list[float], heat: list[list[int]]) -> None:
    found = grad_cam(TwoMaps([weights]), image(LEFT, DOWN))
    assert found is not None
    assert found[0].tolist() == heat


def test_several_classes_count_by_their_probability() -> None:
    # Means are (1, 1), so logits (a, b), each of which depends on one map only: alpha = (p1 a / 4, p2 b / 4).
    a, b = 2.0, 1.0
    p = torch.tensor([a, b]).softmax(0)
    heat = grad_cam(TwoMaps([[a, 0.0], [0.0, b]]), image(LEFT, DOWN))
    assert heat is not None
    assert heat[0, 0, 0] == 1
    expected = float(p[1] * b * 2 / (p[0] * a * 4))
    assert heat[0, 1].tolist() == pytest.approx([expected, expected])


def test_of_a_network_that_specialists_share_only_the_logits_of_one_count() -> None:
    shared, own = TwoMaps([[5.0, 1.0], [3.0, 6.0]]), TwoMaps([[3.0, 6.0]])
    heat, expected = grad_cam(shared, image(LEFT, DOWN), (1, 2)), grad_cam(own, image(LEFT, DOWN))
    assert heat is not None
    assert expected is not None
    assert torch.equal(heat, expected)


def test_the_ready_made_model_has_a_heat_map_of_every_specialist() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    maps = heat_maps(Predictor.load(device="cpu"), crop)
    assert maps.keys() == {"mask", "gender", "age"}
    assert not np.array_equal(maps["mask"], maps["age"])


def test_the_heat_of_an_image_does_not_depend_on_others_in_the_batch() -> None:
    backbone, others = TwoMaps([[1.0, 2.0], [2.0, -1.0]]), image(DOWN, LEFT)
    alone = grad_cam(backbone, image(LEFT, DOWN))
    together = grad_cam(backbone, torch.cat([others, image(LEFT, DOWN)]))
    assert alone is not None
    assert together is not None
    assert torch.allclose(together[1], alone[0])


def test_the_heat_of_a_timm_network_has_enough_cells() -> None:
    network = Network("test_efficientnet", 3, dropout=0.0, pretrained=False).eval().requires_grad_(False)
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    with torch.inference_mode(False):
        heat = network_heat(network, images)
    assert heat is not None
    assert min(heat.shape[1:]) >= 6
    assert heat.max() == 1
    assert heat.min() >= 0


def test_a_transformer_has_no_heat() -> None:
    backbone = timm.create_model("test_vit", pretrained=False, num_classes=3).eval()
    assert grad_cam(backbone, torch.rand(1, *backbone.default_cfg["input_size"])) is None


def test_hot_places_are_bright_and_the_rest_is_grey() -> None:
    grey = np.full((64, 64, 3), 100, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    lit = overlay_heat(grey, heat)
    assert np.abs(lit[40:, 40:].astype(int) - 100).max() <= 1
    assert int(lit[2, 2, 0]) - int(lit[40, 40, 0]) > 60
