"""One change at a time: `python -m pipelines.TASK.ablate`.

Baseline and changes are trained on the same folds with the same seeds, and scored on the held-out persons. Finished
trainings are reused: repeat a stopped command, or extend its list.
"""

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import pandas as pd

from shared.experiments.changes import BASELINE, Variant, baseline, changed
from shared.experiments.measure import Measured, SpecialistOf, compare, measure
from shared.experiments.options import AblateOptions, refuse_several_processes
from shared.files import replacing, table_csv, write_text
from shared.fusion.metrics import Interval
from shared.messages import UserError, markdown_table
from shared.tracking import table_of
from shared.training.options import TrainOptions

MAIN = "macro_f1"

DPI = 120

NAME_WIDTH = 36
"""Letters of a change's name on a line of the figure."""


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    change: str
    scores: pd.DataFrame
    """One row per seed; empty if the change failed."""
    gains: Mapping[str, Interval]
    """Compared with the baseline; empty for itself."""
    seconds: float | None
    """Mean training time of one seed."""
    remark: str = ""


def ablate(specialist_of: SpecialistOf, listed: Sequence[str], options: AblateOptions) -> None:
    """Measure the changes of --change, or else those `listed`; print, write and draw a table.

    A change that fails is a row that says why, and the next one goes on. Raises `UserError` if the baseline fails or a
    change of --change is misspelt.
    """
    refuse_several_processes("ablate")
    name = specialist_of(options.train).name
    root = options.train.run.outputs or Path("outputs") / f"{name}-ablation"
    first = options.train.optimisation.seed
    seeds = range(first, first + options.seeds)
    start = baseline(options.train)
    # Typing errors are found before hours are spent on the baseline.
    for change in options.change:
        changed(start, change)
    reference = measure(start, seeds, specialist_of, root, table_of(root))
    lines = [Line(BASELINE, reference.scores(), {}, reference.seconds)]
    changes = options.change or tuple(listed)
    for number, change in enumerate(changes, start=1):
        print(f"\n[{number} of {len(changes)}] {change}", flush=True)
        lines.append(_line(change, start, reference, seeds, specialist_of, root))
        write_table(root / "ablation.csv", lines)
    title = f"{name}: {_effort(options.train, seeds, reference)}"
    print(f"\n{title}\n\n{markdown(lines)}\n\n{seed_spread(lines, seeds)}\n")
    drawn = draw(root / "ablation.png", title, lines)
    print(f"wrote {root / 'ablation.csv'}" + (f" and {root / 'ablation.png'}" if drawn else ""))


def _line(
    change: str, start: Variant, reference: Measured, seeds: Sequence[int], specialist_of: SpecialistOf, root: Path
) -> Line:
    try:
        variant = changed(start, change)
        if variant.is_same(start):
            raise UserError("that is the baseline")
        measured = measure(variant, seeds, specialist_of, root, table_of(root))
        same_networks = variant.has_same_networks(start)
        comparison = compare(reference, measured, same_networks)
    except Exception as error:
        # Any fault of one change must not end the hours of all others.
        if not isinstance(error, UserError):
            traceback.print_exc(file=sys.stderr)
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        print(f"not measured: {reason}", flush=True)
        return Line(change, pd.DataFrame(), {}, None, " ".join(reason.split()))
    seconds = None if same_networks else measured.seconds
    remark = ""
    if comparison.images < len(reference.images):
        remark = f"on the {comparison.images:,} images that both hold out under the same labels"
    return Line(change, comparison.scores, comparison.gains, seconds, remark)


def _effort(options: TrainOptions, seeds: Sequence[int], reference: Measured) -> str:
    only, folds = options.run.only_fold, options.data.folds
    part = f"{folds} folds" if only is None else f"fold {only} of {folds}"
    epochs, model = options.optimisation.epochs, options.model
    persons = reference.predictions[0]["person"].nunique()
    images = f"{len(reference.images):,} images of {persons:,} persons held out"
    effort = f"seeds {', '.join(map(str, seeds))}, {part}, {model.input_size} px, {epochs} epochs, {model.backbone}"
    return f"{effort}; {images}"


def write_table(path: Path, lines: Sequence[Line]) -> None:
    """Write a CSV: change, mean scores, macro F1 of each seed, differences with their intervals, seconds, remark."""
    rows = []
    for line in lines:
        seeds = {f"{MAIN}_{place}": score for place, score in enumerate(line.scores.get(MAIN, ()))}
        gains = {
            f"{name}_{part}": value
            for name, gain in line.gains.items()
            for part, value in zip(("difference", "low", "high"), gain, strict=True)
        }
        means = {str(name): mean for name, mean in line.scores.mean().items()}
        row = {"change": line.change, **means, **seeds, **gains}
        rows.append({**row, "seconds": line.seconds, "remark": line.remark})
    write_text(path, table_csv(pd.DataFrame(rows), index=False, float_format="%.6g"))


def markdown(lines: Sequence[Line]) -> str:
    """Return the table as Markdown: every score that was compared, with its difference."""
    names = list(dict.fromkeys(name for line in lines for name in line.gains)) or [MAIN]
    heads = [part for name in names for part in (name.replace("_", " "), "difference [95 %]")]
    rows = []
    for line in lines:
        means = line.scores.mean()
        cells = [
            part
            for name in names
            for part in (f"{means[name]:.3f}" if name in means else "", str(line.gains.get(name, "")))
        ]
        remark = line.remark if len(line.scores) else f"not measured: {line.remark}"
        rows.append([f"`{line.change}`", *cells, "" if line.seconds is None else f"{line.seconds:.0f}", remark])
    return markdown_table(["change", *heads, "seconds", ""], rows)


def seed_spread(lines: Sequence[Line], seeds: Sequence[int]) -> str:
    """Return a sentence on how much the macro F1 of one training depends on its seed."""
    if len(seeds) == 1:
        return f"One seed ({seeds[0]}): the intervals leave out the luck of training; --seeds 2 includes it."
    spreads = {line.change: line.scores[MAIN].max() - line.scores[MAIN].min() for line in lines if len(line.scores)}
    widest = max(spreads, key=lambda change: spreads[change])
    mean = sum(spreads.values()) / len(spreads)
    return (
        f"Macro F1 of the {len(seeds)} seeds of one row spans {mean:.3f} on average, at most {spreads[widest]:.3f} "
        f"(`{widest}`), {spreads[BASELINE]:.3f} in the baseline. The intervals include this."
    )


def draw(path: Path, title: str, lines: Sequence[Line]) -> bool:
    """Draw the differences in macro F1 with their intervals as a PNG; return whether there is one.

    There is none without matplotlib or if all changes failed; then an older figure is removed.
    """
    path.unlink(missing_ok=True)
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        print("no figure: it needs matplotlib, pip install 'face18[figures]'")
        return False
    # Long names are wrapped, or they would leave no room for the axes.
    measured = [(fill(line.change, NAME_WIDTH), line.gains[MAIN]) for line in lines if MAIN in line.gains]
    if not measured:
        return False
    height = 1.4 + 0.3 * sum(name.count("\n") + 1 for name, _ in measured)
    # A Figure without pyplot needs no display and is freed after the call.
    figure = Figure(figsize=(9, height), dpi=DPI, layout="constrained")
    axes = figure.add_subplot(xlabel="macro F1, difference to the baseline with its 95 % interval")
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
