"""What keeps a network from learning its pictures by heart, around any loss: label smoothing and mixup."""

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K) and targets (B, ...) to a scalar."""


def smoothed(loss: Loss, share: float) -> Loss:
    """A loss that takes this share of every label to be spread evenly over all K outputs of a softmax.

    On top of cross-entropy this is label smoothing as in Szegedy et al., "Rethinking the Inception Architecture", 2016.
    """
    if not share:
        return loss

    def smooth(logits: Tensor, targets: Tensor) -> Tensor:
        return (1 - share) * loss(logits, targets) - share * logits.log_softmax(1).mean()

    return smooth


def mixed(pictures: Tensor, loss: Loss, strength: float) -> tuple[Tensor, Loss]:
    """Pictures (B, ...) each laid over another of the batch, and the loss that asks for both labels in proportion.

    One share for the batch, from Beta(strength, strength); 0 mixes nothing. Zhang et al., "mixup", ICLR 2018.
    """
    if not strength:
        return pictures, loss
    share = torch.distributions.Beta(strength, strength).sample().item()
    # Drawn on the CPU: the same on every device.
    partner = torch.randperm(len(pictures)).to(pictures.device)
    both = share * pictures.float() + (1 - share) * pictures[partner].float()

    def of_both(logits: Tensor, targets: Tensor) -> Tensor:
        return share * loss(logits, targets) + (1 - share) * loss(logits, targets[partner])

    return both, of_both
