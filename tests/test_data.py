"""Datasets, loaders and test-time augmentation."""

from collections import Counter
from pathlib import Path

import albumentations as A
import numpy as np
import pandas as pd
import pytest
import torch
from tiny_competition import people, write_train
from tiny_crops import write_crops

from pipelines.gender.specialist import GENDER
from shared.crops import open_crops
from shared.manifest import load_training
from shared.specialist import Window
from shared.training.data import CropDataset, Draw, SequentialSampler, loader
from shared.training.options import SamplingOptions
from shared.training.sampling import TrainingSampler
from shared.training.tta import View


@pytest.fixture
def dataset(tmp_path: Path) -> CropDataset:
    table = load_training(write_train(tmp_path / "train", people(3)))
    write_crops(table, tmp_path / "crops")
    targets = np.arange(len(table))
    return CropDataset(open_crops(tmp_path / "crops"), targets, Window(), 32, GENDER.augmentation())


def sampler(count: int) -> TrainingSampler:
    """Return a sampler of base images, none of which is bare."""
    table = pd.DataFrame({"person": range(count), "mask": 0, "gender": 0, "age": 30, "source": ""})
    return TrainingSampler(GENDER, table, np.zeros(count, bool), seed=3, options=SamplingOptions(drawn_masks=0))


def test_held_out_images_come_once_each_in_order_and_none_is_dropped(dataset: CropDataset) -> None:
    seen = [targets for _, targets in loader(dataset, SequentialSampler(len(dataset)), batch_size=4, workers=0)]
    assert torch.cat(seen).tolist() == list(range(21))


def test_an_incomplete_last_batch_is_dropped_unless_it_is_the_only_one(dataset: CropDataset) -> None:
    def seen(count: int) -> int:
        return sum(len(images) for images, _ in loader(dataset, sampler(count), batch_size=8, workers=0))

    assert seen(21) == 16
    assert seen(5) == 5


def test_a_draw_gives_the_same_pixels_whatever_was_drawn_before(dataset: CropDataset) -> None:
    first, _ = dataset[Draw(5, seed=77)]
    dataset[Draw(6, seed=1)]
    again, _ = dataset[Draw(5, seed=77)]
    other, _ = dataset[Draw(5, seed=78)]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_steps_of_an_augmentation_are_independent(tmp_path: Path) -> None:
    write_crops(load_training(write_train(tmp_path / "train", people(6))).head(1), tmp_path / "crops")
    crops = open_crops(tmp_path / "crops")
    either_way = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])
    dataset = CropDataset(crops, np.zeros(1), Window(), 32, either_way)
    seen = Counter(dataset[Draw(0, seed)][0].numpy().tobytes() for seed in range(100))
    # 25 of each expected, standard deviation 4.3.
    assert len(seen) == 4
    assert min(seen.values()) > 8


def test_the_number_of_workers_does_not_change_a_batch(dataset: CropDataset) -> None:
    def epoch(workers: int) -> list[torch.Tensor]:
        return [images for images, _ in loader(dataset, sampler(len(dataset)), 8, workers)]

    for alone, together in zip(epoch(0), epoch(2), strict=True):
        assert torch.equal(alone, together)


def test_a_window_is_cut_where_it_says() -> None:
    crop = np.zeros((256, 256, 3), np.uint8)
    crop[64:192, 64:192] = 200
    assert (Window(side=0.5).cut(crop, 32) == 200).all()
    assert Window(side=0.5, centre_y=0.25).cut(crop, 32)[:, 16, 0].tolist() == [0] * 16 + [200] * 16


def test_views_mirror_and_shift_and_repeat_the_edge() -> None:
    image = torch.arange(4, dtype=torch.uint8).view(1, 1, 4, 1)
    assert View().of(image).flatten().tolist() == [0, 1, 2, 3]
    assert View(mirrored=True).of(image).flatten().tolist() == [3, 2, 1, 0]
    assert View(right=0.25).of(image).flatten().tolist() == [0, 0, 1, 2]
    assert View(right=-0.5).of(image).flatten().tolist() == [2, 3, 3, 3]
    assert View(down=0.25).of(image.transpose(1, 2)).flatten().tolist() == [0, 0, 1, 2]
