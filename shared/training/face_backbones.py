"""Backbones that were trained on faces, as timm models: `timm.create_model("faceres", pretrained=True, num_classes=3)`.

faceres             MobileNet v1 trained on VGGFace2, with age and gender on top (Savchenko, "Efficient facial
                    representations for age, gender and identity recognition", PeerJ Computer Science 5:e197, 2019)
faceres_wide        its mean features and its layer of 256 numbers together before the classifier, 1,280 in all
faceres_mid         its first nine blocks of thirteen: half as slow, and enough for the mask state
faceres_branches    both in one: a common trunk with a branch for the mask state and one for gender and age
dlib_age_resnet10   ResNet-10 for 64 px, trained on about 110,000 private faces (Cydral Technology, dlib-models)
dlib_gender_cnn     a small CNN for 32 px, trained on about 200,000 private faces (the same)
facenet_vggface2    InceptionResnetV1 of facenet-pytorch, trained on VGGFace2; its weights come from its own site

Importing this module registers them. `face18 weights` fetches the files of the first three. Their inputs are
normalised RGB; `pretrained_cfg` holds the mean and standard deviation that reproduce the original preprocessing.
Batch norms (in dlib: scale and offset) are folded into the convolutions, so a trained network has none.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from timm.layers import create_conv2d
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, relu

from shared.messages import UserError
from shared.weights import FACE_BACKBONES, find_weights, read_initialisers, read_tfjs

Layer = tuple[Tensor, Tensor]
"""Weight and bias of a convolution or linear layer, in torch's layout."""

BLOCK_LAYERS = 4
"""Modules of a block of `faceres`: a depthwise and a pointwise convolution, each with its ReLU6."""


def _cfg(name: str, mean: Sequence[float], std: Sequence[float], first_conv: str, classifier: str) -> dict[str, Any]:
    """The pretrained configuration that timm keeps; `mean` and `std` are of RGB in 0..255."""
    facts = FACE_BACKBONES[name]
    return {
        "input_size": (3, facts.size, facts.size),
        "mean": tuple(value / 255 for value in mean),
        "std": tuple(value / 255 for value in std),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "first_conv": first_conv,
        "classifier": classifier,
        "license": facts.licence,
        "description": str(facts),
    }


_DLIB = (122.782, 117.001, 104.298), (256.0, 256.0, 256.0)

default_cfgs = generate_default_cfgs(
    {
        # The original subtracts these means from BGR and does not scale; the stem's weights are reordered to RGB.
        "faceres": _cfg("faceres", (123.68, 116.779, 103.939), (1, 1, 1), "stem", "classifier"),
        "faceres_wide": _cfg("faceres_wide", (123.68, 116.779, 103.939), (1, 1, 1), "stem", "classifier"),
        "faceres_mid": _cfg("faceres_mid", (123.68, 116.779, 103.939), (1, 1, 1), "stem", "classifier"),
        "faceres_branches": _cfg("faceres_branches", (123.68, 116.779, 103.939), (1, 1, 1), "stem", "classifier"),
        "dlib_age_resnet10": _cfg("dlib_age_resnet10", *_DLIB, "stem", "classifier"),
        "dlib_gender_cnn": _cfg("dlib_gender_cnn", *_DLIB, "convolutions.0", "classifier"),
        "facenet_vggface2": _cfg("facenet_vggface2", (127.5,) * 3, (128,) * 3, "body.conv2d_1a.conv", "classifier"),
    }
)


