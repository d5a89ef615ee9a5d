"""Backbones and their weights, merged batch norms, and weights files."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import cv2
import pandas as pd
import pytest
import safetensors.torch
import timm
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared.crops import CropSet
from shared.messages import UserError
from shared.page.explain import network_heat
from shared.specialist import Window
from shared.training.model import (
    WEIGHT_PACKAGES,
    CheckpointMetadata,
    Network,
    _packaged_weights,
    check_network,
    create_backbone,
    fuse_batch_norms,
    load_in_order,
    load_weights,
    read_weights_metadata,
    save_weights,
)
from shared.training.options import DEFAULT_BACKBONE, ModelOptions

BACKBONE = "test_efficientnet"
DAISY, PALACE = 985, 698
"""Classes of ImageNet-1k."""


def random_images(size: int) -> Tensor:
    return torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


# Backbones


# Not the flower for Lite1: its middle, cut out, is a honeycomb to it.
@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        (DEFAULT_BACKBONE, "flower.jpg", DAISY),
        (DEFAULT_BACKBONE, "china.jpg", PALACE),
        ("tf_efficientnet_lite1", "china.jpg", PALACE),
    ],
)
def test_the_packaged_weights_recognise_sample_images(name: str, image: str, expected: int) -> None:
    pytest.importorskip(WEIGHT_PACKAGES[name][0])
    model = timm.create_model(name)
    file = _packaged_weights(name)
    assert file is not None
    load_in_order(model, torch.load(file, weights_only=True), "package")
    pixels = load_sample_image(image)
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = cv2.resize(pixels[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    network = Network(name, 1000, dropout=0.0, pretrained=False)
    network.backbone = model
    with torch.inference_mode():
        assert int(network.eval()(torch.from_numpy(square)[None]).argmax()) == expected
    pretrained = create_backbone(name, outputs=3, dropout=0.0, pretrained=True).state_dict()
    known = model.state_dict()
    assert all(torch.equal(known[key], value) for key, value in pretrained.items() if not key.startswith("classifier"))


def test_tensors_that_do_not_fit_are_refused_by_name_and_number() -> None:
    model = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"w is \(3, 5\), but weight is \(3, 2\)"):
        load_in_order(model, {"w": torch.zeros(3, 5), "b": torch.zeros(3)}, "file")
    with pytest.raises(ValueError, match="holds 1 tensors, the model 2"):
        load_in_order(model, {"w": torch.zeros(3, 2)}, "file")


def test_an_unknown_backbone_is_refused_with_similar_names() -> None:
    with pytest.raises(UserError, match=r"--backbone resnet19: .*resnet18"):
        create_backbone("resnet19", 3, 0.0, pretrained=False)


def test_weights_that_cannot_be_had_are_asked_for_once_and_quietly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    requests = []

    class Unreachable:
        def head(self, url: str, timeout: float) -> None:
            requests.append((url, timeout))
            raise OSError

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_session", Unreachable)
    with pytest.raises(UserError, match=r"cannot be downloaded .*--no-pretrained"):
        create_backbone("resnet18", 3, 0.0, pretrained=True)
    assert len(requests) == 1
    assert "Retrying" not in caplog.text


def test_a_model_outside_of_timms_list_is_trained_under_its_architecture(tmp_path: Path) -> None:
    model = timm.create_model("test_vit", num_classes=7)
    own = {key: value for key, value in model.pretrained_cfg.items() if isinstance(value, str | int | tuple | bool)}
    config = {"architecture": "test_vit", "num_classes": 7, "pretrained_cfg": {**own, "num_classes": 7}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
    network = Network(f"local-dir:{tmp_path}", 3, 0.0, pretrained=True, size=96)
    assert network.architecture == "test_vit"
    assert torch.equal(network.backbone.blocks[0].attn.qkv.weight, model.blocks[0].attn.qkv.weight)
    assert network(random_images(96)).shape == (2, 3)


@pytest.mark.parametrize(("backbone", "size"), [(BACKBONE, 33), ("test_vit", 32), ("test_vit", 64)])
def test_backbones_take_the_sizes_that_they_are_made_for(backbone: str, size: int) -> None:
    check_network(ModelOptions(backbone=backbone, size=size, pretrained=False), 4, False)


@pytest.mark.parametrize(("backbone", "fitting"), [("test_vit", 96), ("inception_v3", 96)])
def test_a_size_that_a_backbone_does_not_take_is_refused_with_one_that_works(backbone: str, fitting: int) -> None:
    with pytest.raises(UserError, match=rf"--backbone {backbone} does not take --size 65 .*it takes --size {fitting}"):
        check_network(ModelOptions(backbone=backbone, size=65, pretrained=False), 4, False)


# Merged batch norms


def trained(backbone: str) -> Network:
    """Return a network with batch norms that are not trivial."""
    torch.manual_seed(0)
    network = Network(backbone, 3, dropout=0.0, pretrained=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


# With a convolution before every batch norm; with batch norms of inputs too; without any.
@pytest.mark.parametrize(
    ("backbone", "size", "left"),
    [("tf_efficientnet_lite0", 64, 0), ("resnet18", 64, 0), ("densenet121", 64, 62), ("test_vit", 160, 0)],
)
@torch.no_grad()
def test_a_network_gives_the_same_logits_without_its_batch_norms(backbone: str, size: int, left: int) -> None:
    network = trained(backbone)
    plain = copy.deepcopy(network)
    fuse_batch_norms(network, size)
    assert norms(network) == left
    torch.testing.assert_close(network(random_images(size)), plain(random_images(size)), rtol=1e-3, atol=1e-3)


class Twice(nn.Module):
    """Uses the output of its convolution in the batch norm and beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        made = self.convolution(images)
        out: Tensor = (self.norm(made) + made).mean((2, 3))
        return out


