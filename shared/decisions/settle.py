"""How to decide, settled by what held-out persons show."""

from dataclasses import dataclass, replace

from shared.answers.fusion import Answers, fuse, most_probable, right_classes
from shared.answers.held_out import HeldOut
from shared.answers.years import year_columns
from shared.arrays import Ints
from shared.decisions.chain import Decider, Way, learn, probabilities, without_years
from shared.decisions.measured import (
    Decide,
    Measured,
    ThresholdChoice,
    allowed_ways,
    choose,
    measure,
)
from shared.decisions.persons import Interval, average_persons, bootstrap_gain, number_persons
from shared.errors import UserError
from shared.labels import CLASS_COUNT


@dataclass(frozen=True)
class Settled:
    """A decision, learnt on all held-out persons, and what such decisions did on persons they were not learnt on."""

    decider: Decider
    way: Way
    left_open: list[Way]
    """The ways it was chosen from, the simplest first."""
    measured: Measured
    years: bool
    """Whether age is decided from its distribution over years; from the bands of the files where not."""

    def decide(self, answers: Answers) -> Ints:
        """The classes (N,) to answer, for a table of N pictures from each specialist."""
        return self.decider.decide(probabilities(answers if self.years else without_years(answers)))

    @property
    def answers(self) -> Ints:
        """The classes (N,) of the held-out pictures, each decided without having learnt on its person."""
        return self.measured.answers[self.way]


def settle(held_out: HeldOut, asked: Answers, decide: Decide, thresholds: ThresholdChoice, calibrate: bool) -> Settled:
    """Measure all ways, choose one of those that the options leave open, and learn it on all held-out persons.

    Of what is asked only the columns are looked at. Raises `UserError` where thresholds are to be tuned though the
    distributions over years are not known on both sides, or are not those that the bands are the sums of.
    """
    years = bool(year_columns(asked["age"])) and year_columns(asked["age"]) == year_columns(held_out.answers["age"])
    if thresholds == "tuned" and not years:
        raise UserError(
            "--thresholds tuned needs year_0, year_1, ... in every oof.csv and eval.csv of the age runs: "
            "take runs of one version, or --thresholds fixed"
        )
    known = held_out if years else replace(held_out, answers=without_years(held_out.answers))
    left_open = allowed_ways(decide, thresholds, calibrate, years)
    measured = measure(known, allowed_ways("auto", "auto", calibrate, years))
    way = choose(measured, left_open)
    decider = learn([way], probabilities(known.answers), known.truth, known.persons)[way]
    return Settled(decider, way, left_open, measured, years)


def averaged(held_out: HeldOut) -> HeldOut:
    """Held-out answers as `average_persons` makes them."""
    return replace(held_out, answers=average_persons(held_out.answers, held_out.persons))


def gain_of_averaging(held_out: HeldOut) -> Interval:
    """What averaging over persons adds to macro F1 of the 18 classes, with the most probable class as the answer."""
    return gain_by_argmax(held_out, averaged(held_out))


def gain_by_argmax(before: HeldOut, after: HeldOut) -> Interval:
    """What other answers for the same held-out pictures add to macro F1 of the 18 classes, the most probable taken."""
    first, then = (most_probable(fuse(each.answers)) for each in (before, after))
    return bootstrap_gain(right_classes(before.truth), first, then, number_persons(before.persons), CLASS_COUNT)