class _FaceModel(nn.Module):
    """What timm expects of a model: features, a head with dropout, and a classifier that can be replaced."""

    num_classes: int
    num_features: int
    """Channels that `forward_features` returns."""
    head_hidden_size: int
    """Numbers that the classifier receives."""

    def _add_classifier(self, num_classes: int, drop_rate: float) -> None:
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by an untrained one; 0 removes it."""
        del global_pool
        self.num_classes = num_classes
        self.classifier: nn.Module = nn.Linear(self.head_hidden_size, num_classes) if num_classes else nn.Identity()

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        if enable:
            raise ValueError("this backbone is too small for gradient checkpointing")

    def forward_features(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def pool(self, maps: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) to the numbers that the classifier receives, (B, head_hidden_size)."""
        raise NotImplementedError

    def forward_head(self, maps: Tensor, pre_logits: bool = False) -> Tensor:
        numbers = self.head_drop(self.pool(maps))
        return numbers if pre_logits else self.classifier(numbers)

    def forward_intermediates(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the features, and the maps that the page explains predictions with: the same."""
        maps = self.forward_features(images)
        return maps, [maps]

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


class FaceRes(_FaceModel):
    """MobileNet v1 with its batch norms folded in, and a layer of 256 numbers before the classifier."""

    CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        feats: bool = True,
        depth: int = len(STRIDES),
    ):
        """`depth` counts blocks; without `feats` the classifier gets each map's mean instead of 256 numbers."""
        super().__init__()
        # TensorFlow's SAME padding: at stride 2 and an even size only at the right and bottom.
        self.stem = create_conv2d(in_chans, 32, 3, stride=2, padding="same", bias=True)
        layers: list[nn.Module] = [nn.ReLU6()]
        channels = 32
        for width, stride in zip(self.CHANNELS[:depth], self.STRIDES[:depth], strict=True):
            depthwise = create_conv2d(channels, channels, 3, stride=stride, padding="same", depthwise=True, bias=True)
            layers += [depthwise, nn.ReLU6(), nn.Conv2d(channels, width, 1), nn.ReLU6()]
            channels = width
        self.blocks = nn.Sequential(*layers)
        self.num_features = channels
        self.head_hidden_size = 256 if feats else channels
        self.feats: nn.Module = nn.Sequential(nn.Linear(channels, 256), nn.ReLU()) if feats else nn.Identity()
        self._add_classifier(num_classes, drop_rate)

    def forward_features(self, images: Tensor) -> Tensor:
        return self.blocks(self.stem(images))

    def pool(self, maps: Tensor) -> Tensor:
        return self.feats(maps.mean((2, 3)))


class FaceResWide(FaceRes):
    """`FaceRes` with a classifier that receives the means of the maps too: the best features to train a head alone."""

    def __init__(self, num_classes: int = 1000, in_chans: int = 3, drop_rate: float = 0.0):
        super().__init__(num_classes, in_chans, drop_rate)
        self.head_hidden_size = 1024 + 256
        self.reset_classifier(num_classes)

    def pool(self, maps: Tensor) -> Tensor:
        means = maps.mean((2, 3))
        return torch.cat([means, self.feats(means)], dim=1)


class FaceResBranches(_FaceModel):
    """`FaceRes` with a second branch: the first six blocks run once, then one branch gives the mask state from three
    more blocks, the other gives gender and age as `FaceRes` does. The logits of the mask state come first."""

    TRUNK, MASK_DEPTH, MASK_CLASSES = 6, 9, 3

    def __init__(self, num_classes: int = 106, in_chans: int = 3, drop_rate: float = 0.0):
        super().__init__()
        self._join(
            FaceRes(num_classes - self.MASK_CLASSES, in_chans, drop_rate),
            FaceRes(self.MASK_CLASSES, in_chans, drop_rate, feats=False, depth=self.MASK_DEPTH),
        )

    def _join(self, face: FaceRes, mask: FaceRes) -> None:
        """Take over the layers of two networks that begin alike."""
        layers = 1 + BLOCK_LAYERS * self.TRUNK
        self.stem, self.trunk, self.feats = face.stem, face.blocks[:layers], face.feats
        self.face, self.classifier, self.head_drop = face.blocks[layers:], face.classifier, face.head_drop
        self.mask, self.mask_classifier = mask.blocks[layers:], mask.classifier
        self.num_classes = face.num_classes + mask.num_classes
        self.num_features, self.head_hidden_size = FaceRes.CHANNELS[self.TRUNK - 1], face.head_hidden_size

    def forward_features(self, images: Tensor) -> Tensor:
        return self.trunk(self.stem(images))

    def forward_head(self, maps: Tensor, pre_logits: bool = False) -> Tensor:
        if pre_logits:
            raise ValueError("two branches have no common numbers before their logits")
        mask = self.mask_classifier(self.head_drop(self.mask(maps).mean((2, 3))))
        face = self.classifier(self.head_drop(self.feats(self.face(maps).mean((2, 3)))))
        return torch.cat([mask, face], dim=1)


class DlibAgeResNet10(_FaceModel):
    """ResNet-10 as dlib builds it: no padding at strides, and zeros where a shortcut lacks channels or pixels."""

    def __init__(self, num_classes: int = 1000, in_chans: int = 3, drop_rate: float = 0.0):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 64, 7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2)
        shapes = ((64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1))
        self.blocks = nn.Sequential(*(DlibBlock(*shape) for shape in shapes))
        self.num_features = self.head_hidden_size = 256
        self._add_classifier(num_classes, drop_rate)

    def forward_features(self, images: Tensor) -> Tensor:
        return self.blocks(self.maxpool(relu(self.stem(images))))

    def pool(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))


