"""The processes that read images beside a training or a prediction: Ctrl-C is none of their business.

A terminal gives it to everybody. A reader that takes it on its own dies with a traceback, or so early that the main
process takes that for a crash. So readers are deaf to it from their first moment on; the main process ends them.

The augmentation that every specialist starts from; each sets its own strengths.

From crops to batches: the same image, epoch and seed give the same tensor in any process, and after a resume.
"""

import multiprocessing
import os
import random
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext, ForkContext, ForkProcess
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from shared.crops import CropSet
from shared.interrupts import held_back
from shared.specialist import Window

if TYPE_CHECKING:
    import albumentations


class _DeafProcess(ForkProcess):
    def start(self) -> None:
        with held_back():
            super().start()


class _DeafContext(ForkContext):
    Process = _DeafProcess


def reader_context() -> BaseContext | None:
    """How a `DataLoader` starts its processes; None, its own way, where those are not copies of this one."""
    return _DeafContext() if multiprocessing.get_start_method() == "fork" else None


def settle_in(worker: int) -> None:
    """What a reader does first: the cores belong to the training, and one that spreads over them slows it down."""
    del worker
    cv2.setNumThreads(0)


# albumentations asks the network for a newer release when it is imported, unless told not to.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


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
    import albumentations as A  # Takes a second to load, and who predicts does not augment.

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


Batch = tuple[Tensor, Tensor]
"""uint8 images (B, size, size, 3) and their targets (B, ...)."""


AS_IT_IS = -1

Dressing = Callable[[NDArray[np.uint8], int, int, int], NDArray[np.uint8]]
"""A crop, its place in the dataset, the mask state to be drawn and a seed to the crop as it is shown."""


class Draw(NamedTuple):
    """One image to be read, and the seed of its augmentation."""

    place: int
    """Which of the dataset's images, from 0."""
    seed: int
    state: int = AS_IT_IS
    """The mask state to be drawn, an index into `labels.MASKS`; or as it is."""


class CropDataset(Dataset[Batch]):
    """A specialist's window of each crop, with what the loss is told of it."""

    def __init__(
        self,
        crops: CropSet,
        images: list[str],
        targets: NDArray[Any],
        window: Window,
        size: int,
        augmentation: Callable[..., dict[str, Any]] | None = None,
        dressing: Dressing | None = None,
        targets_by_state: NDArray[Any] | None = None,
    ):
        """`targets` are (N, ...); those `by_state`, of images with a mask drawn on them, (mask states, N, ...)."""
        self._crops = crops
        self._images = images
        self._targets = torch.tensor(targets)
        self._window = window
        self._size = size
        self._augmentation = augmentation
        self._dressing = dressing
        self._by_state = None if targets_by_state is None else torch.tensor(targets_by_state)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, draw: Draw) -> Batch:
        crop = self._crops.read(self._images[draw.place])
        if self._dressing is not None:
            crop = self._dressing(crop, draw.place, draw.state, draw.seed)
        image = self._window.cut(crop, self._size)
        if self._augmentation is not None:
            # Seeded image by image: which worker draws it, and what it drew before, must not matter. One stream for
            # all steps: `set_random_seed` would give each the same numbers, and so noise only to mirrored images.
            streams = np.random.default_rng(draw.seed), random.Random(draw.seed)
            self._augmentation.set_random_state(*streams)  # type: ignore[attr-defined]
            image = self._augmentation(image=image)["image"]
        return torch.from_numpy(image), self._target(draw)

    def _target(self, draw: Draw) -> Tensor:
        if self._by_state is None or draw.state == AS_IT_IS:
            return self._targets[draw.place]
        return self._by_state[draw.state, draw.place]


class SequentialSampler(Sampler[Draw]):
    """Every image once, first to last."""

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Draw]:
        return (Draw(index, 0) for index in range(self._count))


class ShuffledSampler(Sampler[Draw]):
    """Base class of samplers with a new order in every epoch; see `shared.training.sampling.TrainingSampler`."""

    def __init__(self, count: int, seed: int):
        self._count = count
        self._seed = seed
        # No `set_epoch` on purpose: accelerate would call it with a count of its own, which a resume begins anew.
        self.epoch = 0

    def __len__(self) -> int:
        return self._count


def batches(
    dataset: CropDataset, sampler: SequentialSampler | ShuffledSampler, batch_size: int, workers: int
) -> DataLoader[Batch]:
    """Loader of uint8 batches. With a `ShuffledSampler` an incomplete last batch is dropped, otherwise never."""
    return DataLoader(
        dataset,
        sampler=sampler,
        batch_size=batch_size,
        num_workers=workers,
        drop_last=isinstance(sampler, ShuffledSampler) and len(sampler) > batch_size,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        worker_init_fn=settle_in if workers else None,
        multiprocessing_context=reader_context() if workers else None,
        # Else the loader draws from torch's own stream, as often as it has workers, and dropout would feel it.
        generator=torch.Generator(),
    )
