"""Measure images per second of the training loop, of its limit, and of a plain training on whole photographs.

    python benchmarks/train_speed.py

limit   the same step on one batch in memory
loop    the project's loop: reads crops, cuts the window, augments, steps
plain   the same step on whole JPEGs, read by PIL and transformed by torchvision
loader  only the project's reading, including drawn masks, one process per core

The variants take turns. Ratios are medians over rounds, by wall time and by the CPU time of all cores, which is less
affected by other jobs. Images are drawn portraits unless --data and --crops are given.
"""

import os

# As every command has it (shared/commands.py); libgomp asks for it when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import samples
import torch
from machine import describe, in_turn, ratio
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2  # type: ignore[import-untyped]
from tqdm import tqdm

from pipelines.gender.specialist import GENDER
from shared.commands import run
from shared.crops import CropSet
from shared.messages import UserError
from shared.training.data import loader
from shared.training.fit import FoldTraining
from shared.training.inference import DeviceName, Precision, accelerator_for
from shared.training.options import TrainOptions
from shared.training.sampling import prepare_fold


@dataclass(frozen=True)
class Options:
    """Measure the training loop against its limit and against a plain one."""

    data: Path | None = None
    """A competition folder; sample portraits are drawn if omitted."""
    crops: Path | None = None
    """Its crops; made if omitted."""
    people: int = 12
    """Persons drawn."""
    sizes: tuple[int, ...] = (96, 112, 160)
    """Input size of the network, pixels."""
    batch_size: int = 32
    """Images per step."""
    steps: int = 20
    """Steps of each variant in each round."""
    rounds: int = 3
    """Number of rounds."""
    workers: int = 1
    """Reading processes, for loop and plain."""
    threads: int = 0
    """Threads of the step; 0: one per core. With one thread, CPU times also hold on a busy machine."""
    device: DeviceName = "auto"
    """auto uses a GPU if there is one."""
    mixed_precision: Precision = "no"
    """Half precision."""

    def __post_init__(self) -> None:
        if self.crops and not self.data:
            raise UserError("--crops needs --data, the images they were made of")


def main(options: Options) -> None:
    torch.set_num_threads(options.threads or samples.cores())
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or samples.draw(Path(folder), options.people)
        table, crops = samples.labelled(data, options.crops or Path(folder) / "crops")
        print(describe("torchvision", "timm", "albumentations", "opencv-python-headless"))
        print(
            f"{len(table):,} images, {options.rounds} rounds of {options.steps} steps of {options.batch_size}, "
            f"{options.workers} reading, {torch.get_num_threads()} threads\n"
        )
        print("size  variant  images/s  times limit  CPU ms/image  by CPU time")
        for size in options.sizes:
            measure(options, size, table, crops, Path(folder))


def measure(options: Options, size: int, table: pd.DataFrame, crops: CropSet, folder: Path) -> None:
    """Print a line for each variant."""
    count = options.steps * options.batch_size
    photographs = table.iloc[np.arange(count) % len(table)]
    table, crops = repeat(table, crops, count)
    train = _training(options, size)
    data = prepare_fold(GENDER, train, table, crops, 1)
    training = FoldTraining(GENDER, train, data, folder, accelerator_for(options.device, options.mixed_precision))
    # The first round starts the workers of all variants and does not count.
    batches = loader(data.train, data.sampler, options.batch_size, samples.cores())
    plain = plain_batches(photographs, size, options)
    measured = in_turn(
        {
            "limit": lambda: fixed_steps(training, size, options),
            "loop": lambda: training.train_epoch(tqdm(disable=True)),
            "plain": lambda: plain_steps(training, plain),
            "loader": lambda: sum(len(images) for images, _ in batches),
        },
        options.rounds,
    )
    limit = measured["limit"]
    for name, times in measured.items():
        speed = count / statistics.median(times.seconds)
        share = ratio(limit.seconds, times.seconds)
        cpu = 1000 * statistics.median(times.cpu) / count
        cpu_share = ratio(limit.cpu, times.cpu)
        print(f"{size:>4}  {name:<7}  {speed:>10.1f}  {share:>11.2f}  {cpu:>14.1f}  {cpu_share:>11.2f}", flush=True)


def _training(options: Options, size: int) -> TrainOptions:
    # A learning rate near zero without a schedule, so that any number of rounds can follow.
    return TrainOptions.of(
        size=size,
        batch_size=options.batch_size,
        workers=options.workers,
        device=options.device,
        mixed_precision=options.mixed_precision,
        pretrained=False,
        scheduler="none",
        lr=1e-6,
    )


def repeat(table: pd.DataFrame, crops: CropSet, count: int) -> tuple[pd.DataFrame, CropSet]:
    """`count` rows to train on and one person to hold out, with the images as often as it takes."""
    rows = np.arange(count + 1) % len(table)
    names = [f"{number} {image}" for number, image in enumerate(table["image"].iloc[rows])]
    index = crops.index.iloc[rows].set_axis(pd.Index(names, name="image"))
    persons = [f"person {number}" for number in range(count + 1)]
    repeated = table.iloc[rows].assign(image=names, person=persons, fold=[0] * count + [1])
    return repeated.reset_index(drop=True), replace(crops, index=index)


def fixed_steps(training: FoldTraining, size: int, options: Options) -> None:
    device = training.device
    images = torch.randint(0, 256, (options.batch_size, size, size, 3), dtype=torch.uint8).to(device)
    targets = torch.randint(0, 2, (options.batch_size,)).to(device)
    for _ in range(options.steps):
        training.train_step(images, targets)


class Photographs(Dataset[tuple[Tensor, int]]):
    """Whole images, as PIL and torchvision read them."""

    def __init__(self, table: pd.DataFrame, transform: Callable[[Image.Image], Tensor]):
        self._rows = list(zip(table["path"], table["gender"], strict=True))
        self._transform = transform

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, gender = self._rows[index]
        return self._transform(Image.open(path).convert("RGB")), gender


def plain_batches(table: pd.DataFrame, size: int, options: Options) -> "DataLoader[tuple[Tensor, int]]":
    transform = v2.Compose(
        [
            v2.Resize((size, size)),
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(8, (0.05, 0.05), (0.92, 1.08)),
            v2.ColorJitter(0.2, 0.2, 0.2),
            v2.ToImage(),
        ]
    )
    workers = options.workers
    return DataLoader(
        Photographs(table, transform), options.batch_size, True, num_workers=workers, persistent_workers=workers > 0
    )


def plain_steps(training: FoldTraining, loader: "DataLoader[tuple[Tensor, int]]") -> None:
    for images, targets in loader:
        # The network wants channels last; a view, that costs nothing.
        training.train_step(images.permute(0, 2, 3, 1).to(training.device), targets.to(training.device)).item()


if __name__ == "__main__":
    run(main, Options())
