"""What an age specialist may learn instead of the distribution of `years.py`: a number, three bands, years in order.

years   the distribution over years: one output for each, labels spread, the mean pulled to the label (the default)
l1      one output, the age itself, and its distance from the label; a distribution of no width
bands   three outputs, one for each band, by cross-entropy; says nothing of years
corn    an output for each year but the first: older than the year before, given as old as that (Shi et al., "Deep
        Neural Networks for Rank-Consistent Ordinal Regression Based On Conditional Probabilities", 2021)

Targets are those of `years.censored_targets`, (B, 2): the age, and 1 where it stands for "this or older".
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from pipelines.age.options import AgeLoss, AgeOptions
from pipelines.age.specialist import AGE
from pipelines.age.years import YEARS, censored_targets, known_ages
from shared.labels import BAND_EDGES, BANDS
from shared.specialist import Specialist, no_details, no_scores, same
from shared.training.run_folder import run_folder, trained_option

_MIDDLE, _SCALE = 40.0, 20.0
"""Years: an output of 0 is the middle of the ages, one of 1 so much older."""


def l1_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (B, 1) to the mean distance in years; of a censored label only what is missing to it counts."""
    gap = _age(logits) - targets[:, 0]
    distance = torch.where(targets[:, 1].bool(), (-gap).clamp(min=0), gap.abs())
    return distance.mean() / _SCALE


def l1_distribution(logits: Tensor) -> Tensor:
    """Logits (B, 1) to (B, YEARS): all on the two whole years around the age, so that it is their mean."""
    age = _age(logits).clamp(0, YEARS - 1)
    below = age.floor().long().clamp(max=YEARS - 2)
    share = (age - below)[:, None]
    return one_hot(below, YEARS) * (1 - share) + one_hot(below + 1, YEARS) * share


def _age(logits: Tensor) -> Tensor:
    return _MIDDLE + _SCALE * logits[:, 0]


def bands_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (B, 3) to the cross-entropy of the band; censoring changes none of them."""
    edges = torch.tensor(BAND_EDGES, device=targets.device, dtype=targets.dtype)
    return cross_entropy(logits, (targets[:, :1] >= edges).sum(1))


def corn_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (B, YEARS - 1) to a scalar, as `coral_pytorch.losses.corn_loss` has it where no label is censored.

    Output k asks "older than k?" of those who are k or older. Of a censored label no more is known than that.
    """
    age = targets[:, :1].round()
    years = torch.arange(YEARS - 1, device=logits.device)
    asked = torch.where(targets[:, 1:].bool(), years < age, years <= age)
    older = (age > years).to(logits.dtype)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, older, reduction="none")
    return (losses * asked).sum() / asked.sum()


def corn_distribution(logits: Tensor) -> Tensor:
    """Logits (B, YEARS - 1) to probabilities of the years (B, YEARS): each survives those before it."""
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
        details=no_details,
        further_scores=no_scores,
    ),
    "corn": replace(AGE, outputs=YEARS - 1, loss=corn_loss, distribution=corn_distribution),
}
"""By the name of the loss."""


def specialist(options: AgeOptions) -> Specialist:
    """The age specialist with the head and the top code that the options name."""
    top_code = options.top_code
    targets, labels = partial(censored_targets, top_code=top_code), partial(known_ages, top_code=top_code)
    return replace(HEADS[options.loss], targets=targets, labels=labels)


def head_of(outputs: Path | None) -> Specialist:
    """With the head that a run was trained with; runs of older versions have but one."""
    loss = trained_option(run_folder(outputs, AGE.name), "loss")
    return HEADS.get(loss, AGE)
