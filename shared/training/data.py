"""From crops to batches: augmentation, datasets and loaders.

The same image, epoch and seed give the same tensor in any process and after a resume. The mirror image, the order and
every other random choice of an image therefore depend on its `Draw` alone.
"""

import copy
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from shared.crops import CropSet, Window

if TYPE_CHECKING:
    import albumentations

# Otherwise albumentations looks for a newer release on the network when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

Batch = tuple[Tensor, Tensor]
"""Images, uint8 (B, size, size, 3), and their targets (B, ...)."""

UNCHANGED = -1
"""State of an image that the transform may not change into another one."""

Transform = Callable[[NDArray[np.uint8], int, int, int], NDArray[np.uint8]]
"""A crop, its row in the dataset, the wanted state and a seed, to the changed crop."""


def augmentation(
    *,
    shift: float = 0.05,
    scale: float = 0.08,
    rotate: float = 8.0,
    light: float = 0.2,
    colour: float = 0.1,
    blur: float = 0.2,
) -> "albumentations.Compose":
    """Return the transform that mirrors, moves, relights and blurs training images.

    `shift` and `scale` are shares of the image, `rotate` is in degrees, `light` and `colour` are shares of the value
    range, and `blur` is a probability.
    """
    import albumentations as A  # Takes a second to load, and prediction does not need it.

    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.Affine(
                translate_percent=(-shift, shift),
                scale=(1 - scale, 1 + scale),
                rotate=(-rotate, rotate),
                border_mode=cv2.BORDER_REFLECT_101,
                p=0.9,
            ),
            A.RandomBrightnessContrast(brightness_limit=light, contrast_limit=light, p=0.7),
            A.HueSaturationValue(hue_shift_limit=90 * colour, sat_shift_limit=255 * colour, val_shift_limit=0, p=0.3),
            A.GaussianBlur(sigma_limit=(0.3, 1.2), blur_limit=0, p=blur),
        ]
    )


class Draw(NamedTuple):
    """One image of an epoch, as a sampler orders it."""

    row: int
    """Row of the image in the dataset."""
    seed: int = 0
    """Seed of its transform and augmentation."""
    state: int = UNCHANGED
    """The state that the transform gives the image, an index into `labels.MASKS`, or `UNCHANGED`."""


class CropDataset(Dataset[Batch]):
    """A specialist's window of each crop, with the target of the loss."""

    def __init__(
        self,
        crops: CropSet,
        targets: NDArray[Any],
        window: Window,
        size: int,
        augmentation: Callable[..., dict[str, Any]] | None = None,
        transform: Transform | None = None,
        targets_by_state: NDArray[Any] | None = None,
    ):
        """Take the crops of N images, their targets (N, ...), and the targets in each other state, (states, N, ...)."""
        self.crops = crops
        self._images = crops.index.index.tolist()
        self._targets = torch.tensor(targets)
        self._window = window
        self._size = size
        self._augmentation = augmentation
        self._transform = transform
        self._by_state = None if targets_by_state is None else torch.tensor(targets_by_state)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, draw: Draw) -> Batch:
        crop = self.crops.read(self._images[draw.row])
        if self._transform is not None:
            crop = self._transform(crop, draw.row, draw.state, draw.seed)
        image = self._window.cut(crop, self._size)
        if self._augmentation is not None:
            # Seeded by image: which worker loads it, and what it loaded before, must not matter. `set_random_seed`
            # would start every step from the same numbers, so that the steps would not be independent.
            streams = np.random.default_rng(draw.seed), random.Random(draw.seed)
            self._augmentation.set_random_state(*streams)  # type: ignore[attr-defined]
            image = self._augmentation(image=image)["image"]
        return torch.from_numpy(image), self.target(draw)

    def without_augmentation(self) -> "CropDataset":
        """Return a dataset of the same images, as they are or with nothing but the mask that a draw asks for."""
        plain, transform = copy.copy(self), self._transform
        plain._augmentation = None
        if transform is not None:
            plain._transform = lambda crop, row, state, seed: (
                crop if state == UNCHANGED else transform(crop, row, state, seed)
            )
        return plain

    def target(self, draw: Draw) -> Tensor:
        """Return the target of the loss for a draw, (...)."""
        if self._by_state is None or draw.state == UNCHANGED:
            return self._targets[draw.row]
        return self._by_state[draw.state, draw.row]


class WindowDataset(Dataset[list[Tensor]]):
    """Images to predict, cut once for every distinct window and size of the networks."""

    def __init__(self, crops: CropSet, inputs: Sequence[tuple[Window, int]]):
        self._crops = crops
        self._images = crops.index.index.tolist()
        self._inputs = inputs

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, draw: Draw) -> list[Tensor]:
        crop = self._crops.read(self._images[draw.row])
        return [torch.from_numpy(window.cut(crop, size)) for window, size in self._inputs]


class SequentialSampler(Sampler[Draw]):
    """Every image once, in order."""

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Draw]:
        return (Draw(index) for index in range(self._count))


class EpochSampler(Sampler[Draw]):
    """Base class of samplers with a new order in every epoch."""

    def __init__(self, count: int, seed: int):
        self._count = count
        self._seed = seed
        # Deliberately no `set_epoch`: accelerate would call it with its own count, which starts at 0 after a resume.
        self.epoch = 0

    def __len__(self) -> int:
        return self._count


def loader(
    dataset: Dataset[Any], sampler: SequentialSampler | EpochSampler, batch_size: int, workers: int
) -> DataLoader[Any]:
    """Return a loader of batches. Only with an `EpochSampler`, an incomplete last batch is dropped."""
    return DataLoader(
        dataset,
        sampler=sampler,
        batch_size=batch_size,
        num_workers=workers,
        drop_last=isinstance(sampler, EpochSampler) and len(sampler) > batch_size,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        worker_init_fn=_start_worker if workers else None,
        # Its own generator: otherwise starting workers would consume torch's global stream and change dropout.
        generator=torch.Generator(),
    )


def _start_worker(worker: int) -> None:
    del worker
    # The other cores belong to the training.
    cv2.setNumThreads(0)
    # A terminal sends Ctrl-C to all processes; the main process ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
