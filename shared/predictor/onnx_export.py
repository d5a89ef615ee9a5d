"""Export networks to ONNX, and check each against PyTorch."""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.faces.mtcnn import build_pyramid
from shared.faces.mtcnn_nets import PNet, load_nets, normalise
from shared.messages import UserError
from shared.predictor.ensemble import FoldNetwork, open_session
from shared.training.model import Features
from shared.training.run_folder import HEADER, CheckpointMetadata

Pixels = NDArray[np.uint8]

OPSET = 18
"""ONNX operator set: every onnxruntime since 1.14 has it."""

TOLERANCE = 1e-4
"""Largest allowed difference from PyTorch in logits, probabilities, and shares of a box's side."""

BATCHES = (1, 3)
"""Batch sizes that each network is checked with, besides all images at once."""

DETECTOR = {
    "pnet": ((96, 96), (64, 48), (31, 77)),
    "rnet": ((24, 24),),
    "onet": ((48, 48),),
}
"""The nets of the detector, with the heights and widths that each is checked with: P-Net takes any."""


class Export(NamedTuple):
    """An ONNX file that was checked against PyTorch."""

    content: bytes
    difference: float
    """Largest difference from PyTorch in any output."""


class _FromBytes(nn.Module):
    """A net of the detector that takes uint8 pixels, as `shared.faces.mtcnn.Net` does."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, pieces: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net(normalise(pieces)))


class _Rectifier(nn.Module):
    """A PReLU in operators for which onnxruntime has fast kernels: the detector's nets take half to two thirds of the
    time, with the same outputs."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return x.relu() + self.weight.view(-1, *[1] * (x.ndim - 2)) * x.clamp(max=0)


