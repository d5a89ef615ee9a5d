from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch

from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared.crops import CropSet
from shared.messages import UserError
from shared.specialist import Window
from shared.training.model import CheckpointMetadata, Network, load_weights, read_weights_metadata, save_weights

BACKBONE = "test_efficientnet"


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
    images = torch.randint(0, 255, (2, 32, 32, 3), dtype=torch.uint8)
    assert torch.equal(network(images), load_weights(weights)(images))


def test_a_file_that_is_cut_short_is_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"weights.safetensors is not a whole weights file"):
        load_weights(weights)


def test_a_pickle_is_refused_and_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    torch.save({"w": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="not a whole weights file"):
        load_weights(path)


def test_tensors_of_somebody_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="not a whole weights file of face18"):
        load_weights(path)


def test_weights_that_belie_their_backbone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    network = Network(BACKBONE, 3, 0.0, pretrained=False)
    save_weights(path, network.state_dict(), CheckpointMetadata.of(MASK, "test_resnet", 32, recipe="r1"))
    with pytest.raises(UserError, match="does not fit its own backbone test_resnet"):
        load_weights(path)


def test_missing_weights_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.safetensors is missing"):
        read_weights_metadata(tmp_path / "gone.safetensors")


def test_weights_are_only_used_by_their_own_specialist(weights: Path) -> None:
    with pytest.raises(UserError, match="was trained with specialist mask"):
        read_weights_metadata(weights).check(weights, GENDER, crops_of("r1"))


def test_weights_are_used_with_the_window_they_were_trained_on(weights: Path) -> None:
    today = replace(MASK, window=Window(side=0.5))
    read_weights_metadata(weights).check(weights, today, crops_of("r1"))
    assert read_weights_metadata(weights).window_of(today) == MASK.window


def test_weights_are_only_used_on_crops_of_their_recipe(weights: Path) -> None:
    read_weights_metadata(weights).check(weights, MASK, crops_of("r1"))
    with pytest.raises(UserError, match="was trained on crops of recipe r1, those in crops are of r2"):
        read_weights_metadata(weights).check(weights, MASK, crops_of("r2"))
