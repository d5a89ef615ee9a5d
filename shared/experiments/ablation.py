"""The table of an ablation, as a file, as Markdown and as an image.

One change at a time: where `python -m pipelines.TASK.ablate` leads.

Baseline and changes are trained on the same folds with the same seeds, and scored on the persons that were held out.
What was measured is not trained again: a stopped command is taken up by repeating it, and a longer list costs no more
than what is new in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill

import pandas as pd

from shared.experiments.measure import Answered, Difference, Laboratory, SpecialistOf, compared, scores_of
from shared.experiments.options import AblateOptions
from shared.experiments.variants import Change, Variant, baseline, varied
from shared.files import replacing
from shared.fusion.metrics import Interval
from shared.messages import UserError, markdown_table
from shared.tracking import table_of
from shared.training.options import TrainOptions

MAIN = "macro_f1"

DPI = 120
NAME_WIDTH = 36
"""Letters of a change's name on a line of the image."""


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
        print("no image: it needs matplotlib, pip install 'face18[figures]'")
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


FIRST_FOLD = 1
"""Networks that answer together are measured against one alone."""


def ablate(specialist_of: SpecialistOf, listed: Sequence[str], options: AblateOptions) -> None:
    """Measure the changes of the options, or those that are `listed`; prints, writes and draws a table.

    A change that cannot be measured is told in the table, and the others go on. Raises `UserError` where that is the
    baseline, or a change of the options is no OPTION=VALUE that this baseline can have.
    """
    name = specialist_of(options.train).name
    root = options.train.run.outputs or Path("outputs") / f"{name}-ablation"
    laboratory = Laboratory(specialist_of, root, table_of(root), options.truth)
    changes = [Change.of(text) for text in options.change or listed]
    start = baseline(options.train)
    # A misspelt one is told before hours are spent on the baseline; what it cannot have of the list, in the table.
    for change in changes if options.change else ():
        varied(change, start)
    reference = laboratory.measure(start)
    lines = [Line("baseline", scores_of(reference), {}, reference.seconds)]
    for number, change in enumerate(changes, start=1):
        print(f"\n[{number} of {len(changes)}] {change.name}", flush=True)
        lines.append(_line(change, start, reference, laboratory))
        write_table(root / "ablation.csv", lines)
    print(f"\n{name}: {_effort(options.train, reference)}\n\n{markdown(lines)}\n")
    drawn = draw(root / "ablation.png", f"{name}: {_effort(options.train, reference)}", lines)
    print(f"wrote {root / 'ablation.csv'}" + (f" and {root / 'ablation.png'}" if drawn else ""))


def _line(change: Change, start: Variant, reference: Answered, laboratory: Laboratory) -> Line:
    try:
        variant = varied(change, start)
        if variant.same_as(start):
            raise UserError("that is the baseline")
        if variant.average is not None:
            reference = laboratory.measure(replace(start, average=FIRST_FOLD))
        answered = laboratory.measure(variant)
        difference = compared(reference, answered)
    except UserError as error:
        print(f"not measured: {error}", flush=True)
        return Line(change.name, {}, {}, None, str(error))
    remark = _remark(variant, start, difference, reference)
    return Line(change.name, difference.scores, difference.gains, answered.seconds, remark)


def _remark(variant: Variant, start: Variant, difference: Difference, reference: Answered) -> str:
    """What else is not as with the baseline."""
    told = []
    if variant.average is not None:
        told.append(f"on eval, against {FIRST_FOLD} network alone")
    if variant.crop is not None and variant.options.sampling.drawn_masks == 0 < start.options.sampling.drawn_masks:
        told.append("nothing drawn; compare with drawn_masks=0")
    if difference.images < len(reference.answers):
        told.append(f"on the {difference.images:,} images that both hold out under the same labels")
    return "; ".join(told)


def _effort(options: TrainOptions, reference: Answered) -> str:
    only, folds = options.run.only_fold, f"{options.data.folds} folds"
    if only is not None:
        folds = f"fold {only} of {options.data.folds}"
    rows = reference.answers
    images = f"{len(rows):,} images of {rows['person'].nunique():,} persons held out"
    return f"{folds}, {options.model.size} px, {options.optimisation.epochs} epochs, {options.model.backbone}; {images}"
