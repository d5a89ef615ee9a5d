"""Depthwise convolutions of small maps, learnt many times faster on a CPU.

Where a map is smaller than a kernel or little larger, oneDNN takes 10 to 45 ms for the gradient of a depthwise kernel
of 5 x 5, and 1 to 2 ms for all else of the layer. The same sums, one for each place of the kernel over all images at
once, take 1 to 8 ms. For EfficientNet-Lite0 that is 1.7 times the speed at 64 px, 1.25 at 96 and next to nothing from
128 on: `benchmarks/train_speed.py` compares.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input

from shared.training.quick_timm import timm

Pair = tuple[int, int]


def quicken(network: nn.Module) -> None:
    """Let the depthwise convolutions of the network take the quick way where it is one; weights stay what they are."""
    for module in network.modules():
        if type(module) in _QUICK and _is_depthwise(module):
            module.__class__ = _QUICK[type(module)]


def _is_depthwise(module: Any) -> bool:
    return bool(
        1 < module.groups == module.in_channels == module.out_channels
        and module.bias is None
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


class _Depthwise(nn.Conv2d):
    stride: Pair
    padding: Pair

    def forward(self, maps: Tensor) -> Tensor:
        return _convolve(maps, self.weight, self.stride, self.padding)


class _DepthwiseSame(timm.layers.Conv2dSame):
    stride: Pair

    def forward(self, maps: Tensor) -> Tensor:
        padded = timm.layers.pad_same(maps, list(self.kernel_size), list(self.stride))
        return _convolve(padded, self.weight, self.stride, (0, 0))


_QUICK: dict[type, type] = {nn.Conv2d: _Depthwise, timm.layers.Conv2dSame: _DepthwiseSame}


def _convolve(maps: Tensor, kernel: Tensor, stride: Pair, padding: Pair) -> Tensor:
    if maps.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and _is_small(maps, kernel, stride, padding):
        return _SmallMaps.apply(maps, kernel, stride, padding)
    return nn.functional.conv2d(maps, kernel, None, stride, padding, groups=len(kernel))


def _is_small(maps: Tensor, kernel: Tensor, stride: Pair, padding: Pair) -> bool:
    """Measured, not derived: where the sums by place take less time than oneDNN."""
    side = kernel.shape[-1]
    out = (maps.shape[-1] + 2 * padding[-1] - side) // stride[-1] + 1
    return out <= 7 if side >= 5 else out < side


class _SmallMaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, kernel: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(maps, kernel)
        ctx.stride, ctx.padding = stride, padding
        return nn.functional.conv2d(maps, kernel, None, stride, padding, groups=len(kernel))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        maps, kernel = ctx.saved_tensors
        of_maps = of_kernel = None
        if ctx.needs_input_grad[0]:
            of_maps = conv2d_input(maps.shape, kernel, gradient, ctx.stride, ctx.padding, groups=len(kernel))
        if ctx.needs_input_grad[1]:
            of_kernel = _kernel_gradient(maps, kernel.shape, gradient, ctx.stride, ctx.padding)
        return of_maps, of_kernel, None, None


def _kernel_gradient(maps: Tensor, shape: torch.Size, gradient: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """(C, 1, h, w): at every place of the kernel, what it was laid over times what came of it, summed."""
    summed = maps.new_zeros(*shape[2:], shape[0])
    # Channels last, as the maps lie in memory.
    maps, gradient = maps.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    for row in range(shape[2]):
        from_rows, to_rows = _laid_over(row, maps.shape[1], gradient.shape[1], stride[0], padding[0])
        for column in range(shape[3]):
            from_columns, to_columns = _laid_over(column, maps.shape[2], gradient.shape[2], stride[1], padding[1])
            laid_over = maps[:, from_rows, from_columns]
            summed[row, column] = (laid_over * gradient[:, to_rows, to_columns]).sum((0, 1, 2))
    return summed.permute(2, 0, 1).unsqueeze(1)


def _laid_over(place: int, size: int, out: int, stride: int, padding: int) -> tuple[slice, slice]:
    """Along one axis, where a place of the kernel meets the map and not its padding: there, and in what comes out."""
    offset = place - padding
    first = max(0, -(offset // stride))
    last = min(out - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first * stride + offset, last * stride + offset + 1, stride), slice(first, last + 1)
