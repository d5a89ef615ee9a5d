"""What is trained: normalisation and a backbone in one module, so that both travel in one weights file."""

from typing import Any

import torch
from torch import Tensor, nn

from shared.training.backbones import create_backbone
from shared.training.choices import Rgb


class Network(nn.Module):
    """Pictures to logits: uint8 RGB (B, H, W, 3) to float32 (B, outputs)."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str,
        outputs: int,
        dropout: float,
        pretrained: bool,
        mean: Rgb | None = None,
        std: Rgb | None = None,
    ):
        """`mean` and `std` are of RGB in 0..1; None takes those the backbone was pretrained with."""
        super().__init__()
        self.backbone = create_backbone(backbone, outputs, dropout, pretrained)
        own: Any = self.backbone.pretrained_cfg
        self.register_buffer("mean", 255 * torch.tensor(mean or own["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std or own["std"]).view(1, 3, 1, 1))
        self.to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor) -> Tensor:
        # Pictures come as bytes with channels last: a quarter of the traffic, and the layout convolutions like.
        channels_first = pictures.permute(0, 3, 1, 2)
        return self.backbone((channels_first - self.mean) / self.std)
