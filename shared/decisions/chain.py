"""From what three specialists say to one class: temperatures, thresholds and class weights, learnt and applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from shared.answers.fusion import SPECIALISTS, Answers, joint_probabilities, most_probable
from shared.answers.predictions import TOLERANCE
from shared.answers.years import year_columns
from shared.arrays import Floats, Ints
from shared.decisions.calibration import fit_temperature, temper
from shared.decisions.class_weights import ClassRule, fit_class_rule
from shared.decisions.persons import number_persons
from shared.decisions.thresholds import FIXED, Thresholds, band_masses, fit_thresholds
from shared.errors import UserError
from shared.wording import first_of

Probabilities = Mapping[str, Floats]
"""What is tempered, (N, C) for each specialist: of the classes of mask and gender, of years or bands of age."""


class Way(NamedTuple):
    """What of a decision is learnt. All False: 30 and 60, and the most probable class."""

    calibrated: bool = False
    thresholds: bool = False
    f1: bool = False

    def __str__(self) -> str:
        return f"{'f1' if self.f1 else 'argmax'}, {'tuned thresholds' if self.thresholds else '30/60'}"


@dataclass(frozen=True)
class Decider:
    """What was learnt on held-out persons; it knows no picture and no person."""

    temperatures: Mapping[str, float]
    thresholds: Thresholds
    rule: ClassRule | None
    """None for the most probable class."""

    def decide(self, given: Probabilities) -> Ints:
        """The classes (N,) to answer."""
        joint = joint_probabilities(*self.tempered(given).values())
        return self.rule.answers(joint) if self.rule else most_probable(joint)

    def tempered(self, given: Probabilities) -> dict[str, Floats]:
        """Probabilities of the classes of each specialist (N, C), tempered and, for age, cut into bands."""
        tempered = {task: temper(given[task], self.temperatures[task]) for task in SPECIALISTS}
        return {**tempered, "age": bands_of(tempered["age"], self.thresholds)}


PLAIN = Way()


def probabilities(answers: Answers) -> dict[str, Floats]:
    """What is tempered: years of age where these are known, else bands.

    Raises `UserError` where the distribution over years is not the one that the bands are the sums of.
    """
    given = {task: answers[task][list(classes)].to_numpy(np.float64) for task, classes in SPECIALISTS.items()}
    names = year_columns(answers["age"])
    if not names:
        return given
    years = answers["age"][names].to_numpy(np.float64)
    close = np.abs(band_masses(years, FIXED) - given["age"]).max(axis=1) <= TOLERANCE
    wrong = ~close | (years < 0).any(axis=1)
    if wrong.any():
        raise UserError(
            f"{names[0]} to {names[-1]} of {wrong.sum():,} pictures do not sum to the bands of age: "
            f"{first_of(answers['age'].index[wrong])}. Make the age run's oof.csv and eval.csv again"
        )
    return {**given, "age": years / years.sum(axis=1, keepdims=True)}


def without_years(answers: Answers) -> dict[str, pd.DataFrame]:
    """The same, with nothing but bands known of age."""
    return {**answers, "age": answers["age"].drop(columns=year_columns(answers["age"]))}


def bands_of(age: Floats, thresholds: Thresholds = FIXED) -> Floats:
    """Probabilities of the three bands (N, 3), from those of years or, as they are, of bands."""
    return age if age.shape[1] == len(SPECIALISTS["age"]) else band_masses(age, thresholds)


def _same(probabilities: Floats) -> Floats:
    return probabilities


def learn(
    ways: Sequence[Way], given: Probabilities, truth: Mapping[str, Ints], persons: ArrayLike
) -> dict[Way, Decider]:
    """What each way decides by, learnt on probabilities, right classes (N,) and persons (N,) of held-out pictures."""
    numbers = number_persons(persons)
    people = int(numbers.max()) + 1

    @cache
    def temperatures(calibrated: bool) -> dict[str, float]:
        if not calibrated:
            return dict.fromkeys(SPECIALISTS, 1.0)
        tasks = ((task, bands_of if task == "age" else _same) for task in SPECIALISTS)
        return {task: fit_temperature(given[task], truth[task], people, classes) for task, classes in tasks}

    @cache
    def thresholds(calibrated: bool, tuned: bool) -> Thresholds:
        if not tuned:
            return FIXED
        return fit_thresholds(temper(given["age"], temperatures(calibrated)["age"]), truth["age"], numbers)

    def decider(way: Way) -> Decider:
        cut = Decider(temperatures(way.calibrated), thresholds(way.calibrated, way.thresholds), None)
        if not way.f1:
            return cut
        return replace(cut, rule=fit_class_rule(joint_probabilities(*cut.tempered(given).values()), people))

    return {way: decider(way) for way in ways}
