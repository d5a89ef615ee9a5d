"""Reports for people: tables of scores, confusion matrices, and how was decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from shared.files import replacing
from shared.fusion.decision import CrossFitted, Decision, FittedDecision, averaged, gain_by_argmax
from shared.fusion.fusion import SPECIALISTS, true_classes
from shared.fusion.metrics import Ints, accuracy, class_scores, confusion_matrix, macro_f1
from shared.fusion.predictions import HeldOut, Persons
from shared.fusion.rules import PLAIN, DecisionRule, fit_rules, probabilities
from shared.labels import CLASS_COUNT, class_name
from shared.messages import UserError, counted, text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOW = "(a specialist alone: its most probable class; together: as was decided)"


@dataclass(frozen=True)
class ScoredPredictions:
    """Predictions and truth of one specialist, or of the 18 classes."""

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
    """Scores on one set of images."""

    title: str
    name: str
    """A short name, for files."""
    scores: Sequence[ScoredPredictions]
    """The last one is shown class by class."""
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        parts = (self.title, f"{score_table(self.scores)}\n{HOW}", *self.notes, class_table(self.scores[-1]))
        return "\n\n".join(parts)


def score_predictions(
    predictions: Mapping[str, pd.DataFrame], truth: Mapping[str, Ints], decided: Ints
) -> list[ScoredPredictions]:
    """Return the scores of each specialist alone, by its most probable class, then of the decided classes (N,)."""
    single = [
        ScoredPredictions(task, classes, truth[task], predictions[task][list(classes)].to_numpy().argmax(axis=1))
        for task, classes in SPECIALISTS.items()
    ]
    names = [class_name(number) for number in range(CLASS_COUNT)]
    return [*single, ScoredPredictions("together", names, true_classes(truth), decided)]


def score_table(scores: Sequence[ScoredPredictions]) -> str:
    """Return a line for each: number of classes, macro F1, accuracy, number of images."""
    rows = [
        (each.name, len(each.classes), f"{each.macro_f1:.3f}", f"{each.accuracy:.3f}", f"{len(each.truth):,}")
        for each in scores
    ]
    return text_table(("specialist", "classes", "macro F1", "accuracy", "images"), rows)


def class_table(scored: ScoredPredictions) -> str:
    """Return a line for each class: precision, recall, F1, number of images of the class in truth."""
    scores = zip(scored.classes, *class_scores(scored.confusion), strict=True)
    rows = [
        (number, name, f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}", f"{support:,}")
        for number, (name, precision, recall, f1, support) in enumerate(scores)
    ]
    return text_table(("", "class", "precision", "recall", "F1", "images"), rows, left=2)


DPI = 120
INCHES_PER_CLASS = 0.55


def draw_confusion(path: Path, title: str, scored: ScoredPredictions) -> None:
    """Write a PNG of the confusion matrix: counts, coloured by their share of the row, which is the true class.

    Raises `UserError` if matplotlib is not installed or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise UserError("--figures needs matplotlib: pip install 'face18[figures]'") from None
    side = 3 + INCHES_PER_CLASS * len(scored.classes)
    # Without pyplot: no window system is needed, and no figure stays open.
    figure = Figure(figsize=(side, side), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(f"{title}\nmacro F1 {scored.macro_f1:.3f}, {len(scored.truth):,} images", fontsize=11)
    plot_confusion(axes, scored)
    with replacing(path) as temporary:
        figure.savefig(temporary, bbox_inches="tight")


def plot_confusion(axes: "Axes", scored: ScoredPredictions) -> None:
    """Draw the confusion matrix: a row for each true class, a column for each predicted one."""
    count, confusion = len(scored.classes), scored.confusion
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(range(count), scored.classes, rotation=90 if count > 3 else 0)
    axes.set_yticks(range(count), scored.classes)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true, predicted in np.argwhere(confusion):
        colour = "white" if shares[true, predicted] > 0.5 else "black"
        text = f"{confusion[true, predicted]:,}"
        axes.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=9)
    for edge in np.arange(0.5, count - 1):
        axes.axhline(edge, color="lightgrey", linewidth=0.5)
        axes.axvline(edge, color="lightgrey", linewidth=0.5)


NOT_AVERAGED = {
    "average": "info.csv names no person twice",
    "ignore": "--persons ignore",
}
"""Why gender and age were not averaged over persons."""


def describe_decision(decision: Decision, held_out: HeldOut | None, persons: Persons) -> str:
    """Return how was decided, and what averaging over persons gains; empty if there were no held-out images."""
    if decision.fitted is None or held_out is None:
        return ""
    used = "done" if decision.averaged else f"not done: {NOT_AVERAGED[persons]}"
    gain = gain_by_argmax(held_out, averaged(held_out))
    return f"{describe(decision.fitted)}\nGender and age averaged over a person's images, by argmax: {gain} ({used})"


def describe(fitted: FittedDecision) -> str:
    """Return which rule was chosen, what each candidate gains, and the numbers that were learned."""
    cross_fitted = fitted.cross_fitted
    persons = cross_fitted.held_out.persons.nunique()
    why = "by the options" if len(fitted.candidates) == 1 else "the simplest rule, or one that is clearly better"
    lines = [
        f"Decided by {fitted.rule} ({why}), fitted on {counted(persons, 'held-out person')}.",
        "Macro F1 of the 18 classes on persons not fitted on; difference with a 95 % interval over persons:",
        *_rules(cross_fitted, fitted.rule),
    ]
    if fitted.calibrated:
        lines.append(_temperatures(fitted))
    if DecisionRule(fitted.calibrated, thresholds=True) in cross_fitted.predicted:
        lines.append(_thresholds(fitted))
    return "\n".join(lines)


def _rules(cross_fitted: CrossFitted, taken: DecisionRule) -> list[str]:
    truth = true_classes(cross_fitted.held_out.truth)
    width = max(len(str(rule)) for rule in cross_fitted.predicted)
    return [
        f"  {rule!s:<{width}}  {macro_f1(truth, predicted, CLASS_COUNT):.3f}"
        + (f"  {cross_fitted.gain(rule)}" if rule != PLAIN else "")
        + ("  <- taken" if rule == taken else "")
        for rule, predicted in cross_fitted.predicted.items()
    ]


def _temperatures(fitted: FittedDecision) -> str:
    parts = []
    for task, temperature in fitted.fitted_rule.temperatures.items():
        before, after = fitted.cross_fitted.calibration_errors(task)
        parts.append(f"{task} {temperature:.2f} ({before:.3f} -> {after:.3f})")
    return f"Temperatures (calibration error before -> after): {', '.join(parts)}"


def _thresholds(fitted: FittedDecision) -> str:
    """Return the thresholds fitted on all persons, used or not."""
    held_out, tuned = fitted.cross_fitted.held_out, DecisionRule(fitted.calibrated, thresholds=True)
    learned = fit_rules([tuned], probabilities(held_out.predictions), held_out.truth, held_out.persons)[tuned]
    used = "" if fitted.fitted_rule.thresholds == learned.thresholds else ", not used here"
    return f"Tuned age thresholds in years: {learned.thresholds.low:.1f} and {learned.thresholds.high:.1f}{used}"