class DlibBlock(nn.Module):
    """Two convolutions and a shortcut without weights: at stride 2 a mean of 2x2 pixels, padded with zero channels."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=0 if stride > 1 else 1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.conv2(relu(self.conv1(maps)))
        shortcut = avg_pool2d(maps, self.stride) if self.stride > 1 else maps
        height, width = (max(residual.shape[axis], shortcut.shape[axis]) for axis in (2, 3))
        channels = residual.shape[1]
        return relu(_grow(residual, channels, height, width) + _grow(shortcut, channels, height, width))


def _grow(maps: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Feature maps with zeros behind the last channel, column and row, to the shape (B, channels, height, width)."""
    missing = (width - maps.shape[3], height - maps.shape[2], channels - maps.shape[1])
    return pad(maps, (0, missing[0], 0, missing[1], 0, missing[2])) if any(missing) else maps


class DlibGenderCNN(_FaceModel):
    """Four convolutions and a layer of 16 numbers. Takes 32 px only."""

    def __init__(self, num_classes: int = 1000, in_chans: int = 3, drop_rate: float = 0.0):
        super().__init__()
        widths = (in_chans, 32, 32, 64, 64)
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3, padding=1) for pair in pairwise(widths))
        self.num_features, self.head_hidden_size = 64, 16
        self.hidden = nn.Linear(64 * 8 * 8, 16)
        self._add_classifier(num_classes, drop_rate)

    def forward_features(self, images: Tensor) -> Tensor:
        maps = images
        for place, convolution in enumerate(self.convolutions):
            maps = relu(convolution(maps))
            if place % 2:
                maps = avg_pool2d(maps, 2)
        return maps

    def pool(self, maps: Tensor) -> Tensor:
        return relu(self.hidden(maps.flatten(1)))


class FacenetVGGFace2(_FaceModel):
    """facenet-pytorch's InceptionResnetV1, up to its embedding of 512 numbers."""

    def __init__(self, num_classes: int = 1000, in_chans: int = 3, drop_rate: float = 0.0):
        super().__init__()
        from facenet_pytorch import InceptionResnetV1

        if in_chans != 3:
            raise ValueError("facenet_vggface2 takes RGB images")
        self.body = InceptionResnetV1(pretrained=None, classify=False)
        self.num_features, self.head_hidden_size = 1792, 512
        self._add_classifier(num_classes, drop_rate)

    def forward_features(self, images: Tensor) -> Tensor:
        maps = images
        # The body's own forward ends in a normalised embedding; the maps are those before its mean over pixels.
        for name, module in self.body.named_children():
            if name == "avgpool_1a":
                break
            maps = module(maps)
        return maps

    def pool(self, maps: Tensor) -> Tensor:
        return self.body.last_bn(self.body.last_linear(maps.mean((2, 3))))


