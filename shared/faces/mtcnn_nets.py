"""The three nets of MTCNN in torch, with the weights of facenet-pytorch.

They are written out because importing that package also imports torchvision, which takes every worker process as long
as torch itself. A test compares their outputs with those of the package's own nets.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.faces.mtcnn import Detector, Net

NET_BATCH = 32
"""Patches per batch on the CPU; larger batches do not fit into its cache."""


class PNet(nn.Module):
    """(n, 3, height, width) -> box offsets (n, 4, h, w) and probabilities of (no face, face), (n, 2, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)
        self.probabilities: nn.Module = nn.Softmax(dim=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(images)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), self.probabilities(self.conv4_1(x))


class RNet(nn.Module):
    """(n, 3, 24, 24) -> box offsets (n, 4) and probabilities of (no face, face), (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)
        self.probabilities: nn.Module = nn.Softmax(dim=1)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool(self.prelu1(self.conv1(patches)))
        x = self.pool(self.prelu2(self.conv2(x)))
        x = self.prelu4(self.dense4(_flat(self.prelu3(self.conv3(x)))))
        return self.dense5_2(x), self.probabilities(self.dense5_1(x))


class ONet(nn.Module):
    """(n, 3, 48, 48) -> box offsets (n, 4), landmarks (n, 10: x, then y), probabilities of (no face, face) (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.pool, self.pool3 = nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(2, 2, ceil_mode=True)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)
        self.probabilities: nn.Module = nn.Softmax(dim=1)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.pool(self.prelu1(self.conv1(patches)))
        x = self.pool(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu5(self.dense5(_flat(self.prelu4(self.conv4(x)))))
        return self.dense6_2(x), self.dense6_3(x), self.probabilities(self.dense6_1(x))


class Nets(NamedTuple):
    """The three nets, ready for inference."""

    pnet: PNet
    rnet: RNet
    onet: ONet


@cache
def load_nets(device: str) -> Nets:
    """Load the nets to a device, with channels last: on CPUs these small convolutions are twice as fast that way."""
    pnet, rnet, onet = PNet(), RNet(), ONet()
    for net, name in ((pnet, "pnet"), (rnet, "rnet"), (onet, "onet")):
        net.load_state_dict(torch.load(_weights() / f"{name}.pt", weights_only=True))
        net.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
    return Nets(pnet, rnet, onet)


@cache
def load_detector(device: str) -> Detector:
    """Load the nets as functions of arrays."""
    return Detector(*(_from_arrays(net, device) for net in load_nets(device)))


def _from_arrays(net: nn.Module, device: str) -> Net:
    @torch.inference_mode()
    def run(patches: NDArray[np.uint8]) -> tuple[NDArray[np.floating], ...]:
        parts = []
        for batch in torch.from_numpy(patches).split(NET_BATCH if device == "cpu" else len(patches)):
            parts.append([out.cpu() for out in net(normalise(batch.to(device)))])
        return tuple(torch.cat(outs).numpy() for outs in zip(*parts, strict=True))

    return run


def normalise(patches: Tensor) -> Tensor:
    """Scale patches as in the training of the nets: uint8 (n, height, width, 3) to float32 (n, 3, height, width)."""
    return (patches.permute(0, 3, 1, 2).float() - 127.5) / 128


def _weights() -> Path:
    spec = find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("facenet-pytorch is not installed: pip install 'facenet-pytorch<2.6' --no-deps")
    return Path(spec.origin).parent / "data"


def _flat(x: Tensor) -> Tensor:
    """Flatten in the order of the original nets, which were trained in Caffe: width, height, channels."""
    return x.permute(0, 3, 2, 1).flatten(1)
