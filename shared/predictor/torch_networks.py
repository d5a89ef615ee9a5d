"""Networks that torch runs. Nothing else of the predictor imports torch."""

from collections.abc import Callable

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from shared.messages import UserError
from shared.training.model import Network, fuse_batch_norms
from shared.training.run_folder import CheckpointMetadata


def open_network(content: bytes, metadata: CheckpointMetadata, name: str, device: str) -> Network:
    """The network of a safetensors file, in evaluation mode. Raises `UserError` where the tensors do not fit."""
    network = Network(metadata.backbone, metadata.outputs, dropout=0.0, pretrained=False)
    try:
        network.load_state_dict(safetensors.torch.load(content))
    except (RuntimeError, SafetensorError) as error:
        raise UserError(f"{name} is broken, or does not fit its backbone {metadata.backbone}: get it again") from error
    network = network.eval().requires_grad_(False).to(device)
    fuse_batch_norms(network, metadata.size)
    return network.requires_grad_(False)


def logits_of(network: Network, device: str) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Images (B, size, size, 3) to logits (B, K), as arrays."""

    @torch.inference_mode()
    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return network(torch.from_numpy(images).to(device)).float().cpu().numpy()

    return logits
