"""Measure the gain of each decision rule on other persons, by the number of persons it was learned on.

    python benchmarks/decisions.py --mask outputs/mask --gender outputs/gender --age outputs/age

Learns on a random draw of held-out persons and scores on all others, repeatedly. docs/experiments.md has the results.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from shared.commands import run
from shared.fusion.ages import FIXED, band_masses
from shared.fusion.decision import averaged, candidate_rules, choose_rule, cross_fit
from shared.fusion.fusion import SPECIALISTS, true_classes
from shared.fusion.metrics import macro_f1, person_codes
from shared.fusion.predictions import OOF, HeldOut, join_held_out, read_eval_set
from shared.fusion.rules import (
    CALIBRATED,
    PLAIN,
    FittedRule,
    calibration_error,
    fit_rules,
    fit_thresholds,
    negative_log_likelihood,
    probabilities,
)
from shared.label_fixes import read_solution
from shared.labels import BANDS, CLASS_COUNT, decode_class
from shared.messages import UserError, text_table


@dataclass(frozen=True)
class Options:
    """Learn decisions on few and on many held-out persons, and score them on the others."""

    mask: Path = Path("outputs/mask")
    """Run folder of the mask specialist; its oof.csv is read."""
    gender: Path = Path("outputs/gender")
    """Run folder of the gender specialist."""
    age: Path = Path("outputs/age")
    """Run folder of the age specialist, with a distribution over years."""
    learn_on: tuple[int, ...] = (12, 60, 300)
    """Numbers of persons to learn on; there must be more."""
    repeats: int = 16
    """Draws of persons for each number."""
    data: Path = Path("data")
    """Competition folder; read for --truth."""
    truth: Path | None = None
    """CSV of the true classes of the eval images, to score their calibration."""
    average: bool = False
    """First average gender and age over the images of a person."""


def main(options: Options) -> None:
    held_out = join_held_out({task: [getattr(options, task) / OOF] for task in ("mask", "gender", "age")})
    held_out = averaged(held_out) if options.average else held_out
    people = held_out.persons.nunique()
    if max(options.learn_on) >= people:
        raise UserError(f"--learn-on must be less than the {people:,} persons that were held out")
    if options.truth:
        print(_calibration(options, held_out, options.truth))
    random = np.random.default_rng(0)
    for count in options.learn_on:
        draws = [random.permutation(people)[:count] for _ in range(options.repeats)]
        scores = pd.DataFrame([_scores(held_out, chosen) for chosen in tqdm(draws, f"{count} persons", disable=None)])
        print(f"\nlearned on {count:,} of {people:,} persons, {options.repeats} times: macro F1 on the others")
        print(_table(scores))


def _scores(held_out: HeldOut, chosen: NDArray[np.int64]) -> dict[str, float]:
    """Score the 18 classes by each rule, and the bands by thresholds on the distribution and on its mean."""
    inside = np.isin(person_codes(held_out.persons), chosen)
    here, others = _part(held_out, inside), _part(held_out, ~inside)
    ways = candidate_rules("auto", "auto", calibrate=True, years=True)
    deciders = fit_rules([PLAIN, *ways], probabilities(here.predictions), here.truth, here.persons)
    unseen, right = probabilities(others.predictions), true_classes(others.truth)
    by_way = {way: macro_f1(right, decider.decide(unseen), CLASS_COUNT) for way, decider in deciders.items()}
    auto = by_way[choose_rule(cross_fit(here, ways), ways)]
    return {**{str(way): score for way, score in by_way.items()}, "auto": auto, **_bands(here, others)}


def _calibration(options: Options, held_out: HeldOut, truth: Path) -> str:
    """Score the calibration of eval predictions by temperatures of held-out persons, used in two ways.

    A temperature is learned on single networks. It can be applied to the mean of the folds' networks, which is less
    confident already, or to each network before the mean.
    """
    folders = {task: [getattr(options, task)] for task in SPECIALISTS}
    eval_set = read_eval_set(options.data, folders, False, options.data / "rejected.csv")
    solution = read_solution(truth).loc[eval_set.images, "truth"]
    attributes = np.array([decode_class(number) for number in solution])
    rule = fit_rules([CALIBRATED], probabilities(held_out.predictions), held_out.truth, held_out.persons)[CALIBRATED]
    plain = FittedRule(dict.fromkeys(SPECIALISTS, 1.0), FIXED, None)
    mean, networks = probabilities(eval_set.predictions), probabilities(eval_set.networks)
    ways = {
        "as they are": plain.tempered(mean),
        "the mean tempered": rule.tempered(mean),
        "each network tempered": rule.tempered(networks),
    }
    rows = [
        (
            f"{task}, {len(eval_set.networks[task])} networks, T {rule.temperatures[task]:.2f}",
            name,
            f"{calibration_error(tempered[task], attributes[:, place]):.4f}",
            f"{negative_log_likelihood(tempered[task], attributes[:, place]):.4f}",
        )
        for place, task in enumerate(SPECIALISTS)
        for name, tempered in ways.items()
    ]
    return text_table(("eval", "probabilities", "calibration error", "log loss"), rows, left=2)


def _bands(here: HeldOut, others: HeldOut) -> dict[str, float]:
    scores = {}
    for name, years in (("distribution", _distribution), ("mean", _mean)):
        tuned = fit_thresholds(years(here.predictions), here.truth["age"], person_codes(here.persons))
        for how, thresholds in (("30/60", FIXED), ("tuned", tuned)):
            predictions = band_masses(years(others.predictions), thresholds).argmax(axis=1)
            scores[f"bands alone, {name}, {how}"] = macro_f1(others.truth["age"], predictions, len(BANDS))
    return scores


def _distribution(predictions: Mapping[str, pd.DataFrame]) -> NDArray[np.float64]:
    return probabilities(predictions)["age"]


def _mean(predictions: Mapping[str, pd.DataFrame]) -> NDArray[np.float64]:
    """Put all probability on the year of the mean, so that bands are cut on the mean."""
    years = _distribution(predictions)
    whole = (years @ np.arange(years.shape[1]) + 1e-9).astype(np.int64)
    return np.eye(years.shape[1])[whole]


def _part(held_out: HeldOut, inside: NDArray[np.bool_]) -> HeldOut:
    return HeldOut(
        {task: table[inside] for task, table in held_out.predictions.items()},
        {task: classes[inside] for task, classes in held_out.truth.items()},
        held_out.persons[inside],
        held_out.folds[inside],
    )


def _table(scores: pd.DataFrame) -> str:
    """Means, and for the ways the difference to the first with its standard error over draws."""
    lines = []
    for name in scores:
        base = "bands alone, distribution, 30/60" if str(name).startswith("bands") else scores.columns[0]
        gain = scores[name] - scores[base]
        error = gain.std() / np.sqrt(len(gain))
        lines.append(f"  {name:<40}{scores[name].mean():.4f}  {gain.mean():+.4f} +- {error:.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, Options())