@register_model
def faceres(pretrained: bool = False, **kwargs: Any) -> FaceRes:
    """MobileNet v1 trained on VGGFace2; `feats=False` leaves its layer of 256 numbers out."""
    return _build(FaceRes, "faceres", _load_faceres if pretrained else None, kwargs)


@register_model
def faceres_wide(pretrained: bool = False, **kwargs: Any) -> FaceResWide:
    """`faceres` with 1,280 numbers before its classifier."""
    return _build(FaceResWide, "faceres_wide", _load_faceres if pretrained else None, kwargs)


@register_model
def faceres_mid(pretrained: bool = False, **kwargs: Any) -> FaceRes:
    """The first nine blocks of `faceres`, without its layer of 256 numbers."""
    shape = {"feats": False, "depth": 9}
    return _build(FaceRes, "faceres_mid", _load_faceres if pretrained else None, {**shape, **kwargs})


@register_model
def faceres_branches(pretrained: bool = False, **kwargs: Any) -> FaceResBranches:
    """`faceres` with a branch for the mask state; gender and age start from the published outputs, the mask state from
    random weights."""
    return _build(FaceResBranches, "faceres_branches", _load_branches if pretrained else None, kwargs)


@register_model
def dlib_age_resnet10(pretrained: bool = False, **kwargs: Any) -> DlibAgeResNet10:
    """ResNet-10 for ages at 64 px."""
    return _build(DlibAgeResNet10, "dlib_age_resnet10", _load_dlib if pretrained else None, kwargs)


@register_model
def dlib_gender_cnn(pretrained: bool = False, **kwargs: Any) -> DlibGenderCNN:
    """A small CNN for gender at 32 px."""
    return _build(DlibGenderCNN, "dlib_gender_cnn", _load_dlib if pretrained else None, kwargs)


@register_model
def facenet_vggface2(pretrained: bool = False, **kwargs: Any) -> FacenetVGGFace2:
    """InceptionResnetV1 trained on VGGFace2; its weights are for research."""
    return _build(FacenetVGGFace2, "facenet_vggface2", _load_facenet if pretrained else None, kwargs)


def _build(model: type, name: str, load: Callable[[Any], None] | None, kwargs: dict[str, Any]) -> Any:
    """A timm model of that class; `load` fills in its pretrained weights, all but the classifier."""
    built: Any = build_model_with_cfg(model, name, pretrained=False, **kwargs)
    if load is not None:
        load(built)
    return built


def start_head(model: nn.Module, task: str) -> bool:
    """Let the classifier start from the pretrained age or gender output, if this backbone has one that fits.

    `task` is "age" (one output per year from 0) or "gender" (outputs male, female). Returns whether it fitted; if not,
    the classifier is unchanged. Raises `UserError` if the weights are not here.

    A classifier of more years than the pretrained one shares the last year's probability among those from there on, so
    that every other probability stays the same.
    """
    head = _pretrained_head(model, task)
    classifier = getattr(model, "classifier", None)
    if head is None or not isinstance(classifier, nn.Linear):
        return False
    if task == "age":
        head = _extend_years(head, classifier.out_features)
    if head[0].shape != classifier.weight.shape:
        return False
    _fill(classifier, head, "the pretrained classifier")
    return True


def _pretrained_head(model: nn.Module, task: str) -> Layer | None:
    """Weight (K, features) and bias (K,) of a backbone's own output for a task."""
    own_head = type(model) is FaceRes and isinstance(model.feats, nn.Sequential)
    if own_head and task in ("age", "gender"):
        tensors = read_faceres()
        weight, bias = tensors[f"{task}_pred/kernel"].T, tensors[f"{task}_pred/bias"]
        # One logit, positive for male, is half of it for male and half against female.
        return (weight, bias) if task == "age" else (torch.cat([weight, -weight]) / 2, torch.cat([bias, -bias]) / 2)
    if isinstance(model, DlibAgeResNet10) and task == "age":
        return read_dlib("age-v1.onnx")[-1]
    if isinstance(model, DlibGenderCNN) and task == "gender":
        weight, bias = read_dlib("gender-v1.onnx")[-1]
        return weight.flip(0), bias.flip(0)  # The file has female first.
    return None


