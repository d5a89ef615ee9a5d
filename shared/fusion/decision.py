"""Choose the rule that turns the specialists' probabilities into one of the 18 classes.

The candidate rules are cross-fitted on held-out persons. The simplest is taken unless another gains clearly; it is then
fitted on all held-out persons.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared.fusion.ages import year_columns
from shared.fusion.fusion import SPECIALISTS, Networks, Predictions, average_persons, fuse, most_probable, true_classes
from shared.fusion.metrics import Floats, Interval, Ints, bootstrap_gain, person_codes
from shared.fusion.predictions import EvalSet, HeldOut, Persons, persons_of
from shared.fusion.rules import (
    CALIBRATED,
    PLAIN,
    DecisionRule,
    FittedRule,
    Probabilities,
    calibration_error,
    fit_rules,
    probabilities,
)
from shared.labels import CLASS_COUNT
from shared.messages import UserError

Decide = Literal["auto", "argmax", "f1"]
ThresholdChoice = Literal["auto", "tuned", "fixed"]

FEW = 100
"""Below this many persons a gain is clear only if its 95 % interval lies above zero; from there on, if it is more than
one standard error, as in CART (Breiman et al. 1984). Among three rules that gain nothing, the best on a dozen persons
is one error above zero in every other sample."""


@dataclass(frozen=True)
class CrossFitted:
    """Rules with their predictions for N held-out images, each rule fitted without the person of the image."""

    held_out: HeldOut
    predicted: Mapping[DecisionRule, Ints]
    """The class, 0-17, of each image (N,)."""
    tempered: Mapping[str, Floats]
    """For each specialist its calibrated class probabilities (N, C)."""

    def gain(self, rule: DecisionRule, before: DecisionRule = PLAIN) -> Interval:
        """Return macro F1 of the 18 classes by `rule` minus that by `before`, with its interval."""
        persons = person_codes(self.held_out.persons)
        truth = true_classes(self.held_out.truth)
        return bootstrap_gain(truth, self.predicted[before], self.predicted[rule], persons, CLASS_COUNT)

    def calibration_errors(self, task: str) -> tuple[float, float]:
        """Return the calibration error of a specialist before and after its temperature."""
        given = self.held_out.predictions[task][list(SPECIALISTS[task])].to_numpy()
        truth = self.held_out.truth[task]
        return calibration_error(given, truth), calibration_error(self.tempered[task], truth)


def cross_fit(held_out: HeldOut, rules: Sequence[DecisionRule], years: bool = True) -> CrossFitted:
    """Predict each part of the held-out images by rules that were fitted on the other parts.

    PLAIN and CALIBRATED are always among the rules. With a single person nothing is learned: all predict as PLAIN.
    """
    every = list(dict.fromkeys([PLAIN, CALIBRATED, *rules]))
    given = probabilities(held_out.predictions, years)
    plain = fit_rules([PLAIN], given, held_out.truth, held_out.persons)[PLAIN]
    predicted = {rule: plain.decide(given) for rule in every}
    tempered = plain.tempered(given)
    for inside, here, fitted_rules in parts(held_out, given, every):
        for rule, fitted in fitted_rules.items():
            predicted[rule][inside] = fitted.decide(here)
        for task, table in fitted_rules[CALIBRATED].tempered(here).items():
            tempered[task][inside] = table
    return CrossFitted(held_out, predicted, tempered)


def parts(
    held_out: HeldOut, given: Probabilities, rules: Sequence[DecisionRule]
) -> Iterator[tuple[NDArray[np.bool_], Probabilities, dict[DecisionRule, FittedRule]]]:
    """Yield for each part which images are in it (N,), their probabilities, and the rules fitted on all other parts."""
    numbers = held_out.parts()
    persons = held_out.persons.to_numpy()
    names = np.unique(numbers)
    # Seconds for 4,000 images, a quarter of a minute for 20,000: shown on a terminal only, and removed afterwards.
    for number in tqdm(names if len(names) > 1 else (), "decisions", leave=False, unit="part", disable=None):
        inside = numbers == number
        others = {task: table[~inside] for task, table in given.items()}
        truth = {task: classes[~inside] for task, classes in held_out.truth.items()}
        here = {task: table[inside] for task, table in given.items()}
        yield inside, here, fit_rules(rules, others, truth, persons[~inside])


def choose_rule(cross_fitted: CrossFitted, candidates: Sequence[DecisionRule]) -> DecisionRule:
    """Return the first candidate, which is the simplest, or the best of those that are clearly better."""
    simplest, *others = candidates
    gains = {rule: cross_fitted.gain(rule, simplest) for rule in others}
    few = cross_fitted.held_out.persons.nunique() < FEW
    clear = [rule for rule, gain in gains.items() if (gain.low > 0 if few else gain.value > gain.error)]
    return max(clear, key=lambda rule: gains[rule].value, default=simplest)


def candidate_rules(decide: Decide, thresholds: ThresholdChoice, calibrate: bool, years: bool) -> list[DecisionRule]:
    """Return the rules that the options allow, the simplest first; tuned thresholds need the distribution over `years`.

    If there are several and argmax is allowed, the first is argmax on uncalibrated probabilities.

    >>> [str(rule) for rule in candidate_rules("auto", "fixed", calibrate=True, years=True)]
    ['argmax, 30/60', 'argmax, 30/60, calibrated', 'f1, 30/60, calibrated']
    """
    class_rules = {"auto": (False, True), "argmax": (False,), "f1": (True,)}[decide]
    cuts = {"auto": (False, True) if years else (False,), "tuned": (True,), "fixed": (False,)}[thresholds]
    rules = [DecisionRule(calibrate, cut, f1) for f1 in class_rules for cut in cuts]
    simplest = rules[0]._replace(calibrated=False)
    # Class weights are made for calibrated probabilities.
    return [simplest, *rules] if calibrate and len(rules) > 1 and not simplest.f1 else rules


@dataclass(frozen=True)
class FittedDecision:
    """A rule fitted on all held-out persons, and what cross-fitting showed of it and of its alternatives."""

    fitted_rule: FittedRule
    rule: DecisionRule
    candidates: list[DecisionRule]
    """The rules it was chosen from, the simplest first."""
    cross_fitted: CrossFitted
    years: bool
    """Whether age is decided from its distribution over years; otherwise from the bands in the files."""

    def decide(self, predictions: Networks) -> Ints:
        """Return the classes, 0-17, (N,) of N images."""
        return self.fitted_rule.decide(probabilities(predictions, self.years))

    @property
    def calibrated(self) -> bool:
        """Whether probabilities are tempered, if only to report them."""
        return any(rule.calibrated for rule in self.candidates)

    @property
    def predicted(self) -> Ints:
        """The classes (N,) of the held-out images, each predicted without having learned from its person."""
        return self.cross_fitted.predicted[self.rule]


def fit_decision(
    held_out: HeldOut, predictions: Predictions, decide: Decide, thresholds: ThresholdChoice, calibrate: bool
) -> FittedDecision:
    """Cross-fit all rules, choose one of those that the options allow, and fit it on all held-out persons.

    With `calibrate`, temperatures are fitted even if the chosen rule decides without them: reported probabilities
    should be calibrated. `predictions` are those that will be decided with the rule; only their columns are used here.
    Raises `UserError` if thresholds are to be tuned but `held_out` or `predictions` have no distribution over years.
    """
    names = year_columns(predictions["age"])
    years = bool(names) and names == year_columns(held_out.predictions["age"])
    if thresholds == "tuned" and not years:
        raise UserError(
            "--thresholds tuned needs year_0, year_1, ... in every oof.csv and eval.csv of the age runs: "
            "take runs of one version, or --thresholds fixed"
        )
    candidates = candidate_rules(decide, thresholds, calibrate, years)
    cross_fitted = cross_fit(held_out, [*candidate_rules("auto", "auto", calibrate, years), *candidates], years)
    rule = choose_rule(cross_fitted, candidates)
    given = probabilities(held_out.predictions, years)
    fitted = fit_rules([rule, CALIBRATED], given, held_out.truth, held_out.persons)
    fitted_rule = fitted[rule]
    if calibrate and not rule.calibrated:
        fitted_rule = replace(fitted_rule, temperatures=fitted[CALIBRATED].temperatures, calibrated=False)
    return FittedDecision(fitted_rule, rule, candidates, cross_fitted, years)


@dataclass(frozen=True)
class Decision:
    """The predicted classes of N images, and what they rest on."""

    predictions: Predictions
    """Those of each specialist, averaged over persons if these are known."""
    predicted: Ints
    """The class, 0-17, of each image (N,)."""
    fitted: FittedDecision | None
    """None if there are no held-out images: the most probable class of the probabilities as they are."""
    averaged: bool
    """Whether gender and age were averaged over persons."""

    def decide(self, eval_set: EvalSet) -> Ints:
        """Return the classes, 0-17, of further images (N,), each by itself."""
        return self.fitted.decide(eval_set.networks) if self.fitted else most_probable(fuse(eval_set.predictions))


def decide_classes(
    eval_set: EvalSet,
    held_out: HeldOut | None,
    decide: Decide = "auto",
    thresholds: ThresholdChoice = "auto",
    calibrate: bool = True,
    persons: Persons = "average",
) -> Decision:
    """Predict the classes of an eval set, by a rule fitted on held-out persons if there are any.

    Raises `UserError` as `persons_of` and `fit_decision` do.
    """
    seen = persons_of(eval_set, persons)
    eval_set = eval_set if seen is None else eval_set.averaged(seen)
    predictions = eval_set.predictions
    if held_out is None:
        return Decision(predictions, most_probable(fuse(predictions)), None, seen is not None)
    learned_on = held_out if seen is None else averaged(held_out)
    fitted = fit_decision(learned_on, predictions, decide, thresholds, calibrate)
    return Decision(predictions, fitted.decide(eval_set.networks), fitted, seen is not None)


def averaged(held_out: HeldOut) -> HeldOut:
    """Return held-out predictions with gender and age averaged over the images of each person."""
    return replace(held_out, predictions=average_persons(held_out.predictions, held_out.persons))


def gain_by_argmax(before: HeldOut, after: HeldOut) -> Interval:
    """Return macro F1 of `after` minus that of `before`, predictions for the same held-out images, both by argmax."""
    first, second = (most_probable(fuse(each.predictions)) for each in (before, after))
    return bootstrap_gain(true_classes(before.truth), first, second, person_codes(before.persons), CLASS_COUNT)
