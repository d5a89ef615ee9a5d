"""Batch norms taken into convolutions: the same logits, whatever the backbone."""

import copy

import pytest
import torch
from torch import Tensor, nn

from shared.page.explain import network_heat
from shared.training.model import Network, fuse_batch_norms


def trained(backbone: str) -> Network:
    """As training leaves it: batch norms that have seen something."""
    torch.manual_seed(0)
    network = Network(backbone, 3, dropout=0.0, pretrained=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def images(size: int) -> Tensor:
    return torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


# Those with a convolution before every batch norm; one that has batch norms of its inputs too; one without any.
@pytest.mark.parametrize(
    ("backbone", "size", "left"),
    [
        ("tf_efficientnet_lite0", 64, 0),
        ("resnet18", 64, 0),
        ("mobilenetv3_small_050", 64, 0),
        ("densenet121", 64, 62),
        ("test_vit", 160, 0),
    ],
)
@torch.no_grad()
def test_the_same_logits_without_batch_norms(backbone: str, size: int, left: int) -> None:
    network = trained(backbone)
    plain = copy.deepcopy(network)
    fuse_batch_norms(network, size)
    assert norms(network) == left
    torch.testing.assert_close(network(images(size)), plain(images(size)), rtol=1e-3, atol=1e-3)


class Twice(nn.Module):
    """What its convolution makes is used by the batch norm and beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        made = self.convolution(images)
        out: Tensor = (self.norm(made) + made).mean((2, 3))
        return out


@torch.no_grad()
def test_a_network_that_would_answer_otherwise_stays_as_it_was() -> None:
    network = trained("resnet18")
    network.backbone = Twice().eval()
    network.backbone.norm.running_var.fill_(3)
    before = copy.deepcopy(network.state_dict())
    logits = network(images(32))
    fuse_batch_norms(network, 32)
    assert norms(network) == 1
    assert {name: tensor.tolist() for name, tensor in network.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in before.items()
    }
    assert torch.equal(network(images(32)), logits)


def test_where_a_fused_network_looked_can_still_be_told() -> None:
    network = trained("tf_efficientnet_lite0").requires_grad_(False)
    plain = network_heat(copy.deepcopy(network), images(96).numpy())
    fuse_batch_norms(network, 96)
    torch.testing.assert_close(
        torch.tensor(network_heat(network, images(96).numpy())), torch.tensor(plain), rtol=1e-2, atol=1e-2
    )
