"""Confusion matrices as pictures. matplotlib is imported only to draw: it is slow to load, and an extra."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shared.arrays import Ints
from shared.atomic import replacing
from shared.errors import UserError
from shared.scores.metrics import macro_f1
from shared.scores.tables import Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 120
INCHES_PER_CLASS = 0.55


def draw_confusion(path: Path, title: str, scored: Scored) -> None:
    """A PNG of the confusion matrix: counts written in, coloured by their share of the row, which is the true class.

    Raises `UserError` where matplotlib is not installed or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise UserError("--figures needs matplotlib: pip install 'face18[figures]'") from None
    count = len(scored.classes)
    side = 3 + INCHES_PER_CLASS * count
    # Without pyplot: no window system is asked for, and nothing lives on after the call.
    figure = Figure(figsize=(side, side), dpi=DPI, layout="constrained")
    score = macro_f1(scored.truth, scored.predicted, count)
    axes = figure.add_subplot()
    axes.set_title(f"{title}\nmacro F1 {score:.3f}, {len(scored.truth):,} pictures", fontsize=11)
    plot_confusion(axes, scored)
    with replacing(path) as temporary:
        figure.savefig(temporary, bbox_inches="tight")


def plot_confusion(axes: "Axes", scored: Scored) -> None:
    """The matrix on a pair of axes: a row for each true class, a column for each predicted one."""
    count = len(scored.classes)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(range(count), scored.classes, rotation=90 if count > 3 else 0)
    axes.set_yticks(range(count), scored.classes)
    _fill(axes, scored.confusion)


def _fill(axes: "Axes", confusion: Ints) -> None:
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true, predicted in np.argwhere(confusion):
        colour = "white" if shares[true, predicted] > 0.5 else "black"
        axes.text(
            predicted, true, f"{confusion[true, predicted]:,}", ha="center", va="center", color=colour, fontsize=9
        )
    for edge in np.arange(0.5, len(confusion) - 1):
        axes.axhline(edge, color="lightgrey", linewidth=0.5)
        axes.axvline(edge, color="lightgrey", linewidth=0.5)
