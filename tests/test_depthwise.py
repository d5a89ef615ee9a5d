"""The quick way of depthwise convolutions gives what torch's own gives."""

import copy

import pytest
import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from shared.training import depthwise
from shared.training.depthwise import quicken


def gradients(convolution: nn.Module, maps: Tensor) -> list[Tensor]:
    """What comes out, and the gradients of the maps and of the kernel, of a sum weighted by chance."""
    maps = maps.clone().requires_grad_()
    out = convolution(maps)
    torch.manual_seed(1)
    (out * torch.randn_like(out)).sum().backward()
    assert maps.grad is not None
    return [out.detach(), maps.grad, next(convolution.parameters()).grad.clone()]  # type: ignore[union-attr]


SIZES = [(1, 1), (2, 2), (3, 4), (5, 5), (6, 2), (7, 7), (8, 14), (9, 9)]
KERNELS = [(3, 3), (5, 5), (5, 3)]


def fits(kind: str, size: tuple[int, int], kernel: tuple[int, int]) -> bool:
    return kind != "none" or (size[0] >= kernel[0] and size[1] >= kernel[1])


CASES = [
    (kind, size, kernel, stride)
    for kind in ("half", "same", "none")
    for size in SIZES
    for kernel in KERNELS
    for stride in (1, 2)
    if fits(kind, size, kernel)
]


@pytest.mark.parametrize(("kind", "size", "kernel", "stride"), CASES)
def test_gradients(
    kind: str, size: tuple[int, int], kernel: tuple[int, int], stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise, "_is_small", lambda *_: True)
    torch.manual_seed(0)
    padding = (kernel[0] // 2, kernel[1] // 2) if kind == "half" else 0
    maker = Conv2dSame if kind == "same" else nn.Conv2d
    plain = maker(6, 6, kernel, stride, padding, groups=6, bias=False).double()
    quick = copy.deepcopy(plain)
    quicken(quick)
    assert type(quick) is not type(plain)
    maps = torch.randn(4, 6, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    for expected, got in zip(gradients(plain, maps), gradients(quick, maps), strict=True):
        assert torch.allclose(expected, got, atol=1e-10)


def test_other_convolutions_stay() -> None:
    kept = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.Conv2d(4, 8, 3, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, dilation=2),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, padding="same"),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, padding=1, padding_mode="reflect"),
    )
    quicken(kept)
    assert {type(module) for module in kept} == {nn.Conv2d}


def test_a_whole_backbone() -> None:
    torch.manual_seed(0)
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=3).to(memory_format=torch.channels_last)
    quick = copy.deepcopy(plain)
    quicken(quick)
    assert quick.state_dict().keys() == plain.state_dict().keys()
    swapped = [name for name, module in quick.named_modules() if type(module) is not type(plain.get_submodule(name))]
    assert len(swapped) == 16, "one in each block"
    maps = torch.randn(4, 3, 64, 64)
    plain(maps).square().sum().backward()
    quick(maps).square().sum().backward()
    for (name, expected), got in zip(plain.named_parameters(), quick.parameters(), strict=True):
        assert expected.grad is not None, name
        assert got.grad is not None, name
        assert torch.allclose(expected.grad, got.grad, rtol=1e-3, atol=1e-4 * expected.grad.abs().max().item()), name


def test_a_copy_has_weights_of_its_own() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False))
    quicken(network)
    copied = copy.deepcopy(network)
    maps = torch.randn(2, 4, 3, 3)
    before = copied(maps)
    with torch.no_grad():
        network[0].weight.zero_()
    assert torch.equal(copied(maps), before)
    assert not network(maps).any()
