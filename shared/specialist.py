"""The seam: what a pipeline must say about itself for the shared loop to train it and to predict with it.

The loop knows nothing of masks, genders or ages. What really differs between them is here; the rest is in
`shared.training`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from torch import Tensor

from shared.crops import Window
from shared.messages import UserError, counted

OWN_LABELS = ("mask", "gender", "age")
"""What the manifest knows of every image; other labels are columns of train.csv."""


def softmax(logits: Tensor) -> Tensor:
    """For networks whose outputs exclude each other: (B, K) to (B, K)."""
    return torch.softmax(logits, dim=1)


def no_details(distribution: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """For specialists whose class probabilities say everything."""
    del distribution
    return {}


def no_labels(table: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """For specialists whose right class is all that is known."""
    del table
    return {}


def no_scores(answers: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
    """For specialists whom macro F1 and accuracy measure fully."""
    del answers, table
    return {}


def same(distribution: NDArray[np.float64]) -> NDArray[np.float64]:
    """For specialists whose outputs are the classes."""
    return distribution


@dataclass(frozen=True)
class Specialist:
    """One task, on one page. N images, K network outputs, C classes.

    Views and folds are averaged as distributions over the outputs, and only the average is turned into classes: for
    age, years are averaged and bands read off.
    """

    name: str
    classes: tuple[str, ...]
    """The C classes, as they head the columns of the prediction files."""
    window: Window
    augmentation: Callable[..., Any]
    """Makes the albumentations transform for training images, uint8 RGB (size, size, 3); takes strengths by name."""
    outputs: int
    """K: how many logits the network gives."""
    truth: Callable[[pd.DataFrame], NDArray[np.int64]]
    """The class 0..C-1 of each row of the manifest, (N,)."""
    targets: Callable[[pd.DataFrame], NDArray[Any]]
    """What the loss is told of each row of the manifest, (N,) or (N, ...)."""
    loss: Callable[[Tensor, Tensor], Tensor]
    """Logits (B, K) and targets (B, ...) to a scalar."""
    distribution: Callable[[Tensor], Tensor] = softmax
    """Logits (B, K) to probabilities (B, K) that may be averaged."""
    class_probabilities: Callable[[NDArray[np.float64]], NDArray[np.float64]] = same
    """An averaged distribution (N, K) to (N, C) probabilities of the classes."""
    details: Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]] = no_details
    """Further columns for the prediction files, (N,) each."""
    labels: Callable[[pd.DataFrame], dict[str, NDArray[Any]]] = no_labels
    """What is known of each row of the manifest besides its class, (N,) each: further columns of the held-out file."""
    own_labels: tuple[str, ...] = ()
    """Columns of train.csv that it learns from, beside the manifest's own mask, gender and age."""
    further_scores: Callable[[pd.DataFrame, pd.DataFrame], dict[str, float]] = no_scores
    """What else measures it, from its columns and the manifest, both indexed by image."""

    def columns(self, distribution: NDArray[np.float64]) -> pd.DataFrame:
        """What the prediction files say of N images: a column for each class, then the details."""
        probabilities = pd.DataFrame(self.class_probabilities(distribution), columns=list(self.classes))
        return pd.concat([probabilities, pd.DataFrame(self.details(distribution))], axis="columns")

    def check(self, table: pd.DataFrame) -> None:
        """Raises `UserError` where the manifest has no label to learn from, or one that is no class."""
        missing = [column for column in self.own_labels if column not in table]
        if missing:
            raise UserError(
                f"train.csv lacks the column {', '.join(missing)}, which the {self.name} specialist learns: "
                "add it, with a value for every person"
            )
        self.truth(table)


def label(table: pd.DataFrame, column: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """The classes of a column of the manifest, (N,): indices as they are, names in whatever case by their place.

    Raises `UserError` where a name is none of `classes`.
    """
    if is_numeric_dtype(table[column]):
        return table[column].to_numpy(np.int64)
    places = {name.casefold(): place for place, name in enumerate(classes)}
    found = np.array([places.get(name.casefold(), -1) for name in table[column]], np.int64)
    unknown = table[found < 0].drop_duplicates("person")
    if len(unknown):
        person, name = unknown.iloc[0][["person", column]]
        raise UserError(
            f"train.csv: {column} {name!r} of person {person} is none of {', '.join(classes)} "
            f"({counted(len(unknown), 'such person')}): correct it"
        )
    return found


def classifier(
    name: str,
    classes: tuple[str, ...],
    window: Window,
    augmentation: Callable[..., Any],
) -> Specialist:
    """A specialist that learns the manifest's column `name` by cross-entropy.

    Where the manifest has no such column of its own, train.csv must: with the name of a class for every person.
    """
    column = partial(label, column=name, classes=classes)
    return Specialist(
        name=name,
        classes=classes,
        window=window,
        augmentation=augmentation,
        outputs=len(classes),
        truth=column,
        targets=column,
        loss=torch.nn.functional.cross_entropy,
        own_labels=() if name in OWN_LABELS else (name,),
    )
