"""How old? A distribution over years; its bands are cut at 30 and 60. --loss chooses what is learned:

years   a distribution over years (see `years.py`), the default
l1      one output, the age itself, by its distance from the label; a distribution of no width
bands   three outputs, the bands, by cross-entropy; it predicts no years
corn    one output for each year but the first: the probability of being older, given at least that age (Shi et al.,
        "Deep Neural Networks for Rank-Consistent Ordinal Regression Based On Conditional Probabilities", 2021)

Targets (B, 3) are those of `years.age_targets`: the first and the last age of a label, and 1 if it is exact.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pipelines.age.options import AgeLoss, AgeOptions
from pipelines.age.years import (
    YEARS,
    age_loss,
    age_targets,
    describe_labels,
    known_ages,
    limited_ages,
    mean_absolute_error,
    outside,
    year_columns,
)
from shared.fusion.ages import band_masses
from shared.labels import BAND_EDGES, BANDS, age_band
from shared.specialist import Specialist, Window, nothing, same
from shared.training.data import augmentation
from shared.training.run_folder import run_folder, trained_option

AGE = Specialist(
    name="age",
    classes=BANDS,
    # Face and hairline, without much of what surrounds them.
    window=Window(side=0.9, centre_y=0.5),
    # Wrinkles are fine detail: little blur.
    augmentation=partial(augmentation, blur=0.1),
    outputs=YEARS,
    truth=lambda table: table["age"].map(age_band).to_numpy("int64"),
    targets=age_targets,
    partly_known=limited_ages,
    loss=age_loss,
    class_probabilities=band_masses,
    details=year_columns,
    labels=known_ages,
    further_scores=mean_absolute_error,
)

_MIDDLE, _SCALE = 40.0, 20.0
"""Years: the output of --loss l1 is the age minus 40, divided by 20."""


def l1_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean distance in years / 20 of logits (B, 1); within an interval the distance is 0."""
    return outside(_age(logits), targets[:, 0], targets[:, 1]).mean() / _SCALE


def l1_distribution(logits: Tensor) -> Tensor:
    """Return a distribution (B, YEARS) on the two whole years around the age, which is its mean."""
    age = _age(logits).clamp(0, YEARS - 1)
    below = age.floor().long().clamp(max=YEARS - 2)
    share = (age - below)[:, None]
    return one_hot(below, YEARS) * (1 - share) + one_hot(below + 1, YEARS) * share


def _age(logits: Tensor) -> Tensor:
    return _MIDDLE + _SCALE * logits[:, 0]


def bands_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean negative log of the probability of the bands that a label is in, of logits (B, 3)."""
    edges = torch.tensor(BAND_EDGES, device=targets.device, dtype=targets.dtype)
    first, last = ((targets[:, end : end + 1] >= edges).sum(1, keepdim=True) for end in (0, 1))
    bands = torch.arange(len(BANDS), device=logits.device)
    inside = (bands >= first) & (bands <= last)
    return -logits.log_softmax(1).masked_fill(~inside, -torch.inf).logsumexp(1).mean()


def corn_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of logits (B, YEARS - 1), equal to `coral_pytorch.losses.corn_loss` if all labels are exact.

    Output k learns "older than k?" from those of age k or older. For an interval that is unknown from its start on.
    """
    age = targets[:, :1]
    years = torch.arange(YEARS - 1, device=logits.device)
    known = torch.where(targets[:, 2:].bool(), years <= age, years < age)
    older = (age > years).to(logits.dtype)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, older, reduction="none")
    return (losses * known).sum() / known.sum()


def corn_distribution(logits: Tensor) -> Tensor:
    """Return the probabilities of the years (B, YEARS) from conditional logits (B, YEARS - 1)."""
    survived = torch.nn.functional.pad(logits.sigmoid().cumprod(1), (1, 1))
    survived[:, 0] = 1
    return survived[:, :-1] - survived[:, 1:]


HEADS: dict[AgeLoss, Specialist] = {
    "years": AGE,
    "l1": replace(AGE, outputs=1, loss=l1_loss, distribution=l1_distribution),
    "bands": replace(
        AGE,
        outputs=len(BANDS),
        loss=bands_loss,
        class_probabilities=same,
        details=nothing,
        further_scores=nothing,
    ),
    "corn": replace(AGE, outputs=YEARS - 1, loss=corn_loss, distribution=corn_distribution),
}


def specialist(options: AgeOptions) -> Specialist:
    """Return the age specialist with the head and the top code of the options."""
    top_code = options.top_code
    targets, labels = partial(age_targets, top_code=top_code), partial(known_ages, top_code=top_code)
    return replace(
        HEADS[options.loss], targets=targets, labels=labels, remark=partial(describe_labels, top_code=top_code)
    )


def head_of(outputs: Path | None) -> Specialist:
    """Return the age specialist with the head that a run was trained with, the default one if that is unknown."""
    loss = trained_option(run_folder(outputs, AGE.name), "loss")
    return HEADS.get(loss, AGE)
