"""Scores of the three specialists and of the 18 classes, as tables for a terminal.

Confusion matrices as images. matplotlib is imported only to draw: it is slow to load, and an extra.

What was settled and why, in the few lines that combine.py prints.

From what is asked and what was held out to answers, and a word on how they came about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from shared.files import replacing
from shared.fusion.calibration import temper
from shared.fusion.decision import (
    PLAIN,
    CrossFitted,
    Decide,
    DecisionRule,
    FittedDecision,
    ThresholdChoice,
    averaged,
    fit_decision,
    fit_rules,
    gain_of_averaging,
    probabilities,
)
from shared.fusion.fusion import SPECIALISTS, Predictions, fuse, most_probable, true_classes
from shared.fusion.intervals import average_persons, person_codes
from shared.fusion.metrics import Ints, accuracy, class_scores, confusion_matrix, macro_f1
from shared.fusion.predictions import EvalSet, HeldOut, Persons, persons_of
from shared.fusion.thresholds import threshold_intervals
from shared.labels import CLASS_COUNT, class_name
from shared.messages import UserError, counted, text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOW = "(a specialist alone: its most probable class; together: as was decided)"


@dataclass(frozen=True)
class ScoredPredictions:
    """Answers beside the truth, of one specialist or of the 18 classes."""

    name: str
    classes: Sequence[str]
    truth: Ints
    """(N,) indices into `classes`."""
    predicted: Ints
    """(N,) indices into `classes`."""

    @property
    def confusion(self) -> Ints:
        """Counts (C, C), a row for each true class."""
        return confusion_matrix(self.truth, self.predicted, len(self.classes))

    @property
    def macro_f1(self) -> float:
        return macro_f1(self.truth, self.predicted, len(self.classes))

    @property
    def accuracy(self) -> float:
        return accuracy(self.truth, self.predicted)


@dataclass(frozen=True)
class Report:
    """How good answers are, on one set of images."""

    title: str
    name: str
    """Short, for the names of files."""
    scores: Sequence[ScoredPredictions]
    """The last is told class by class."""
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        parts = (self.title, f"{score_table(self.scores)}\n{HOW}", *self.notes, class_table(self.scores[-1]))
        return "\n\n".join(parts)


def score_predictions(
    answers: Mapping[str, pd.DataFrame], truth: Mapping[str, Ints], decided: Ints
) -> list[ScoredPredictions]:
    """The most probable class of each specialist, and the `decided` ones (N,) of the 18, beside the truth.

    `answers` has a table of N rows for each of `fusion.SPECIALISTS`, `truth` the right classes (N,) of each.
    """
    single = [
        ScoredPredictions(task, classes, truth[task], answers[task][list(classes)].to_numpy().argmax(axis=1))
        for task, classes in SPECIALISTS.items()
    ]
    names = [class_name(number) for number in range(CLASS_COUNT)]
    return [*single, ScoredPredictions("together", names, true_classes(truth), decided)]


def score_table(scores: Sequence[ScoredPredictions]) -> str:
    """A line for each: number of classes, macro F1, accuracy, number of images."""
    rows = [
        (each.name, len(each.classes), f"{each.macro_f1:.3f}", f"{each.accuracy:.3f}", f"{len(each.truth):,}")
        for each in scores
    ]
    return text_table(("specialist", "classes", "macro F1", "accuracy", "images"), rows)


def class_table(scored: ScoredPredictions) -> str:
    """A line for each class: precision, recall, F1, and how many images are of it in truth."""
    scores = zip(scored.classes, *class_scores(scored.confusion), strict=True)
    rows = [
        (number, name, f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}", f"{support:,}")
        for number, (name, precision, recall, f1, support) in enumerate(scores)
    ]
    return text_table(("", "class", "precision", "recall", "F1", "images"), rows, left=2)


DPI = 120
INCHES_PER_CLASS = 0.55


def draw_confusion(path: Path, title: str, scored: ScoredPredictions) -> None:
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
    axes.set_title(f"{title}\nmacro F1 {score:.3f}, {len(scored.truth):,} images", fontsize=11)
    plot_confusion(axes, scored)
    with replacing(path) as temporary:
        figure.savefig(temporary, bbox_inches="tight")


def plot_confusion(axes: "Axes", scored: ScoredPredictions) -> None:
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


def describe(settled: FittedDecision) -> str:
    """What was chosen, what each way gains, and what was learnt."""
    measured = settled.cross_fitted
    people = measured.held_out.persons.nunique()
    why = "as told" if len(settled.candidates) == 1 else "the simplest way, or one that is clearly better"
    lines = [
        f"Decided by {settled.rule} ({why}), learnt on {counted(people, 'held-out person')}.",
        "Macro F1 of the 18 classes on persons not learnt on; difference with a 95 % interval over persons:",
        *_ways(measured, settled.rule),
        *_temperatures(settled),
    ]
    if DecisionRule(settled.rule.calibrated, thresholds=True) in measured.predicted:
        lines.append(_thresholds(settled))
    return "\n".join(lines)


def _ways(measured: CrossFitted, taken: DecisionRule) -> list[str]:
    right = true_classes(measured.held_out.truth)
    width = max(len(_named(way)) for way in measured.predicted)
    return [
        f"  {_named(way):<{width}}  {macro_f1(right, answers, CLASS_COUNT):.3f}"
        + (f"  {measured.gain(way)}" if way != PLAIN else "")
        + ("  <- taken" if way == taken else "")
        for way, answers in measured.predicted.items()
    ]


def _named(way: DecisionRule) -> str:
    return f"{way}{', calibrated' if way.calibrated else ''}"


def _temperatures(settled: FittedDecision) -> list[str]:
    if not settled.rule.calibrated:
        return []
    parts = []
    for task in SPECIALISTS:
        before, after = settled.cross_fitted.calibration_errors(task)
        parts.append(f"{task} {settled.fitted_rule.temperatures[task]:.2f} ({before:.3f} -> {after:.3f})")
    return [f"Temperatures (calibration error before -> after): {', '.join(parts)}"]


def _thresholds(settled: FittedDecision) -> str:
    """The thresholds for all persons, taken or not; what they do to the bands is measured on persons not learnt on."""
    measured, held_out = settled.cross_fitted, settled.cross_fitted.held_out
    plain, tuned = DecisionRule(settled.rule.calibrated), DecisionRule(settled.rule.calibrated, thresholds=True)
    given = probabilities(held_out.predictions)
    learnt = fit_rules([tuned], given, held_out.truth, held_out.persons)[tuned]
    years = temper(given["age"], learnt.temperatures["age"])
    ends = threshold_intervals(years, held_out.truth["age"], person_codes(held_out.persons))
    found = " and ".join(
        f"{best:.1f} [{low:.1f}, {high:.1f}]" for best, low, high in zip(learnt.thresholds, *ends, strict=True)
    )
    gain = measured.gain_of_bands(tuned, plain)
    return f"Age thresholds in years: {found}; macro F1 of the bands alone {gain}"


NOT_AVERAGED = {
    "average": "info.csv names no person twice",
    "folder": "no folder holds two images",
    "ignore": "--persons ignore",
}
"""Why gender and age were not averaged over persons."""


@dataclass(frozen=True)
class Decision:
    """Answers to N images, and where they come from."""

    predictions: Predictions
    """What each specialist says of them, averaged over persons where these are told."""
    decided: Ints
    """The class, 0-17, of each image (N,)."""
    fitted: FittedDecision | None
    """How was decided; None for the most probable class of probabilities as they are."""
    remark: str
    """For people; empty where there is nothing to tell."""


def decide_classes(
    asked: EvalSet,
    held_out: HeldOut | None,
    decide: Decide = "auto",
    thresholds: ThresholdChoice = "auto",
    calibrate: bool = True,
    persons: Persons = "average",
) -> Decision:
    """Answer what is asked as held-out persons show, or, where there are none, with the most probable class.

    Raises `UserError` as `asked.persons_of` and `fit_decision` do.
    """
    seen = persons_of(asked, persons)
    answers = asked.predictions if seen is None else average_persons(asked.predictions, seen)
    if held_out is None:
        return Decision(answers, most_probable(fuse(answers)), None, "")
    settled = fit_decision(held_out if seen is None else averaged(held_out), answers, decide, thresholds, calibrate)
    used = "done" if seen is not None else f"not done: {NOT_AVERAGED[persons]}"
    gain = f"Gender and age averaged over a person's images, by argmax: {gain_of_averaging(held_out)} ({used})"
    return Decision(answers, settled.decide(answers), settled, f"{describe(settled)}\n{gain}")
