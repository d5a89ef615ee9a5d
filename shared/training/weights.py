"""Trained networks as files that are safe to open: safetensors, with all that is needed to use them in the header."""

import json
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from shared.atomic import replacing
from shared.errors import UserError
from shared.training.network import Network
from shared.training.passport import HEADER, Passport


def save_weights(path: Path, tensors: dict[str, Tensor], passport: Passport) -> None:
    """Write a network's state, whole or not at all."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Not into the file at once: safetensors reports a full disk in its own way, and lets nobody else read the file.
    content = safetensors.torch.save(contiguous, metadata={HEADER: json.dumps(asdict(passport))})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load_weights(path: Path) -> Network:
    """The network of a weights file, in evaluation mode.

    Raises `UserError` where the file is missing, cut short, no safetensors file, or not one of ours.
    """
    passport = read_passport(path)
    network = Network(passport.backbone, passport.outputs, dropout=0.0, pretrained=False)
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{path} does not fit its own backbone {passport.backbone}; remove {path.parent} and train this fold again"
        ) from error
    return network.eval()


def read_passport(path: Path) -> Passport:
    """Only the header of a weights file; raises `UserError` as `load_weights` does."""
    if not path.is_file():
        raise UserError(f"{path} is missing; train this fold first")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return Passport(**json.loads(metadata[HEADER]))
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is no whole safetensors file ({error}); remove {path.parent} and train this fold again"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} holds tensors, but not of face18's training; remove {path.parent} and train this fold again"
        ) from error
