"""Age as a distribution over years: targets, loss and predicted columns.

The loss is the cross-entropy of a label that is spread over neighbouring years, after DLDL (Gao et al., "Deep Label
Distribution Learning with Label Ambiguity", IEEE TIP 2017). A label may be an interval, such as 20-29; if labels are
top-coded, 60 is the interval "60 or older". The loss then only asks for probability within it (the likelihood of a
Tobit model; Tobin, Econometrica 1958).
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.age.options import TopCode
from shared.fusion.ages import age_error, median_age
from shared.manifest import AGE_RANGE

YEARS = 101
"""Outputs: one for each year of age from 0 to 100."""

SPREAD = 4.0
"""Standard deviation of a label in years. Two annotations of one photograph differ by 5.6 years on average, which a
normal distribution of five years for each gives."""

_HEAP, _ROUND_HEAP, _STRAYS = 4.0, 1.5, 0.05
"""A top code is this many times as frequent as a year of the ten before it, in the mean, and as the most frequent of
them: round ages are heaps too. At most this share of its count is older: a few labels that ignore the code."""


OPEN = 120.0
"""The end of an interval without end, in years: beyond all outputs."""


def age_targets(table: pd.DataFrame, top_code: TopCode = "auto") -> NDArray[np.float32]:
    """Return targets (N, 3): the first and the last age in completed years that a label allows, and 1 if it is exact.

    A label is a year, an interval (columns `age_low`, `age_high`) or, if ages are top-coded, a year that means "this or
    older". The code is found by counting persons (column `person`; without it, images) with exact labels. Images of
    each further source (column `source`) may be coded in another way: a given code is that of the base data, theirs
    are found.

    >>> age_targets(pd.DataFrame({"age": [20, 60]}), top_code=60).tolist()
    [[20.0, 20.0, 1.0], [60.0, 120.0, 0.0]]
    """
    low, high = (np.floor(table[name if name in table else "age"].to_numpy(np.float32)) for name in AGE_RANGE)
    exact = low == high
    sources = table["source"].to_numpy() if "source" in table else np.full(len(table), "")
    # A person has several images of one age: seven images of the oldest person are no heap.
    first = ~table["person"].duplicated().to_numpy() if "person" in table else np.ones(len(table), dtype=bool)
    for source in np.unique(sources):
        here = exact & (sources == source)
        search = top_code == "auto" or (source and top_code != "none")
        limit = find_top_code(low[here & first]) if search else top_code
        if limit not in (None, "none"):
            high[here & (low >= float(limit))] = OPEN
    return np.stack([low, high, low == high], axis=1).astype(np.float32)


def known_ages(table: pd.DataFrame, top_code: TopCode = "auto") -> dict[str, NDArray[np.float32]]:
    """Return the columns `true_age`, in completed years, and `top_coded`, 1 if that means "this or older", else 0.

    The true age is NaN if the label is an interval that ends.
    """
    low, high, exact = age_targets(table, top_code).T
    coded = high >= OPEN
    return {"true_age": np.where(coded | (exact > 0), low, np.float32("nan")), "top_coded": coded.astype(np.float32)}


def limited_ages(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return whether labels say anything of the age (N,): 25-34 does, although its band is unknown."""
    low, high = (table[name].to_numpy() for name in AGE_RANGE)
    limited: NDArray[np.bool_] = (low > 0) | (high < OPEN)
    return limited


def find_top_code(ages: NDArray[np.floating]) -> int | None:
    """Return the age at which labels are top-coded, found by its heap among the oldest ages; None without a heap.

    `ages` (P,) in years, one for each person.

    >>> find_top_code(np.array([20, 25, 52, 55, 58] + [60] * 30))
    60
    """
    counts = np.bincount(np.floor(ages).astype(np.int64))
    for age in range(len(counts) - 1, 0, -1):
        before = counts[max(age - 10, 0) : age]
        heap = counts[age] > _HEAP * max(before.sum() / 10, 1) and counts[age] > _ROUND_HEAP * before.max()
        if heap and counts[age + 1 :].sum() <= _STRAYS * counts[age]:
            return age
    return None


def describe_labels(table: pd.DataFrame, top_code: TopCode = "auto") -> str:
    """Return a line on what the age labels of a table are taken for.

    >>> describe_labels(pd.DataFrame({"age": [20, 59, 60, 60]}), top_code=60)
    'age labels: 60 stands for "60 or older" (2 of 4 images)'
    """
    low, high, exact = age_targets(table, top_code).T
    coded = (high >= OPEN) & (low == table["age"].floordiv(1))
    intervals = f"; {(exact == 0).sum() - coded.sum():,} images have intervals" if ((exact == 0) & ~coded).any() else ""
    if not coded.any():
        return f"age labels: none stands for itself or older (--top-code {top_code}){intervals}"
    code = low[coded].min()
    return f'age labels: {code:.0f} stands for "{code:.0f} or older" ({coded.sum()} of {len(low)} images){intervals}'


def age_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss, a scalar, of logits (B, YEARS) and targets (B, 3) from `age_targets`.

    >>> sure_of_70 = torch.full((1, YEARS), -40.0).index_fill(1, torch.tensor([70]), 0.0)
    >>> round(age_loss(sure_of_70, torch.tensor([[60.0, 120.0, 0.0]])).item(), 3)  # "60 or older"
    0.0
    """
    # An age beyond the last output counts as the last: above it lies nothing, which would be an infinite loss.
    low = targets[:, 0].float().clamp(max=YEARS - 1)
    # An exact age is a single year; an interval without end reaches beyond all outputs.
    exact = targets[:, 2].bool()
    high = torch.where(exact, low, targets[:, 1].float())
    years = torch.arange(YEARS, device=logits.device, dtype=logits.dtype)
    log_p = logits.log_softmax(1)

    # Exact age: cross-entropy with a normal distribution around the label.
    label = torch.softmax(-((years - low[:, None]) ** 2) / (2 * SPREAD**2), dim=1)
    known = -(label * log_p).sum(1)
    # Interval: negative logarithm of the probability of its years.
    inside = (years >= low[:, None]) & (years <= high[:, None])
    within = -log_p.masked_fill(~inside, -torch.inf).logsumexp(1)
    return torch.where(exact, known, within).mean()


def outside(age: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the distance in years of ages (B,) from intervals, 0 within."""
    return (low - age).clamp(min=0) + (age - high).clamp(min=0)


def year_columns(distribution: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the columns of the prediction files: `age`, the median in years, and `year_0` to `year_100`.

    >>> columns = year_columns(np.eye(YEARS)[[34]])
    >>> columns["age"].tolist(), columns["year_34"].tolist()
    ([34.5], [1.0])
    """
    return {"age": median_age(distribution), **{f"year_{year}": distribution[:, year] for year in range(YEARS)}}


def mean_absolute_error(predictions: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
    """Return the MAE of the predicted age in years, over images with an exact or top-coded label.

    Above a top-coded label (column `top_coded`) there is no error.

    >>> mean_absolute_error(pd.DataFrame({"age": [31.5, 52.5]}), pd.DataFrame({"age": [30, 50]}))
    {'mae_years': 1.5}
    """
    error = age_error(predictions["age"], table["age"], predictions.get("top_coded"))
    if set(AGE_RANGE) <= set(table):
        known = (table["age_low"] == table["age_high"]) | (table["age_high"] >= OPEN)
        error = error[known.to_numpy()]
    return {"mae_years": float(np.abs(error).mean()) if len(error) else float("nan")}
