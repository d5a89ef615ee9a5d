"""The table of an ablation, as a file, as Markdown and as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import pandas as pd

from shared.atomic import replacing
from shared.decisions.persons import Interval
from shared.wording import markdown_table

MAIN = "macro_f1"

DPI = 120
NAME_WIDTH = 36
"""Letters of a change's name on a line of the picture."""


@dataclass(frozen=True)
class Line:
    """What is told of the baseline or of a change."""

    change: str
    scores: Mapping[str, float]
    """Empty where it could not be measured."""
    gains: Mapping[str, Interval]
    """Beside the baseline; empty for itself."""
    seconds: float | None
    remark: str = ""


def write_table(path: Path, lines: Sequence[Line]) -> None:
    """A CSV: change, scores, difference to the baseline with the ends of its interval, seconds, remark."""
    rows = []
    for line in lines:
        gains = {
            f"{name}_{part}": value
            for name, gain in line.gains.items()
            for part, value in zip(("difference", "low", "high"), gain, strict=True)
        }
        rows.append({"change": line.change, **line.scores, **gains, "seconds": line.seconds, "remark": line.remark})
    with replacing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.6g")


def markdown(lines: Sequence[Line]) -> str:
    """The same for people: a score and its difference for each thing that was compared."""
    names = list(dict.fromkeys(name for line in lines for name in line.gains)) or [MAIN]
    heads = [part for name in names for part in (name.replace("_", " "), "difference [95 %]")]
    rows = []
    for line in lines:
        cells = [part for name in names for part in (_number(line.scores.get(name)), _gain(line.gains.get(name)))]
        remark = line.remark if line.scores else f"not measured: {line.remark}"
        rows.append([f"`{line.change}`", *cells, "" if line.seconds is None else f"{line.seconds:.0f}", remark])
    return markdown_table(["change", *heads, "seconds", ""], rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _gain(gain: Interval | None) -> str:
    return "" if gain is None else str(gain)


def draw(path: Path, title: str, lines: Sequence[Line]) -> bool:
    """A PNG: for every change its difference in macro F1 as a dot, its interval as a line, nothing as a dashed line.

    Returns whether there is one: not without matplotlib, which is told, nor where nothing was measured; an older one
    is then removed. Raises `UserError` where the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        print("no picture: it needs matplotlib, pip install 'face18[figures]'")
        path.unlink(missing_ok=True)
        return False
    # A change of many options at once would leave no room beside its name.
    measured = [(fill(line.change, NAME_WIDTH), line.gains[MAIN]) for line in lines if MAIN in line.gains]
    if not measured:
        path.unlink(missing_ok=True)
        return False
    rows = sum(name.count("\n") + 1 for name, _ in measured)
    # Without pyplot: no window system is asked for, and nothing lives on after the call.
    figure = Figure(figsize=(9, 1.4 + 0.3 * rows), dpi=DPI, layout="constrained")
    axes = figure.add_subplot(xlabel="macro F1, difference to the baseline with its 95 % interval over persons")
    axes.set_title(title, fontsize=9, loc="left")
    for place, (_, gain) in enumerate(measured):
        colour = "seagreen" if gain.low > 0 else "firebrick" if gain.high < 0 else "grey"
        axes.plot([gain.low, gain.high], [place, place], color=colour, linewidth=2)
        axes.plot(gain.value, place, "o", color=colour)
    axes.axvline(0, color="black", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(measured)), [name for name, _ in measured])
    axes.set_ylim(len(measured) - 0.5, -0.5)
    axes.grid(axis="x", color="lightgrey", linewidth=0.5)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return True
