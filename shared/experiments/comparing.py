"""Answers beside the baseline's: scores, and differences with 95 % intervals over persons."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from shared.decisions.persons import DRAWS, Interval, bootstrap_gain, draw_persons, number_persons
from shared.errors import UserError
from shared.scores.metrics import accuracy, macro_f1
from shared.specialist import OWN_LABELS, Specialist


@dataclass(frozen=True)
class Answered:
    """What a variant says of N pictures, beside what is true of them."""

    specialist: Specialist
    answers: pd.DataFrame
    """(N rows) indexed by picture: person, truth, then the specialist's columns."""
    labels: pd.DataFrame
    """(at least N rows) indexed by picture: what the specialist's further scores ask for."""
    seconds: float
    """That its training took; for a change of how networks are asked, that answering took."""


@dataclass(frozen=True)
class Difference:
    """A change beside the baseline, on the pictures that both answer and have the same labels for."""

    scores: Mapping[str, float]
    gains: Mapping[str, Interval]
    """Score less the baseline's, for the scores that both have."""
    pictures: int
    """On so many both were compared."""


def scores_of(answered: Answered) -> dict[str, float]:
    """Macro F1 and accuracy over the specialist's classes, then its further scores."""
    specialist, truth = answered.specialist, answered.answers["truth"]
    chosen = _chosen(answered)
    return {
        "macro_f1": macro_f1(truth, chosen, len(specialist.classes)),
        "accuracy": accuracy(truth, chosen),
        **answered.specialist.further_scores(answered.answers, answered.labels.loc[answered.answers.index]),
    }


def compared(before: Answered, after: Answered) -> Difference:
    """`after` beside `before`; draws of persons are the same for both. Raises `UserError` where no picture is common.

    Where label fixes or persons kept together differ, so do truth and folds: a picture whose label is in dispute, or
    that one side has learnt from, says nothing about which is better.
    """
    pictures = _common(before, after)
    before, after = (_on(each, pictures) for each in (before, after))
    persons = number_persons(after.answers["person"])
    truth, classes = after.answers["truth"].to_numpy(), len(after.specialist.classes)
    gains = {"macro_f1": bootstrap_gain(truth, _chosen(before), _chosen(after), persons, classes)}
    return Difference(scores_of(after), {**gains, **_further_gains(before, after, persons)}, len(pictures))


def _common(before: Answered, after: Answered) -> pd.Index:
    pictures = before.answers.index.intersection(after.answers.index, sort=False)
    one, other = (_labels(each, pictures) for each in (before, after))
    pictures = pictures[((one == other) | (one.isna() & other.isna())).all(axis="columns").to_numpy()]
    if pictures.empty:
        raise UserError("it holds out no picture that the baseline does, under the same labels: try --only-fold None")
    return pictures


def _labels(answered: Answered, pictures: pd.Index) -> pd.DataFrame:
    own = [name for name in OWN_LABELS if name in answered.labels]
    return answered.labels.loc[pictures, own].assign(truth=answered.answers.loc[pictures, "truth"])


def _on(answered: Answered, pictures: pd.Index) -> Answered:
    return Answered(answered.specialist, answered.answers.loc[pictures], answered.labels, answered.seconds)


def _chosen(answered: Answered) -> np.ndarray:
    return answered.answers[list(answered.specialist.classes)].to_numpy().argmax(axis=1)


def _further_gains(before: Answered, after: Answered, persons: np.ndarray) -> dict[str, Interval]:
    """Of scores that nothing is known of but how to compute them: they are, for every draw of persons."""
    rows = [np.flatnonzero(persons == person) for person in range(persons.max() + 1)]
    # By place from here on: a picture is drawn more than once, and looking names up takes most of the time.
    labels = after.labels.loc[after.answers.index].reset_index(drop=True)
    sides = [(each.specialist, each.answers.reset_index(drop=True)) for each in (before, after)]

    def gains(pictures: np.ndarray) -> dict[str, float]:
        known = labels.iloc[pictures]
        first, second = (specialist.further_scores(said.iloc[pictures], known) for specialist, said in sides)
        return {name: second[name] - first[name] for name in second if name in first}

    whole = gains(np.arange(len(persons)))
    if not whole:
        return {}
    drawn = pd.DataFrame(
        gains(np.concatenate([np.repeat(rows[person], int(times)) for person, times in enumerate(draw) if times]))
        for draw in draw_persons(len(rows), DRAWS)
    )
    ends = drawn.quantile([0.025, 0.975])
    return {name: Interval(value, *map(float, ends[name])) for name, value in whole.items()}
