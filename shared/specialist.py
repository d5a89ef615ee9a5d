"""`Specialist`: what a pipeline defines so that the shared code can train it and predict with it.

The training loop knows nothing of masks, genders or ages. Everything in which pipelines differ is here.
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
"""Labels that every manifest has. Others are columns of train.csv."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K) and targets (B, ...) to a scalar."""


def softmax(logits: Tensor) -> Tensor:
    """Return probabilities (B, K) of logits (B, K) of classes that exclude each other."""
    return torch.softmax(logits, dim=1)


def same(distribution: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distribution itself, for specialists with one output per class."""
    return distribution


def nothing(*_: object) -> dict[str, Any]:
    """Return no further columns or scores, for specialists that predict classes only."""
    return {}


def no_rows(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return False for each row, for specialists that learn from known classes only."""
    return np.zeros(len(table), np.bool_)


def no_remark(_: pd.DataFrame) -> str:
    """Return no remark, for specialists with labels that need no interpretation."""
    return ""


# The defaults have names: a specialist can be pickled for another process.


@dataclass(frozen=True)
class Specialist:
    """One task: N images, K network outputs, C classes.

    Test-time augmentation and folds are averaged as distributions over the K outputs, and only their mean is turned
    into classes: for age, years are averaged, and bands are sums over years.
    """

    name: str
    classes: tuple[str, ...]
    """Names of the C classes, which are columns of the prediction files."""
    window: Window
    """The part of the crop that the network sees."""
    augmentation: Callable[..., Any]
    """Returns the albumentations transform of training images, uint8 RGB (size, size, 3)."""
    outputs: int
    """Number of logits, K."""
    truth: Callable[[pd.DataFrame], NDArray[np.int64]]
    """The true class of each row of the manifest, 0 to C - 1, (N,)."""
    targets: Callable[[pd.DataFrame], NDArray[Any]]
    """The target of the loss for each row of the manifest, (N,) or (N, ...)."""
    loss: Loss
    """Logits (B, K) and targets (B, ...) to a scalar."""
    partly_known: Callable[[pd.DataFrame], NDArray[np.bool_]] = no_rows
    """Whether the loss can learn from a row of the manifest with unknown class, (N,). It is then never held out."""
    distribution: Callable[[Tensor], Tensor] = softmax
    """Logits (B, K) to probabilities (B, K) that may be averaged."""
    class_probabilities: Callable[[NDArray[np.float64]], NDArray[np.float64]] = same
    """A mean distribution (N, K) to probabilities of the classes, (N, C)."""
    details: Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]] = nothing
    """A mean distribution (N, K) to further columns of the prediction files, (N,) each."""
    labels: Callable[[pd.DataFrame], dict[str, NDArray[Any]]] = nothing
    """The manifest to further columns of labels in oof.csv, (N,) each."""
    own_labels: tuple[str, ...] = ()
    """Columns of train.csv that it learns, besides mask, gender and age."""
    further_scores: Callable[[pd.DataFrame, pd.DataFrame], dict[str, float]] = nothing
    """Scores besides macro F1 and accuracy, from its columns and the manifest, both indexed by image."""
    remark: Callable[[pd.DataFrame], str] = no_remark
    """A line on the labels of a manifest, printed before training; empty if there is nothing to say."""

    def columns(self, distribution: NDArray[np.float64]) -> pd.DataFrame:
        """Return the columns of the prediction files for a mean distribution (N, K): the classes, then the details."""
        probabilities = pd.DataFrame(self.class_probabilities(distribution), columns=list(self.classes))
        return pd.concat([probabilities, pd.DataFrame(self.details(distribution))], axis="columns")

    def check(self, table: pd.DataFrame) -> None:
        """Raise `UserError` if the manifest lacks a label of this specialist, or has one that is no class."""
        missing = [column for column in self.own_labels if column not in table]
        if missing:
            raise UserError(
                f"train.csv lacks the column {', '.join(missing)}, which the {self.name} specialist learns: "
                "add it, with a value for every person"
            )
        self.truth(table)


def label(table: pd.DataFrame, column: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the class indices (N,) of a column that holds indices, or names in upper or lower case.

    Raises `UserError` for a name that is no class.
    """
    if is_numeric_dtype(table[column]):
        return table[column].to_numpy(np.int64)
    indices = {name.casefold(): index for index, name in enumerate(classes)}
    found = np.array([indices.get(name.casefold(), -1) for name in table[column]], np.int64)
    unknown = table[found < 0].drop_duplicates("person")
    if len(unknown):
        person, name = unknown.iloc[0][["person", column]]
        raise UserError(
            f"train.csv: {column} {name!r} of person {person} is none of {', '.join(classes)} "
            f"({counted(len(unknown), 'such person')}): correct it"
        )
    return found


def classifier(name: str, classes: tuple[str, ...], window: Window, augmentation: Callable[..., Any]) -> Specialist:
    """Return a specialist that learns the column `name` by cross-entropy.

    If `name` is none of mask, gender and age, train.csv must have this column, with a class name for every person.
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
