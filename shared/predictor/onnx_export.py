"""Networks written as ONNX, each checked against PyTorch before anybody gets it."""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.faces.mtcnn import build_pyramid
from shared.faces.mtcnn_nets import load_nets, normalise
from shared.messages import UserError
from shared.predictor.ensemble import Member, open_session
from shared.training.run_folder import HEADER, CheckpointMetadata

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Pixels = NDArray[np.uint8]

OPSET = 18
"""Of ONNX: read by every onnxruntime since 1.14."""

TOLERANCE = 1e-4
"""How far an output may be from PyTorch's: logits, probabilities, and shares of a box's side."""

BATCHES = (1, 3)
"""Each network is checked with so many images at a time, and with all of them."""

DETECTOR = ("pnet", "rnet", "onet")


class _FromPieces(nn.Module):
    """A net of the detector from bytes on, as `shared.faces.mtcnn.Net` has it."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, pieces: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net(normalise(pieces)))


def export_member(member: Member, metadata: CheckpointMetadata) -> bytes:
    """The ONNX file of a specialist's network: images uint8 (batch, size, size, 3) to logits (batch, outputs)."""
    example = torch.zeros(2, member.size, member.size, 3, dtype=torch.uint8)
    return _export(member.network, example, ("batch",), {HEADER: json.dumps(asdict(metadata))})


def export_detector() -> dict[str, bytes]:
    """The ONNX files of the three nets that find faces, by the names in `DETECTOR`."""
    nets = load_nets("cpu")._asdict()
    return {
        name: _export(
            _FromPieces(nets[name]).eval(),
            torch.zeros(2, side, side, 3, dtype=torch.uint8),
            ("count", "height", "width") if name == "pnet" else ("count",),
            {},
        )
        for name, side in zip(DETECTOR, (61, 24, 48), strict=True)
    }


def check_member(content: bytes, member: Member, crops: list[Pixels], name: str) -> float:
    """The largest difference from PyTorch in any logit of any crop; raises `UserError` beyond `TOLERANCE`."""
    return _check(open_session(content, name), member.network, [member.look(crops)], name)


def check_detector(contents: Mapping[str, bytes], crops: list[Pixels]) -> dict[str, float]:
    """The same for each net of the detector, on crops at the sizes that it looks at."""
    nets = load_nets("cpu")._asdict()
    sizes = {"pnet": ((96, 96), (64, 48), (31, 77)), "rnet": ((24, 24),), "onet": ((48, 48),)}
    differences = {}
    for name in DETECTOR:
        pieces = [np.stack([_resized(crop, *size) for crop in crops]) for size in sizes[name]]
        session = open_session(contents[name], name)
        differences[name] = _check(session, _FromPieces(nets[name]).eval(), pieces, name)
    return differences


def _resized(crop: Pixels, height: int, width: int) -> Pixels:
    pixels = build_pyramid(crop, max(height, width)).levels[0]
    return np.ascontiguousarray(pixels[:height, :width])


@torch.inference_mode()
def _check(session: "InferenceSession", network: nn.Module, inputs: list[Pixels], name: str) -> float:
    largest = 0.0
    for images in inputs:
        for count in (*BATCHES, len(images)):
            some = images[:count]
            expected = network(torch.from_numpy(some))
            outputs = session.run(None, {session.get_inputs()[0].name: some})
            for one, other in zip(outputs, [expected] if isinstance(expected, Tensor) else expected, strict=True):
                if one.shape != tuple(other.shape):
                    raise UserError(f"{name}: ONNX answers in shape {one.shape}, PyTorch in {tuple(other.shape)}")
                largest = max(largest, float(np.abs(one - other.numpy()).max()))
    if not largest <= TOLERANCE:
        raise UserError(
            f"{name}: ONNX differs from PyTorch by {largest:.1e}, more than {TOLERANCE:.0e}; nothing was written. "
            "Bundle without --onnx, or train another --backbone"
        )
    return largest


def _export(network: nn.Module, example: Tensor, dynamic: tuple[str, ...], metadata: dict[str, str]) -> bytes:
    """The graph as the bytes of an ONNX file; the first axes are dynamic."""
    try:
        import onnx
        import onnxscript  # noqa: F401 - what torch exports with; its absence is told before hours of work
    except ModuleNotFoundError as error:
        raise UserError(f"--onnx needs {error.name}: pip install 'face18[onnx]'") from None
    axes = dict.fromkeys(range(len(dynamic)), torch.export.Dim.DYNAMIC)
    with _quietly():
        program = torch.onnx.export(
            network.to(memory_format=torch.contiguous_format),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            dynamic_shapes=(axes,),
            verbose=False,
        )
    assert program is not None, "without a file name the program is given back"
    model = program.model_proto
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    file = io.BytesIO()
    onnx.save(model, file)
    return file.getvalue()


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter warns of its own future and logs every step."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
