"""From what three specialists say to one class: temperatures, thresholds and class weights, learnt and applied.

Ways to decide, scored on held-out persons that they were not learnt on; and the one that is taken.

How to decide, settled by what held-out persons show.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from shared.fusion.calibration import calibration_error, fit_temperature, temper
from shared.fusion.fusion import (
    SPECIALISTS,
    Predictions,
    fuse,
    joint_probabilities,
    most_probable,
    true_classes,
    year_columns,
)
from shared.fusion.intervals import Interval, average_persons, bootstrap_gain, person_codes
from shared.fusion.metrics import Floats, Ints
from shared.fusion.predictions import TOLERANCE, HeldOut
from shared.fusion.thresholds import FIXED, ClassRule, Thresholds, band_masses, fit_class_rule, fit_thresholds
from shared.labels import BANDS, CLASS_COUNT
from shared.messages import UserError, first_of

Probabilities = Mapping[str, Floats]
"""What is tempered, (N, C) for each specialist: of the classes of mask and gender, of years or bands of age."""


class DecisionRule(NamedTuple):
    """What of a decision is learnt. All False: 30 and 60, and the most probable class."""

    calibrated: bool = False
    thresholds: bool = False
    f1: bool = False

    def __str__(self) -> str:
        return f"{'f1' if self.f1 else 'argmax'}, {'tuned thresholds' if self.thresholds else '30/60'}"


@dataclass(frozen=True)
class FittedRule:
    """What was learnt on held-out persons; it knows no image and no person."""

    temperatures: Mapping[str, float]
    thresholds: Thresholds
    class_rule: ClassRule | None
    """None for the most probable class."""

    def decide(self, given: Probabilities) -> Ints:
        """The classes (N,) to answer."""
        joint = joint_probabilities(*self.tempered(given).values())
        return self.class_rule.predict(joint) if self.class_rule else most_probable(joint)

    def tempered(self, given: Probabilities) -> dict[str, Floats]:
        """Probabilities of the classes of each specialist (N, C), tempered and, for age, cut into bands."""
        tempered = {task: temper(given[task], self.temperatures[task]) for task in SPECIALISTS}
        return {**tempered, "age": bands_of(tempered["age"], self.thresholds)}


PLAIN = DecisionRule()


def probabilities(answers: Predictions) -> dict[str, Floats]:
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
            f"{names[0]} to {names[-1]} of {wrong.sum():,} images do not sum to the bands of age: "
            f"{first_of(answers['age'].index[wrong])}. Make the age run's oof.csv and eval.csv again"
        )
    return {**given, "age": years / years.sum(axis=1, keepdims=True)}


def without_years(answers: Predictions) -> dict[str, pd.DataFrame]:
    """The same, with nothing but bands known of age."""
    return {**answers, "age": answers["age"].drop(columns=year_columns(answers["age"]))}


def bands_of(age: Floats, thresholds: Thresholds = FIXED) -> Floats:
    """Probabilities of the three bands (N, 3), from those of years or, as they are, of bands."""
    return age if age.shape[1] == len(SPECIALISTS["age"]) else band_masses(age, thresholds)


def _same(probabilities: Floats) -> Floats:
    return probabilities


def fit_rules(
    ways: Sequence[DecisionRule], given: Probabilities, truth: Mapping[str, Ints], persons: ArrayLike
) -> dict[DecisionRule, FittedRule]:
    """What each way decides by, learnt on probabilities, right classes (N,) and persons (N,) of held-out images."""
    numbers = person_codes(persons)
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

    def decider(way: DecisionRule) -> FittedRule:
        cut = FittedRule(temperatures(way.calibrated), thresholds(way.calibrated, way.thresholds), None)
        if not way.f1:
            return cut
        return replace(cut, class_rule=fit_class_rule(joint_probabilities(*cut.tempered(given).values()), people))

    return {way: decider(way) for way in ways}


Decide = Literal["auto", "argmax", "f1"]
ThresholdChoice = Literal["auto", "tuned", "fixed"]

PLAIN_RULES = (PLAIN, DecisionRule(calibrated=True))
"""What all others are measured against: probabilities as the files have them, and tempered."""

FEW = 100
"""Persons below which a gain is clear only when its 95 % interval lies above nothing; from there on, when it is more
than one standard error above, as in the rule of CART (Breiman et al. 1984). Of three ways that do nothing the best of
a dozen persons is one error above in every other draw."""


@dataclass(frozen=True)
class CrossFitted:
    """Ways to decide, each with the answers it gives to N held-out images without having learnt on their persons."""

    held_out: HeldOut
    predicted: Mapping[DecisionRule, Ints]
    """The class, 0-17, of each image (N,)."""
    tempered: Mapping[str, Floats]
    """For each specialist its probabilities (N, C) under temperatures that were learnt on other persons."""

    def gain(self, way: DecisionRule, before: DecisionRule = PLAIN) -> Interval:
        """Macro F1 of the 18 classes above that of another way."""
        persons = person_codes(self.held_out.persons)
        right = true_classes(self.held_out.truth)
        return bootstrap_gain(right, self.predicted[before], self.predicted[way], persons, CLASS_COUNT)

    def gain_of_bands(self, way: DecisionRule, before: DecisionRule) -> Interval:
        """Macro F1 of the age bands above that of another way; both must answer the most probable class."""
        persons, count = person_codes(self.held_out.persons), len(BANDS)
        return bootstrap_gain(
            self.held_out.truth["age"], self.predicted[before] % count, self.predicted[way] % count, persons, count
        )

    def calibration_errors(self, task: str) -> tuple[float, float]:
        """Of a specialist, before and after its temperature."""
        given = self.held_out.predictions[task][list(SPECIALISTS[task])].to_numpy()
        truth = self.held_out.truth[task]
        return calibration_error(given, truth), calibration_error(self.tempered[task], truth)


def cross_fit(held_out: HeldOut, ways: Sequence[DecisionRule]) -> CrossFitted:
    """Answer for every person with what was learnt on the persons of other parts alone; the plain ways always too.

    Where there is but one person nothing is learnt, and all ways answer as the plain one.
    """
    every = list(dict.fromkeys([*PLAIN_RULES, *ways]))
    given = probabilities(held_out.predictions)
    plain = fit_rules([PLAIN], given, held_out.truth, held_out.persons)[PLAIN]
    answers = {way: plain.decide(given) for way in every}
    tempered = plain.tempered(given)
    for inside, asked, deciders in parts(held_out, given, every):
        for way, decider in deciders.items():
            answers[way][inside] = decider.decide(asked)
        for task, table in deciders[PLAIN_RULES[1]].tempered(asked).items():
            tempered[task][inside] = table
    return CrossFitted(held_out, answers, tempered)


def parts(
    held_out: HeldOut, given: Probabilities, ways: Sequence[DecisionRule]
) -> Iterator[tuple[NDArray[np.bool_], Probabilities, dict[DecisionRule, FittedRule]]]:
    """Part by part: which images are in it (N,), what is said of them, and what was learnt on all others."""
    numbers = held_out.parts()
    persons = held_out.persons.to_numpy()
    names = np.unique(numbers)
    # On a terminal only, and gone afterwards: seconds for 4,000 images, a quarter of a minute for 20,000.
    for number in tqdm(names if len(names) > 1 else (), "decisions", leave=False, unit="part", disable=None):
        inside = numbers == number
        others = {task: table[~inside] for task, table in given.items()}
        truth = {task: classes[~inside] for task, classes in held_out.truth.items()}
        asked = {task: table[inside] for task, table in given.items()}
        yield inside, asked, fit_rules(ways, others, truth, persons[~inside])


def choose_rule(measured: CrossFitted, ways: Sequence[DecisionRule]) -> DecisionRule:
    """The best of some ways, the simplest first; one that is more than the first must be clearly better than it."""
    simplest, *others = ways
    gains = {way: measured.gain(way, simplest) for way in others}
    few = measured.held_out.persons.nunique() < FEW
    clear = [way for way, gain in gains.items() if (gain.low > 0 if few else gain.value > gain.error)]
    return max(clear, key=lambda way: gains[way].value, default=simplest)


def candidate_rules(decide: Decide, thresholds: ThresholdChoice, calibrate: bool, years: bool) -> list[DecisionRule]:
    """The ways that options leave open, the simplest first; thresholds need the distribution over `years`."""
    rules = {"auto": (False, True), "argmax": (False,), "f1": (True,)}[decide]
    cuts = {"auto": (False, True) if years else (False,), "tuned": (True,), "fixed": (False,)}[thresholds]
    return [DecisionRule(calibrate, cut, rule) for rule in rules for cut in cuts]


@dataclass(frozen=True)
class FittedDecision:
    """A decision, learnt on all held-out persons, and what such decisions did on persons they were not learnt on."""

    fitted_rule: FittedRule
    rule: DecisionRule
    candidates: list[DecisionRule]
    """The ways it was chosen from, the simplest first."""
    cross_fitted: CrossFitted
    years: bool
    """Whether age is decided from its distribution over years; from the bands of the files where not."""

    def decide(self, answers: Predictions) -> Ints:
        """The classes (N,) to answer, for a table of N images from each specialist."""
        return self.fitted_rule.decide(probabilities(answers if self.years else without_years(answers)))

    @property
    def predicted(self) -> Ints:
        """The classes (N,) of the held-out images, each decided without having learnt on its person."""
        return self.cross_fitted.predicted[self.rule]


def fit_decision(
    held_out: HeldOut, asked: Predictions, decide: Decide, thresholds: ThresholdChoice, calibrate: bool
) -> FittedDecision:
    """Measure all ways, choose one of those that the options leave open, and learn it on all held-out persons.

    Of what is asked only the columns are looked at. Raises `UserError` where thresholds are to be tuned though the
    distributions over years are not known on both sides, or are not those that the bands are the sums of.
    """
    years = bool(year_columns(asked["age"])) and year_columns(asked["age"]) == year_columns(held_out.predictions["age"])
    if thresholds == "tuned" and not years:
        raise UserError(
            "--thresholds tuned needs year_0, year_1, ... in every oof.csv and eval.csv of the age runs: "
            "take runs of one version, or --thresholds fixed"
        )
    known = held_out if years else replace(held_out, predictions=without_years(held_out.predictions))
    left_open = candidate_rules(decide, thresholds, calibrate, years)
    measured = cross_fit(known, candidate_rules("auto", "auto", calibrate, years))
    way = choose_rule(measured, left_open)
    decider = fit_rules([way], probabilities(known.predictions), known.truth, known.persons)[way]
    return FittedDecision(decider, way, left_open, measured, years)


def averaged(held_out: HeldOut) -> HeldOut:
    """Held-out answers as `average_persons` makes them."""
    return replace(held_out, predictions=average_persons(held_out.predictions, held_out.persons))


def gain_of_averaging(held_out: HeldOut) -> Interval:
    """What averaging over persons adds to macro F1 of the 18 classes, with the most probable class as the answer."""
    return gain_by_argmax(held_out, averaged(held_out))


def gain_by_argmax(before: HeldOut, after: HeldOut) -> Interval:
    """What other answers for the same held-out images add to macro F1 of the 18 classes, the most probable taken."""
    first, then = (most_probable(fuse(each.predictions)) for each in (before, after))
    return bootstrap_gain(true_classes(before.truth), first, then, person_codes(before.persons), CLASS_COUNT)
