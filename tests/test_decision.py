"""Candidate rules: cross-fitted, chosen and fitted on persons."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_predictions import held_out_predictions

from shared.fusion import decision as measuring
from shared.fusion.ages import FIXED
from shared.fusion.decision import (
    candidate_rules,
    choose_rule,
    cross_fit,
    fit_decision,
)
from shared.fusion.fusion import SPECIALISTS, fuse, most_probable, softmax, true_classes
from shared.fusion.metrics import macro_f1
from shared.fusion.predictions import PARTS, HeldOut
from shared.fusion.report import describe
from shared.fusion.rules import (
    PLAIN,
    DecisionRule,
    FittedRule,
    calibration_error,
    fit_rules,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
    temper,
)
from shared.labels import CLASS_COUNT
from shared.messages import UserError

ALL_WAYS = candidate_rules("auto", "auto", True, True)


@pytest.fixture(scope="module")
def biased() -> HeldOut:
    """Specialists that are too sure, and take the old for younger than they are."""
    return held_out_predictions(120, doubt=0.3, sharpness=2, years_off=6)


def test_no_person_is_answered_by_what_was_learnt_on_that_person(biased: HeldOut) -> None:
    before = cross_fit(biased, ALL_WAYS)
    # Whatever is held to be true of the persons of a fold, their own answers stay as they were.
    inside = (biased.folds == 2).to_numpy()
    random = np.random.default_rng(0)
    lies = {task: np.where(inside, random.permutation(classes), classes) for task, classes in biased.truth.items()}
    after = cross_fit(replace(biased, truth=lies), ALL_WAYS)
    for way in ALL_WAYS:
        np.testing.assert_array_equal(before.predicted[way][inside], after.predicted[way][inside])
    for task in before.tempered:
        np.testing.assert_array_equal(before.tempered[task][inside], after.tempered[task][inside])
        assert (before.tempered[task][~inside] != after.tempered[task][~inside]).any()


def test_one_fold_is_split_by_persons(biased: HeldOut, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt_on: list[set[str]] = []

    def spy(ways, given, truth, persons):  # type: ignore[no-untyped-def]
        learnt_on.append(set(persons))
        return fit_rules(ways, given, truth, persons)

    monkeypatch.setattr(measuring, "fit_rules", spy)
    one_fold = replace(biased, folds=pd.Series(3, biased.folds.index))
    cross_fit(one_fold, [PLAIN])
    everyone = set(biased.persons)
    assert learnt_on[0] == everyone  # the plain way, which learns nothing
    left_out = [everyone - persons for persons in learnt_on[1:]]
    assert len(left_out) == PARTS
    assert set.union(*left_out) == everyone
    assert sum(map(len, left_out)) == len(everyone)


def test_thresholds_are_taken_where_age_is_biased_and_the_gain_holds_on_other_persons(biased: HeldOut) -> None:
    settled = fit_decision(biased, biased.predictions, "auto", "auto", True)
    assert settled.rule.thresholds
    others = held_out_predictions(300, seed=1, doubt=0.3, sharpness=2, years_off=6)
    right = true_classes(others.truth)
    tuned = macro_f1(right, settled.decide(others.predictions), CLASS_COUNT)
    assert tuned > macro_f1(right, most_probable(fuse(others.predictions)), CLASS_COUNT) + 0.01


def test_a_dozen_persons_do_not_lead_away_from_argmax_by_luck() -> None:
    ways = []
    for seed in range(8):
        held_out = held_out_predictions(12, seed, doubt=0.5, folds=1)
        ways.append(fit_decision(held_out, held_out.predictions, "auto", "auto", True).rule)
    assert sum(rule == PLAIN for rule in ways) >= 6


def test_a_way_is_chosen_only_where_its_gain_is_clear(biased: HeldOut) -> None:
    right = true_classes(biased.truth)
    simple, other = DecisionRule(calibrated=True), DecisionRule(calibrated=True, f1=True)
    wrong = (right + 1) % CLASS_COUNT
    first, second = (np.where(biased.persons == person, right, wrong) for person in biased.persons.unique()[:2])
    answers = {PLAIN: wrong, simple: first, other: second}
    measured = replace(cross_fit(biased, []), predicted=answers)
    # One person is answered right instead of another.
    assert choose_rule(measured, [simple, other]) == simple
    assert choose_rule(replace(measured, predicted={**answers, other: right}), [simple, other]) == other
    assert choose_rule(measured, [other]) == other


def test_one_person_alone_teaches_nothing_and_breaks_nothing(biased: HeldOut) -> None:
    alone = biased.part((biased.persons == biased.persons.iloc[0]).to_numpy())
    settled = fit_decision(alone, alone.predictions, "auto", "auto", True)
    assert settled.rule == PLAIN
    assert "fitted on 1 held-out person" in describe(settled)


def test_without_distributions_over_years_the_bands_are_used_as_they_are(biased: HeldOut) -> None:
    bands = {**biased.predictions, "age": biased.predictions["age"].iloc[:, :3]}
    settled = fit_decision(biased, bands, "auto", "auto", True)
    assert not settled.rule.thresholds
    assert settled.decide(bands).shape == (len(biased.persons),)
    with pytest.raises(UserError, match="--thresholds tuned needs year_0"):
        fit_decision(biased, bands, "auto", "tuned", True)


def test_years_that_are_not_those_of_the_bands_are_refused(biased: HeldOut) -> None:
    age = biased.predictions["age"].copy()
    age.loc[age.index[5], ["year_20", "year_70"]] = age.loc[age.index[5], ["year_20", "year_70"]] + 0.3
    for spoilt in (age, biased.predictions["age"].assign(year_7=np.nan)):
        with pytest.raises(UserError, match=r"do not sum to the bands of age: 0000"):
            probabilities({**biased.predictions, "age": spoilt})


def unlike_networks(images: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities by five networks, four times too sure, a fifth of their noise their own (5, N, C); true classes."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, images)
    noise = np.sqrt(0.8) * random.standard_normal((images, classes))
    own = np.sqrt(0.2) * random.standard_normal((5, images, classes))
    return softmax(4 * (np.eye(classes)[truth] + noise + own)), truth


@pytest.mark.parametrize("task", ["mask", "gender"])
def test_networks_are_tempered_before_they_are_averaged(task: str) -> None:
    count, images = len(SPECIALISTS[task]), 20_000
    held_out, truth = unlike_networks(images, count, seed=0)
    temperature = fit_temperature(held_out[np.arange(images) % 5, np.arange(images)], truth, images)
    networks, truth = unlike_networks(images, count, seed=1)
    given = {name: np.full((5, images, len(classes)), 1 / len(classes)) for name, classes in SPECIALISTS.items()}
    rule = FittedRule({**dict.fromkeys(SPECIALISTS, 1.0), task: temperature}, FIXED, None)
    tempered = rule.tempered({**given, task: networks})[task]
    of_the_mean = temper(networks.mean(axis=0), temperature)
    assert calibration_error(tempered, truth) < 0.7 * calibration_error(of_the_mean, truth)
    assert negative_log_likelihood(tempered, truth) < negative_log_likelihood(of_the_mean, truth)
    # What held-out images promise is kept: the log loss of the mean is not above the mean log loss.
    single = np.mean([negative_log_likelihood(temper(each, temperature), truth) for each in networks])
    assert negative_log_likelihood(tempered, truth) <= single


def test_probabilities_are_calibrated_also_if_classes_are_decided_without(biased: HeldOut) -> None:
    fitted = fit_decision(biased, biased.predictions, "auto", "fixed", True)
    plain = replace(fitted.fitted_rule, calibrated=False, class_rule=None)
    given = probabilities(biased.predictions)
    np.testing.assert_array_equal(plain.decide(given), most_probable(fuse(biased.predictions)))
    assert plain.temperatures["gender"] > 1.5
    assert calibration_error(plain.tempered(given)["gender"], biased.truth["gender"]) < 0.05
