"""Ways to decide, scored on held-out persons that they were not learnt on; and the one that is taken."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared.answers.fusion import SPECIALISTS, right_classes
from shared.answers.held_out import HeldOut
from shared.arrays import Floats, Ints
from shared.decisions.calibration import calibration_error
from shared.decisions.chain import PLAIN, Decider, Probabilities, Way, learn, probabilities
from shared.decisions.persons import Interval, bootstrap_gain, number_persons
from shared.labels import BANDS, CLASS_COUNT

Decide = Literal["auto", "argmax", "f1"]
ThresholdChoice = Literal["auto", "tuned", "fixed"]

PLAIN_WAYS = (PLAIN, Way(calibrated=True))
"""What all others are measured against: probabilities as the files have them, and tempered."""

FEW = 100
"""Persons below which a gain is clear only when its 95 % interval lies above nothing; from there on, when it is more
than one standard error above, as in the rule of CART (Breiman et al. 1984). Of three ways that do nothing the best of
a dozen persons is one error above in every other draw."""


@dataclass(frozen=True)
class Measured:
    """Ways to decide, each with the answers it gives to N held-out pictures without having learnt on their persons."""

    held_out: HeldOut
    answers: Mapping[Way, Ints]
    """The class, 0-17, of each picture (N,)."""
    tempered: Mapping[str, Floats]
    """For each specialist its probabilities (N, C) under temperatures that were learnt on other persons."""

    def gain(self, way: Way, before: Way = PLAIN) -> Interval:
        """Macro F1 of the 18 classes above that of another way."""
        persons = number_persons(self.held_out.persons)
        right = right_classes(self.held_out.truth)
        return bootstrap_gain(right, self.answers[before], self.answers[way], persons, CLASS_COUNT)

    def gain_of_bands(self, way: Way, before: Way) -> Interval:
        """Macro F1 of the age bands above that of another way; both must answer the most probable class."""
        persons, count = number_persons(self.held_out.persons), len(BANDS)
        return bootstrap_gain(
            self.held_out.truth["age"], self.answers[before] % count, self.answers[way] % count, persons, count
        )

    def calibration_errors(self, task: str) -> tuple[float, float]:
        """Of a specialist, before and after its temperature."""
        given = self.held_out.answers[task][list(SPECIALISTS[task])].to_numpy()
        truth = self.held_out.truth[task]
        return calibration_error(given, truth), calibration_error(self.tempered[task], truth)


def measure(held_out: HeldOut, ways: Sequence[Way]) -> Measured:
    """Answer for every person with what was learnt on the persons of other parts alone; the plain ways always too.

    Where there is but one person nothing is learnt, and all ways answer as the plain one.
    """
    every = list(dict.fromkeys([*PLAIN_WAYS, *ways]))
    given = probabilities(held_out.answers)
    plain = learn([PLAIN], given, held_out.truth, held_out.persons)[PLAIN]
    answers = {way: plain.decide(given) for way in every}
    tempered = plain.tempered(given)
    for inside, asked, deciders in parts(held_out, given, every):
        for way, decider in deciders.items():
            answers[way][inside] = decider.decide(asked)
        for task, table in deciders[PLAIN_WAYS[1]].tempered(asked).items():
            tempered[task][inside] = table
    return Measured(held_out, answers, tempered)


def parts(
    held_out: HeldOut, given: Probabilities, ways: Sequence[Way]
) -> Iterator[tuple[NDArray[np.bool_], Probabilities, dict[Way, Decider]]]:
    """Part by part: which pictures are in it (N,), what is said of them, and what was learnt on all others."""
    numbers = held_out.parts()
    persons = held_out.persons.to_numpy()
    names = np.unique(numbers)
    # On a terminal only, and gone afterwards: seconds for 4,000 pictures, a quarter of a minute for 20,000.
    for number in tqdm(names if len(names) > 1 else (), "decisions", leave=False, unit="part", disable=None):
        inside = numbers == number
        others = {task: table[~inside] for task, table in given.items()}
        truth = {task: classes[~inside] for task, classes in held_out.truth.items()}
        asked = {task: table[inside] for task, table in given.items()}
        yield inside, asked, learn(ways, others, truth, persons[~inside])


def choose(measured: Measured, ways: Sequence[Way]) -> Way:
    """The best of some ways, the simplest first; one that is more than the first must be clearly better than it."""
    simplest, *others = ways
    gains = {way: measured.gain(way, simplest) for way in others}
    few = measured.held_out.persons.nunique() < FEW
    clear = [way for way, gain in gains.items() if (gain.low > 0 if few else gain.value > gain.error)]
    return max(clear, key=lambda way: gains[way].value, default=simplest)


def allowed_ways(decide: Decide, thresholds: ThresholdChoice, calibrate: bool, years: bool) -> list[Way]:
    """The ways that options leave open, the simplest first; thresholds need the distribution over `years`."""
    rules = {"auto": (False, True), "argmax": (False,), "f1": (True,)}[decide]
    cuts = {"auto": (False, True) if years else (False,), "tuned": (True,), "fixed": (False,)}[thresholds]
    return [Way(calibrate, cut, rule) for rule in rules for cut in cuts]
