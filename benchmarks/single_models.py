"""The models that specialists are compared with: one model of 18 classes, and one backbone with three heads."""

from dataclasses import dataclass

import albumentations as A
import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipelines.age.years import YEARS, age_loss, age_targets, mean_absolute_error, year_columns
from shared.fusion.ages import band_masses
from shared.fusion.fusion import joint_probabilities, true_classes
from shared.labels import CLASS_COUNT, GENDERS, MASKS, age_band, class_name
from shared.specialist import Specialist, Window
from shared.training.data import augmentation

CLASSES = tuple(class_name(number) for number in range(CLASS_COUNT))

PLAIN_SIZE = (128, 96)
"""Height and width in pixels that the competition's baseline resizes its centre crop to."""


@dataclass(frozen=True)
class CentreCrop(Window):
    """A centre crop that was squeezed into a square, restored to its proportions."""

    def cut(self, crop: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """Return (128, 96, 3); `size` is ignored."""
        del size
        height, width = PLAIN_SIZE
        return cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def eighteen(table: pd.DataFrame) -> NDArray[np.int64]:
    """Return the class, 0-17, of each row of the manifest, (N,)."""
    truth = {"mask": table["mask"], "gender": table["gender"], "age": table["age"].map(age_band)}
    return true_classes({task: numbers.to_numpy(np.int64) for task, numbers in truth.items()})


def _single(name: str, window: Window, transform: object) -> Specialist:
    return Specialist(
        name=name,
        classes=CLASSES,
        window=window,
        augmentation=transform,  # type: ignore[arg-type]
        outputs=CLASS_COUNT,
        truth=eighteen,
        targets=eighteen,
        loss=cross_entropy,
    )


def _as_it_is() -> A.Compose:
    return A.Compose([])


PLAIN = _single("plain", CentreCrop(), _as_it_is)
"""The competition's own baseline: centre crop, no augmentation, cross-entropy over 18 classes."""

SINGLE = _single("single", Window(), augmentation)
"""One model over 18 classes on aligned crops, augmented as the specialists are."""

_HEADS = np.cumsum([len(MASKS), len(GENDERS)]).tolist()


def heads_targets(table: pd.DataFrame) -> NDArray[np.float32]:
    """Return (N, 4): mask, gender, age in years, and 1 if the age is top-coded."""
    two = table[["mask", "gender"]].to_numpy(np.float32)
    return np.concatenate([two, age_targets(table)], axis=1)


def heads_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of the three specialists' losses; logits (B, 3 + 2 + years), targets (B, 4)."""
    mask, gender, age = logits.tensor_split(_HEADS, dim=1)
    labels = targets[:, :2].long()
    return cross_entropy(mask, labels[:, 0]) + cross_entropy(gender, labels[:, 1]) + age_loss(age, targets[:, 2:])


def heads_distribution(logits: Tensor) -> Tensor:
    """Return three distributions side by side."""
    return torch.cat([part.softmax(1) for part in logits.tensor_split(_HEADS, dim=1)], dim=1)


def heads_classes(distribution: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return their product over the 18 classes, (N, 18)."""
    mask, gender, years = np.split(distribution, _HEADS, axis=1)
    return joint_probabilities(mask, gender, band_masses(years))


def heads_age(distribution: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return `age`, the median in years."""
    return {"age": year_columns(np.split(distribution, _HEADS, axis=1)[2])["age"]}


THREE_HEADS = Specialist(
    name="heads",
    classes=CLASSES,
    window=Window(),
    augmentation=augmentation,
    outputs=_HEADS[-1] + YEARS,
    truth=eighteen,
    targets=heads_targets,
    loss=heads_loss,
    distribution=heads_distribution,
    class_probabilities=heads_classes,
    details=heads_age,
    further_scores=mean_absolute_error,
)
"""One backbone on aligned crops, and the heads and losses of the three specialists on it."""
