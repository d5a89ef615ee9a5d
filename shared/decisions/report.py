"""What was settled and why, in the few lines that combine.py prints."""

from shared.answers.fusion import SPECIALISTS, right_classes
from shared.decisions.calibration import temper
from shared.decisions.chain import PLAIN, Way, learn, probabilities
from shared.decisions.measured import Measured
from shared.decisions.persons import number_persons
from shared.decisions.settle import Settled
from shared.decisions.thresholds import threshold_intervals
from shared.labels import CLASS_COUNT
from shared.scores.metrics import macro_f1
from shared.wording import counted


def describe(settled: Settled) -> str:
    """What was chosen, what each way gains, and what was learnt."""
    measured = settled.measured
    people = measured.held_out.persons.nunique()
    why = "as told" if len(settled.left_open) == 1 else "the simplest way, or one that is clearly better"
    lines = [
        f"Decided by {settled.way} ({why}), learnt on {counted(people, 'held-out person')}.",
        "Macro F1 of the 18 classes on persons not learnt on; difference with a 95 % interval over persons:",
        *_ways(measured, settled.way),
        *_temperatures(settled),
    ]
    if Way(settled.way.calibrated, thresholds=True) in measured.answers:
        lines.append(_thresholds(settled))
    return "\n".join(lines)


def _ways(measured: Measured, taken: Way) -> list[str]:
    right = right_classes(measured.held_out.truth)
    width = max(len(_named(way)) for way in measured.answers)
    return [
        f"  {_named(way):<{width}}  {macro_f1(right, answers, CLASS_COUNT):.3f}"
        + (f"  {measured.gain(way)}" if way != PLAIN else "")
        + ("  <- taken" if way == taken else "")
        for way, answers in measured.answers.items()
    ]


def _named(way: Way) -> str:
    return f"{way}{', calibrated' if way.calibrated else ''}"


def _temperatures(settled: Settled) -> list[str]:
    if not settled.way.calibrated:
        return []
    parts = []
    for task in SPECIALISTS:
        before, after = settled.measured.calibration_errors(task)
        parts.append(f"{task} {settled.decider.temperatures[task]:.2f} ({before:.3f} -> {after:.3f})")
    return [f"Temperatures (calibration error before -> after): {', '.join(parts)}"]


def _thresholds(settled: Settled) -> str:
    """The thresholds for all persons, taken or not; what they do to the bands is measured on persons not learnt on."""
    measured, held_out = settled.measured, settled.measured.held_out
    plain, tuned = Way(settled.way.calibrated), Way(settled.way.calibrated, thresholds=True)
    given = probabilities(held_out.answers)
    learnt = learn([tuned], given, held_out.truth, held_out.persons)[tuned]
    years = temper(given["age"], learnt.temperatures["age"])
    ends = threshold_intervals(years, held_out.truth["age"], number_persons(held_out.persons))
    found = " and ".join(
        f"{best:.1f} [{low:.1f}, {high:.1f}]" for best, low, high in zip(learnt.thresholds, *ends, strict=True)
    )
    gain = measured.gain_of_bands(tuned, plain)
    return f"Age thresholds in years: {found}; macro F1 of the bands alone {gain}"
