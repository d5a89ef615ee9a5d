import cv2
import pytest
import timm
import torch
from sklearn.datasets import load_sample_image

from shared.messages import UserError
from shared.training.model import (
    DEFAULT_BACKBONE,
    WEIGHT_PACKAGES,
    Network,
    _packaged_weights,
    create_backbone,
    load_in_order,
)

DAISY, PALACE = 985, 698
"""Classes of ImageNet-1k."""


@pytest.fixture(scope="module")
def imagenet_model() -> torch.nn.Module:
    model = timm.create_model(DEFAULT_BACKBONE)
    load_in_order(model, torch.load(_packaged_weights(DEFAULT_BACKBONE), weights_only=True), "package")
    return model.eval()


def seen(backbone: torch.nn.Module, name: str, image: str) -> int:
    """The class that a backbone with its ImageNet head gives a sample image of scikit-learn."""
    pixels = load_sample_image(image)
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = cv2.resize(pixels[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    network = Network(name, 1000, dropout=0.0, pretrained=False)
    network.backbone = backbone
    with torch.inference_mode():
        return int(network.eval()(torch.from_numpy(square)[None]).argmax().item())


@pytest.mark.parametrize(("image", "expected"), [("flower.jpg", DAISY), ("china.jpg", PALACE)])
def test_the_packaged_weights_know_what_is_in_a_image(
    imagenet_model: torch.nn.Module, image: str, expected: int
) -> None:
    assert seen(imagenet_model, DEFAULT_BACKBONE, image) == expected


@pytest.mark.parametrize("name", ["tf_efficientnet_lite1", "tf_efficientnet_lite2"])
def test_so_do_those_of_its_larger_kin_where_they_are_installed(name: str) -> None:
    pytest.importorskip(WEIGHT_PACKAGES[name][0])
    model = timm.create_model(name)
    load_in_order(model, torch.load(_packaged_weights(name), weights_only=True), "package")
    # Not the flower: its middle, cut out, is a honeycomb to the larger of them.
    assert seen(model.eval(), name, "china.jpg") == PALACE


def test_a_pretrained_backbone_carries_the_packaged_weights(imagenet_model: torch.nn.Module) -> None:
    backbone = create_backbone(DEFAULT_BACKBONE, outputs=3, dropout=0.0, pretrained=True)
    known = imagenet_model.state_dict()
    for name, tensor in backbone.state_dict().items():
        if not name.startswith("classifier"):
            assert torch.equal(tensor, known[name]), name
    assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


def test_tensors_of_another_shape_are_refused_by_name() -> None:
    model = torch.nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"w is \(3, 5\), but weight is \(3, 2\)"):
        load_in_order(model, {"w": torch.zeros(3, 5), "b": torch.zeros(3)}, "file")


def test_another_number_of_tensors_is_refused() -> None:
    with pytest.raises(ValueError, match="holds 1 tensors, the model 2"):
        load_in_order(torch.nn.Linear(2, 3), {"w": torch.zeros(3, 2)}, "file")


def test_an_unknown_backbone_is_refused_with_names_near_it() -> None:
    with pytest.raises(UserError, match=r"--backbone resnet19: .*resnet18"):
        create_backbone("resnet19", 3, 0.0, pretrained=False)


def test_offline_a_backbone_without_weights_at_hand_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="--no-pretrained"):
        create_backbone("resnet18", 3, 0.0, pretrained=True)


def test_any_timm_backbone_works_from_random_weights() -> None:
    assert create_backbone("test_vit", 4, 0.1, pretrained=False)(torch.zeros(1, 3, 160, 160)).shape == (1, 4)