def _extend_years(head: Layer, years: int) -> Layer:
    """The head with `years` outputs; those beyond its last share the probability of the last equally."""
    weight, bias = head
    missing = years - len(bias)
    if missing <= 0:
        return head
    shared = bias[-1:] - float(np.log(missing + 1))
    return (
        torch.cat([weight, weight[-1:].expand(missing, -1)]),
        torch.cat([bias[:-1], shared.expand(missing + 1)]),
    )


def _load_faceres(model: FaceRes) -> None:
    tensors = read_faceres()
    blocks = len(model.blocks) // BLOCK_LAYERS
    layers = list(faceres_convolutions(tensors, blocks))
    if isinstance(model.feats, nn.Sequential):
        layers.append((tensors["feats/kernel"].T, tensors["feats/bias"]))
    _fill_in_order(model, layers, "faceres.bin")


def _load_branches(model: FaceResBranches) -> None:
    rate, outputs = model.head_drop.p, model.num_classes - model.MASK_CLASSES
    face = FaceRes(outputs, drop_rate=rate)
    mask = FaceRes(model.MASK_CLASSES, drop_rate=rate, feats=False, depth=model.MASK_DEPTH)
    _load_faceres(face)
    _load_faceres(mask)
    heads = [_pretrained_head(face, task) for task in ("gender", "age")]
    gender, age = (head for head in heads if head is not None)
    age = _extend_years(age, outputs - len(gender[1]))
    classifier: Any = face.classifier
    _fill(classifier, (torch.cat([gender[0], age[0]]), torch.cat([gender[1], age[1]])), "faceres.bin, its outputs")
    model._join(face, mask)


def _load_dlib(model: nn.Module) -> None:
    file = "age-v1.onnx" if isinstance(model, DlibAgeResNet10) else "gender-v1.onnx"
    _fill_in_order(model, read_dlib(file)[:-1], file)


def _load_facenet(model: FacenetVGGFace2) -> None:
    from facenet_pytorch.models.inception_resnet_v1 import load_weights

    try:
        load_weights(model.body, "vggface2")
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--backbone facenet_vggface2: facenet-pytorch could not fetch its weights ({type(error).__name__}). "
            "Go online once, or use --backbone faceres"
        ) from error


def _fill_in_order(model: nn.Module, layers: Sequence[Layer], source: str) -> None:
    """Copy weights into the model's convolutions and linear layers, in order, all but the classifier."""
    own = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and name != "classifier"
    ]
    if len(own) != len(layers):
        raise UserError(f"{source} holds {len(layers)} layers, the backbone {len(own)}")
    for (name, module), layer in zip(own, layers, strict=True):
        _fill(module, layer, f"{source}, for {name}")


def _fill(module: nn.Conv2d | nn.Linear, layer: Layer, source: str) -> None:
    weight, bias = layer
    if weight.shape != module.weight.shape or module.bias is None or bias.shape != module.bias.shape:
        raise UserError(f"{source}: a weight is {tuple(weight.shape)}, expected {tuple(module.weight.shape)}")
    with torch.no_grad():
        module.weight.copy_(weight)
        module.bias.copy_(bias)


# The published files as layers


def read_faceres() -> dict[str, Tensor]:
    """The arrays of faceres by their original names; raises `UserError` if they were not fetched."""
    return {name: torch.from_numpy(array) for name, array in read_tfjs(find_weights("faceres")["faceres.json"]).items()}


def read_dlib(file: str) -> list[Layer]:
    """The layers of one of dlib's networks in order, with scales, offsets and scalars folded into the weights."""
    initialisers = read_initialisers(find_weights("dlib")[file])
    return fold_dlib([(name, torch.tensor(array)) for name, array in initialisers])


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
