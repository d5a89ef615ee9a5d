"""Age as a distribution over years: its targets, its loss, and what is read off it.

The loss joins the cross-entropy of a label spread over neighbouring years with the distance of the distribution's mean
from the label, after DLDL-v2 (Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", IJCAI
2018). Where labels are top-coded, the label 60 only says "60 or older": such a target is censored, and the loss asks
for nothing but probability above it (the likelihood of a Tobit model; Tobin, Econometrica 1958).
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.age.options import TopCode
from shared.fusion.ages import age_error, median_age
from shared.labels import BAND_EDGES

YEARS = 101
"""One output for each year of age from 0 to 100."""

SPREAD = 2.5
"""Standard deviation in years of a label: annotators differ by more."""

_TOP_HEAP = 4.0
"""The oldest age is taken for top-coded where it is so many times as frequent as a year of the ten before it."""


def censored_targets(table: pd.DataFrame, top_code: TopCode = "auto") -> NDArray[np.float32]:
    """(N, 2): the age in years, and 1 where it stands for "this or older", else 0.

    Heaps are counted in persons where the table tells them (column `person`), else in images.
    Images of other sources than the base data (column `source`, if there is one) may be coded otherwise: a code that
    is given is that of the base data, theirs is found by itself.
    """
    ages = table["age"].to_numpy(np.float32)
    censored = np.zeros_like(ages)
    sources = table["source"].to_numpy() if "source" in table else np.full(len(table), "")
    # A person has several images of one age: seven of the oldest are no heap.
    first = ~table["person"].duplicated().to_numpy() if "person" in table else np.ones(len(table), dtype=bool)
    for source in np.unique(sources):
        here = sources == source
        by_itself = top_code == "auto" or (source and top_code != "none")
        limit = find_top_code(ages[here & first]) if by_itself else top_code
        if limit not in (None, "none"):
            censored[here] = ages[here] >= float(limit)
    return np.stack([ages, censored], axis=1)


def known_ages(table: pd.DataFrame, top_code: TopCode = "auto") -> dict[str, NDArray[np.float32]]:
    """`true_age` in years, and `top_coded`: 1 where that stands for "this or older", else 0."""
    ages, censored = censored_targets(table, top_code).T
    return {"true_age": ages, "top_coded": censored}


def find_top_code(ages: NDArray[np.floating]) -> int | None:
    """The age at which labels are top-coded, told by the heap that they leave at the oldest; None without a heap.

    `ages` (P,) in years, one of each person.
    """
    oldest = ages.max()
    at_top = (ages == oldest).sum()
    a_year_before = ((ages >= oldest - 10) & (ages < oldest)).sum() / 10
    return int(oldest) if at_top > _TOP_HEAP * max(a_year_before, 1) else None


def age_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (B, YEARS) and targets (B, 2) as from `censored_targets` to a scalar."""
    # An age beyond the last output is one of it: nothing lies above, which would be an infinite loss.
    ages, censored = targets[:, 0].float().clamp(max=YEARS - 1), targets[:, 1].bool()
    years = torch.arange(YEARS, device=logits.device, dtype=logits.dtype)
    log_p = logits.log_softmax(1)

    label = torch.softmax(-((years - ages[:, None]) ** 2) / (2 * SPREAD**2), dim=1)
    known = -(label * log_p).sum(1)
    above = years >= ages[:, None]
    at_least = -log_p.masked_fill(~above, -torch.inf).logsumexp(1)

    gap = (log_p.exp() * years).sum(1) - ages
    distance = torch.where(censored, (-gap).clamp(min=0), gap.abs())
    return (torch.where(censored, at_least, known) + distance / SPREAD / 2).mean()


def band_probabilities(distribution: NDArray[np.float64], edges: tuple[int, ...] = BAND_EDGES) -> NDArray[np.float64]:
    """Probabilities of years (N, YEARS) to probabilities of the bands (N, len(edges) + 1)."""
    return np.stack([part.sum(1) for part in np.split(distribution, edges, axis=1)], axis=1)


def year_columns(distribution: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """`age`, the median in years, and the distribution it is the median of as `year_0` to `year_100`."""
    return {"age": median_age(distribution), **{f"year_{year}": distribution[:, year] for year in range(YEARS)}}


def mean_absolute_error(answers: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
    """In years, of the answered age; above a top-coded label (column `top_coded`, if there is one) none is off."""
    error = age_error(answers["age"].to_numpy(), table["age"].to_numpy(), answers.get("top_coded"))
    return {"mae_years": float(np.abs(error).mean())}
