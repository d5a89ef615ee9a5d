"""Scores of the three specialists and of the 18 classes, as tables for a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from shared.answers.fusion import SPECIALISTS, right_classes
from shared.arrays import Ints
from shared.labels import CLASS_COUNT, class_name
from shared.scores.metrics import accuracy, class_scores, confusion_matrix, macro_f1

HOW = "(a specialist alone: its most probable class; together: as was decided)"


@dataclass(frozen=True)
class Scored:
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
    """How good answers are, on one set of pictures."""

    title: str
    name: str
    """Short, for the names of files."""
    scores: Sequence[Scored]
    """The last is told class by class."""
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        parts = (self.title, f"{score_table(self.scores)}\n{HOW}", *self.notes, class_table(self.scores[-1]))
        return "\n\n".join(parts)


def score_answers(answers: Mapping[str, pd.DataFrame], truth: Mapping[str, Ints], decided: Ints) -> list[Scored]:
    """The most probable class of each specialist, and the `decided` ones (N,) of the 18, beside the truth.

    `answers` has a table of N rows for each of `fusion.SPECIALISTS`, `truth` the right classes (N,) of each.
    """
    single = [
        Scored(task, classes, truth[task], answers[task][list(classes)].to_numpy().argmax(axis=1))
        for task, classes in SPECIALISTS.items()
    ]
    names = [class_name(number) for number in range(CLASS_COUNT)]
    return [*single, Scored("together", names, right_classes(truth), decided)]


def score_table(scores: Sequence[Scored]) -> str:
    """A line for each: number of classes, macro F1, accuracy, number of pictures."""
    lines = [f"{'specialist':<12}{'classes':>8}{'macro F1':>10}{'accuracy':>10}{'pictures':>10}"]
    for scored in scores:
        numbers = f"{scored.macro_f1:>10.3f}{scored.accuracy:>10.3f}{len(scored.truth):>10,}"
        lines.append(f"{scored.name:<12}{len(scored.classes):>8}{numbers}")
    return "\n".join(lines)


def class_table(scored: Scored) -> str:
    """A line for each class: precision, recall, F1, and how many pictures are of it in truth."""
    width = max(map(len, scored.classes)) + 2
    lines = [f"{'class':<{width + 4}}{'precision':>10}{'recall':>8}{'F1':>8}{'pictures':>10}"]
    scores = zip(scored.classes, *class_scores(scored.confusion), strict=True)
    for number, (name, precision, recall, f1, support) in enumerate(scores):
        lines.append(f"{number:>2}  {name:<{width}}{precision:>10.3f}{recall:>8.3f}{f1:>8.3f}{support:>10,}")
    return "\n".join(lines)