class _TwoClasses(nn.Module):
    """The softmax of two classes (N, 2, ...) as a sigmoid, for which onnxruntime moves no axes."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x - x.flip(1))


class _PooledStage(nn.Module):
    """Convolution, PReLU and max pooling, with the PReLU after the pooling, on a quarter of the places.

    A rising PReLU can change places with a maximum. One that falls on the left (slope a < 0) is max(x, a x), so that
    its maximum is the larger one of max(x) and max(a x): for these channels the convolution also returns a x.
    """

    def __init__(self, conv: nn.Conv2d, prelu: nn.PReLU, pool: nn.Module):
        super().__init__()
        slopes, count = prelu.weight.detach(), conv.out_channels
        falling = slopes < 0
        scale = slopes[falling]
        assert conv.bias is not None
        self.conv = nn.Conv2d(conv.in_channels, count + len(scale), 3)
        self.conv.weight.data = torch.cat([conv.weight, conv.weight[falling] * scale.view(-1, 1, 1, 1)])
        self.conv.bias = nn.Parameter(torch.cat([conv.bias, conv.bias[falling] * scale]))
        self.pool, self.rectifier, self.count = pool, _Rectifier(slopes.clamp(min=0)), count
        self.falling = falling.view(-1, 1, 1)
        self.other = torch.where(falling, count - 1 + falling.cumsum(0), torch.arange(count))

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(self.conv(x))
        rising = self.rectifier(pooled[:, : self.count])
        return torch.where(self.falling, torch.maximum(rising, pooled.index_select(1, self.other)), rising)


def _for_onnxruntime(net: nn.Module) -> nn.Module:
    """Return a copy of a net of the detector with the same outputs, made of what onnxruntime runs fast."""
    net = deepcopy(net)
    net.probabilities = _TwoClasses()
    if isinstance(net, PNet):  # The pooling windows of the others overlap: there it is no gain.
        net.conv1, net.prelu1 = _PooledStage(net.conv1, net.prelu1, net.pool1), nn.Identity()  # type: ignore[assignment]
        net.pool1 = nn.Identity()  # type: ignore[assignment]
    for name, layer in list(net.named_children()):
        if isinstance(layer, nn.PReLU):
            setattr(net, name, _Rectifier(layer.weight))
    return net


def export_network(network: FoldNetwork, metadata: CheckpointMetadata, crops: Sequence[Pixels], name: str) -> Export:
    """Export a specialist's network: images uint8 (batch, size, size, 3) to logits (batch, K).

    Of a network with a frozen body only that is exported, to features (batch, D). Raises `UserError` if any output for
    any crop differs from PyTorch by more than `TOLERANCE`.
    """
    module = Features(network.module) if metadata.frozen else network.module
    content = _export(module, (network.size, network.size), 1, {HEADER: json.dumps(asdict(metadata))})
    return Export(content, check(content, module, [network.inputs(crops)], name))


def with_float16_weights(content: bytes) -> bytes:
    """Return an ONNX file whose weights are kept as float16 and cast to float32 when it is loaded: half as large.

    Exact for weights that are float16 numbers.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(content)
    casts, kept = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 16:
            kept.append(tensor)
            continue
        half = f"{tensor.name}_float16"
        kept.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:], model.graph.value_info[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def export_detector(crops: Sequence[Pixels]) -> list[Export]:
    """Export the nets in `DETECTOR`; raises `UserError` as `export_network` does."""
    nets = load_nets("cpu")._asdict()
    exports = []
    for name, sizes in DETECTOR.items():
        net = _FromBytes(nets[name]).eval()
        # P-Net slides over images of any height and width; the others judge pieces of one size.
        quick = _FromBytes(_for_onnxruntime(nets[name])).eval()
        content = _export(quick, sizes[-1], 3 if name == "pnet" else 1, {})
        pieces = [np.stack([_resized(crop, *size) for crop in crops]) for size in sizes]
        exports.append(Export(content, check(content, net, pieces, name)))
    return exports


def _resized(crop: Pixels, height: int, width: int) -> Pixels:
    pixels = build_pyramid(crop, max(height, width)).levels[0]
    return np.ascontiguousarray(pixels[:height, :width])


@torch.inference_mode()
def check(content: bytes, network: nn.Module, inputs: Sequence[Pixels], name: str) -> float:
    """Return the largest difference of an ONNX file's outputs from PyTorch's; raises `UserError` beyond `TOLERANCE`."""
    session = open_session(content, name)
    largest = 0.0
    for images in inputs:
        for count in (*BATCHES, len(images)):
            expected = network(torch.from_numpy(images[:count]))
            outputs = session.run(None, {session.get_inputs()[0].name: images[:count]})
            for one, other in zip(outputs, [expected] if isinstance(expected, Tensor) else expected, strict=True):
                if one.shape != tuple(other.shape):
                    raise UserError(f"{name}: ONNX output has shape {one.shape}, PyTorch {tuple(other.shape)}")
                largest = max(largest, float(np.abs(one - other.numpy()).max()))
    if not largest <= TOLERANCE:  # Also if it is NaN.
        raise UserError(
            f"{name}: ONNX differs from PyTorch by {largest:.1e}, more than {TOLERANCE:.0e}; nothing was written. "
            "Bundle without --onnx, or train another --backbone"
        )
    return largest


def _export(network: nn.Module, size: tuple[int, int], dynamic_axes: int, metadata: Mapping[str, str]) -> bytes:
    """Return a network as the content of an ONNX file with `metadata`.

    It takes uint8 images (N, *size, 3), of any size on the first `dynamic_axes` axes. Raises `UserError` if the onnx
    extra is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch exports with it
    except ModuleNotFoundError as error:
        raise UserError(f"--onnx needs {error.name}: pip install 'face18[onnx]'") from None
    with _quiet_exporter():
        program = torch.onnx.export(
            network.to(memory_format=torch.contiguous_format),
            (torch.zeros(2, *size, 3, dtype=torch.uint8),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            dynamic_shapes=(dict.fromkeys(range(dynamic_axes), torch.export.Dim.DYNAMIC),),
            verbose=False,
        )
    assert program is not None, "without a file name, torch returns the program"
    model = without_traces(program.model_proto)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    file = io.BytesIO()
    onnx.save(model, file)
    return file.getvalue()


def without_traces(model: Any) -> Any:
    """Remove what the exporter notes for debugging: stack traces with the paths of this machine, in every node."""
    things = [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]
    for thing in (*things, *model.graph.initializer, *model.functions):
        thing.ClearField("doc_string")
        if "metadata_props" in thing.DESCRIPTOR.fields_by_name:
            thing.ClearField("metadata_props")
    return model


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence torch's exporter, which warns of its own changes and logs every step."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
