"""From what is asked and what was held out to answers, and a word on how they came about."""

from dataclasses import dataclass

from shared.answers.asked import Asked, Persons, persons_of
from shared.answers.fusion import Answers, fuse, most_probable
from shared.answers.held_out import HeldOut
from shared.arrays import Ints
from shared.decisions.measured import Decide, ThresholdChoice
from shared.decisions.persons import average_persons
from shared.decisions.report import describe
from shared.decisions.settle import Settled, averaged, gain_of_averaging, settle

NOT_AVERAGED = {
    "average": "info.csv names no person twice",
    "folder": "no folder holds two pictures",
    "ignore": "--persons ignore",
}
"""Why gender and age were not averaged over persons."""


@dataclass(frozen=True)
class Outcome:
    """Answers to N pictures, and where they come from."""

    answers: Answers
    """What each specialist says of them, averaged over persons where these are told."""
    decided: Ints
    """The class, 0-17, of each picture (N,)."""
    settled: Settled | None
    """How was decided; None for the most probable class of probabilities as they are."""
    remark: str
    """For people; empty where there is nothing to tell."""


def answer(
    asked: Asked,
    held_out: HeldOut | None,
    decide: Decide = "auto",
    thresholds: ThresholdChoice = "auto",
    calibrate: bool = True,
    persons: Persons = "average",
) -> Outcome:
    """Answer what is asked as held-out persons show, or, where there are none, with the most probable class.

    Raises `UserError` as `asked.persons_of` and `settle` do.
    """
    seen = persons_of(asked, persons)
    answers = asked.answers if seen is None else average_persons(asked.answers, seen)
    if held_out is None:
        return Outcome(answers, most_probable(fuse(answers)), None, "")
    settled = settle(held_out if seen is None else averaged(held_out), answers, decide, thresholds, calibrate)
    used = "done" if seen is not None else f"not done: {NOT_AVERAGED[persons]}"
    gain = f"Gender and age averaged over a person's pictures, by argmax: {gain_of_averaging(held_out)} ({used})"
    return Outcome(answers, settled.decide(answers), settled, f"{describe(settled)}\n{gain}")
