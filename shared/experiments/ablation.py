"""One change at a time: where `python -m pipelines.TASK.ablate` leads.

Baseline and changes are trained on the same folds with the same seeds, and scored on the persons that were held out.
What was measured is not trained again: a stopped command is taken up by repeating it, and a longer list costs no more
than what is new in it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shared.errors import UserError
from shared.experiments.ablation_report import Line, draw, markdown, write_table
from shared.experiments.changes import Change, Variant, baseline, varied
from shared.experiments.comparing import Answered, Difference, compared, scores_of
from shared.experiments.measuring import Laboratory, SpecialistOf
from shared.experiments.options import AblateOptions
from shared.records import table_of
from shared.training.options import TrainOptions

FIRST_FOLD = 1
"""Networks that answer together are measured against one alone."""


def ablate(specialist_of: SpecialistOf, listed: Sequence[str], options: AblateOptions) -> None:
    """Measure the changes of the options, or those that are `listed`; prints, writes and draws a table.

    A change that cannot be measured is told in the table, and the others go on. Raises `UserError` where that is the
    baseline, or a change of the options is no OPTION=VALUE that this baseline can have.
    """
    name = specialist_of(options.train).name
    root = options.train.outputs or Path("outputs") / f"{name}-ablation"
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
    if variant.crop is not None and variant.options.drawn_masks == 0 < start.options.drawn_masks:
        told.append("nothing drawn; compare with drawn_masks=0")
    if difference.pictures < len(reference.answers):
        told.append(f"on the {difference.pictures:,} pictures that both hold out under the same labels")
    return "; ".join(told)


def _effort(options: TrainOptions, reference: Answered) -> str:
    folds = (
        f"fold {options.only_fold} of {options.folds}" if options.only_fold is not None else f"{options.folds} folds"
    )
    rows = reference.answers
    pictures = f"{len(rows):,} pictures of {rows['person'].nunique():,} persons held out"
    return f"{folds}, {options.size} px, {options.epochs} epochs, {options.backbone}; {pictures}"
