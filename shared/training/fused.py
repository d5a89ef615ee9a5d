"""Batch norms of a trained network taken into the convolutions before them: the same answers, sooner.

In evaluation a batch norm is y = gamma (x - mean) / sqrt(var + eps) + beta with constants, so the convolution that
makes x can have them in its own kernel and bias (Markus, "Fusing batch normalization and convolution in runtime",
2018). `benchmarks/fused_speed.py` measures what it gains.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from shared.training.network import Network
from shared.training.quick_timm import timm

TOLERANCE = 1e-3
"""Of logits, for the sums of floats come in another order; what differs by more has not been understood."""


@torch.no_grad()
def fuse_batch_norms(network: Network, size: int) -> None:
    """Change a network in evaluation mode in place; its logits for pictures of `size` pixels a side stay what they are.

    Which convolution feeds which batch norm is seen from one picture on its way through. Where the logits of that
    picture changed, all is put back: a network may use what a convolution makes in more than one place.
    """
    norms = [module for module in network.modules() if type(module) in _AFTER]
    if not norms:
        return
    picture = torch.arange(size * size * 3, device=network.mean.device).view(1, size, size, 3) % 251
    before, pairs = _watched(network, picture.byte())
    as_it_was = [(holder, name, getattr(holder, name)) for holder, name in _places(network, pairs)]
    kernels = [(convolution, convolution.weight, convolution.bias) for convolution, _ in pairs]
    for (convolution, norm), (holder, name, _) in zip(pairs, as_it_was, strict=True):
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        setattr(holder, name, _AFTER[type(norm)](norm))
    after = network(picture.byte())
    if not torch.allclose(before, after, rtol=TOLERANCE, atol=TOLERANCE):
        for convolution, weight, bias in kernels:
            convolution.weight, convolution.bias = weight, bias
        for holder, name, norm in as_it_was:
            setattr(holder, name, norm)


_AFTER: dict[type, Any] = {
    nn.BatchNorm2d: lambda _: nn.Identity(),
    timm.layers.BatchNormAct2d: lambda norm: nn.Sequential(norm.drop, norm.act),
}
"""What is left to do where a batch norm was; timm's does its activation too."""


def _watched(network: Network, picture: Tensor) -> tuple[Tensor, list[tuple[Any, Any]]]:
    """Logits, and the pairs of a convolution and the batch norm that is given its output, each called once."""
    made: dict[int, tuple[Any, Tensor]] = {}
    pairs: list[tuple[Any, Any]] = []
    calls: dict[Any, int] = {}

    def convolved(module: nn.Module, _: Any, out: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        made[id(out)] = module, out  # Kept, so that no other tensor gets its number.

    def normed(module: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if id(given[0]) in made:
            pairs.append((made[id(given[0])][0], module))

    hooks = [
        module.register_forward_hook(convolved if isinstance(module, nn.Conv2d) else normed)
        for module in network.modules()
        if isinstance(module, nn.Conv2d) or (type(module) in _AFTER and module.running_mean is not None)
    ]
    try:
        logits = network(picture)
    finally:
        for hook in hooks:
            hook.remove()
    return logits, [pair for pair in pairs if all(calls[module] == 1 for module in pair)]


def _places(network: nn.Module, pairs: list[tuple[Any, Any]]) -> list[tuple[nn.Module, str]]:
    """Where the batch norms of the pairs stand: the module that has it, and under which name."""
    at = {child: (module, name) for module in network.modules() for name, child in module.named_children()}
    return [at[norm] for _, norm in pairs]
