"""Read the published files of networks that were trained on faces, as layers of PyTorch.

faceres   a TensorFlow.js graph model: a manifest and a file of float16 values
dlib      ONNX files, of which only the initialisers are read

`shared.weights` keeps the files, `shared.training.face_backbones` has the networks that the layers fit.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.messages import UserError
from shared.weights import find_weights

Layer = tuple[Tensor, Tensor]
"""Weight and bias of a convolution or linear layer, in torch's layout."""


def read_faceres() -> dict[str, Tensor]:
    """The arrays of faceres by their original names; raises `UserError` if they were not fetched."""
    files = find_weights("faceres")
    return {name: torch.from_numpy(array) for name, array in read_tfjs(files["faceres.json"]).items()}


def read_tfjs(manifest: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a TensorFlow.js graph model, name -> float32 or int32, from its .json and the files it names.

    Values lie one after the other in the order of the manifest; float16 ones are widened.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for group in json.loads(manifest.read_text(encoding="utf-8"))["weightsManifest"]:
        content = b"".join((manifest.parent / path).read_bytes() for path in group["paths"])
        offset = 0
        for entry in group["weights"]:
            stored = np.dtype(entry.get("quantization", {}).get("dtype", entry["dtype"]))
            count = int(np.prod(entry["shape"], dtype=np.int64))
            if offset + count * stored.itemsize > len(content):
                raise UserError(f"{manifest}: its weights end before {entry['name']}; fetch the files again")
            values = np.frombuffer(content, stored, count, offset).astype(entry["dtype"])
            arrays[entry["name"]] = values.reshape(entry["shape"])
            offset += count * stored.itemsize
    return arrays


def read_dlib(file: str) -> list[Layer]:
    """The layers of one of dlib's networks in order, with scales, offsets and scalars folded into the weights."""
    try:
        import onnx
    except ModuleNotFoundError:
        raise UserError(
            "reading dlib's networks takes onnx, which is not installed: pip install 'face18[onnx]'"
        ) from None
    initialisers = onnx.load(str(find_weights("dlib")[file])).graph.initializer
    return fold_dlib([(entry.name, torch.tensor(onnx.numpy_helper.to_array(entry))) for entry in initialisers])


def fold_dlib(tensors: Sequence[tuple[str, Tensor]]) -> list[Layer]:
    """Name and value of initialisers, in order, to layers.

    Names end in what they are: weights and bias of a layer; then, of a convolution, scale and offset of its output; a
    scalar multiplies the input of the next layer; pads repeat what the architecture says.
    """
    layers: list[Layer] = []
    scalar = torch.ones(())
    for name, tensor in tensors:
        kind = name.rsplit("_", 1)[1]
        if kind == "scalar":
            scalar = tensor
        elif kind == "weights":
            # Linear layers are stored as (inputs, outputs).
            layers.append(((tensor if tensor.ndim == 4 else tensor.T) * scalar, torch.zeros(())))
            scalar = torch.ones(())
        elif kind == "bias":
            layers[-1] = layers[-1][0], tensor
        elif kind == "scale":
            weight, bias = layers[-1]
            layers[-1] = weight * tensor.view(-1, 1, 1, 1), bias * tensor.flatten()
        elif kind == "offset":
            weight, bias = layers[-1]
            layers[-1] = weight, bias + tensor.flatten()
    return layers


def faceres_convolutions(tensors: dict[str, Tensor], blocks: int) -> Iterator[Layer]:
    """The convolutions up to a block in their order, BGR input turned to RGB and the depthwise factors folded in."""
    stem = tensors["conv1/convolution/merged_input"].permute(3, 2, 0, 1)
    yield stem.flip(1), tensors["conv1_bn/batchnorm_1/sub"]
    for number in range(1, blocks + 1):
        depthwise = tensors[f"conv_dw_{number}/depthwise_kernel"].permute(2, 3, 0, 1)
        factor = tensors[f"conv_dw_{number}_bn/batchnorm_1/mul"].view(-1, 1, 1, 1)
        yield depthwise * factor, tensors[f"conv_dw_{number}_bn/batchnorm_1/sub"]
        pointwise = tensors[f"conv_pw_{number}/convolution/merged_input"].permute(3, 2, 0, 1)
        yield pointwise, tensors[f"conv_pw_{number}_bn/batchnorm_1/sub"]