@torch.no_grad()
def test_a_network_whose_logits_would_change_stays_as_it_was() -> None:
    network = trained("resnet18")
    network.backbone = Twice().eval()
    network.backbone.norm.running_var.fill_(3)
    logits = network(random_images(32))
    fuse_batch_norms(network, 32)
    assert norms(network) == 1
    assert torch.equal(network(random_images(32)), logits)


def test_a_heat_map_survives_the_merge() -> None:
    network = trained("tf_efficientnet_lite0").requires_grad_(False)
    plain = network_heat(copy.deepcopy(network), random_images(96).numpy())
    fuse_batch_norms(network, 96)
    merged = network_heat(network, random_images(96).numpy())
    torch.testing.assert_close(torch.tensor(merged), torch.tensor(plain), rtol=1e-2, atol=1e-2)


# Weights files


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    network = Network(BACKBONE, 3, 0.0, pretrained=False, mean=(0.1, 0.2, 0.3))
    save_weights(path, network.state_dict(), CheckpointMetadata.of(MASK, BACKBONE, 32, recipe="r1"))
    return path


def crops_of(recipe: str) -> CropSet:
    return CropSet(Path("crops"), recipe, pd.DataFrame())


def test_a_network_comes_back_as_it_was_saved_with_its_normalisation(weights: Path) -> None:
    network = load_weights(weights)
    assert not network.training
    assert network.mean.flatten().tolist() == pytest.approx([25.5, 51, 76.5])
    assert torch.equal(network(random_images(32)), load_weights(weights)(random_images(32)))


def test_a_file_that_is_no_weights_file_of_face18_is_refused_and_no_pickle_opened(weights: Path) -> None:
    whole = weights.read_bytes()
    torch.save({"w": torch.zeros(3)}, weights)
    contents = (whole[:5000], weights.read_bytes(), safetensors.torch.save({"w": torch.zeros(3)}))
    for content in contents:
        weights.write_bytes(content)
        with pytest.raises(UserError, match=r"weights.safetensors is not a whole weights file of face18"):
            load_weights(weights)
    with pytest.raises(UserError, match=r"gone.safetensors is missing"):
        read_weights_metadata(weights.with_name("gone.safetensors"))


def test_weights_that_belie_their_backbone_are_refused(weights: Path) -> None:
    tensors = safetensors.torch.load_file(weights)
    save_weights(weights, tensors, CheckpointMetadata.of(MASK, "test_resnet", 32, recipe="r1"))
    with pytest.raises(UserError, match="does not fit its own backbone test_resnet"):
        load_weights(weights)
    save_weights(weights, tensors, CheckpointMetadata.of(MASK, "hf-hub:somebody/model", 32, recipe="r1"))
    with pytest.raises(UserError, match="timm knows no such model"):
        load_weights(weights)


def test_weights_are_used_by_their_own_specialist_on_their_window_and_crops_of_their_recipe(weights: Path) -> None:
    metadata, today = read_weights_metadata(weights), replace(MASK, window=Window(side=0.5))
    metadata.check(weights, today, crops_of("r1"))
    assert metadata.window_of(today) == MASK.window
    with pytest.raises(UserError, match="was trained with specialist mask"):
        metadata.check(weights, GENDER, crops_of("r1"))
    with pytest.raises(UserError, match="was trained on crops of recipe r1, those in crops are of r2"):
        metadata.check(weights, MASK, crops_of("r2"))
