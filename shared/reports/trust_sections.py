"""Whether probabilities mean what they say, and where they were most wrong."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from shared.answers.fusion import SPECIALISTS
from shared.decisions.calibration import calibration_error
from shared.reports.charts import COLOURS, SOFT, chart, face
from shared.reports.finished_runs import Finished
from shared.reports.page import Section, Tile, figure, figures, heading, paragraph, tiles
from shared.reports.score_sections import TITLES, age_errors, true_ages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 10
WORST = 12
"""So many mistakes of each kind are shown, one for each person."""


def reliability(finished: Finished) -> Section:
    shown = []
    for task, classes in SPECIALISTS.items():
        before = finished.held_out.answers[task][list(classes)].to_numpy(np.float64)
        after = finished.settled.measured.tempered[task]
        picture = _diagram(task, before, after, finished.held_out.truth[task])
        shown.append(
            figure(picture, f"{TITLES[task]}: how often the most probable class is right, by its probability.")
        )
    text = (
        "How often the most probable class is right, by its probability. On the line, they mean what they say; "
        "below it, they are too sure. The temperature for each picture was learnt on other persons; the error is the "
        "mean distance from the line, over 15 bins."
    )
    return Section("Reliability", [paragraph(text, "soft"), figures(shown)])


def reliability_bins(
    probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, accuracy and number of pictures in each bin of equal width that holds any."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    places = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    held = counts > 0
    sums = (np.bincount(places, weights, minlength=bins)[held] for weights in (confidence, right))
    mean, accuracy = (total / counts[held] for total in sums)
    return mean, accuracy, counts[held]


def _diagram(task: str, before: np.ndarray, after: np.ndarray, truth: np.ndarray) -> str:
    def draw(drawn: "Figure") -> None:
        upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=SOFT, linewidth=1)
        for number, (name, given) in enumerate((("as they are", before), ("tempered", after))):
            mean, accuracy, counts = reliability_bins(given, truth)
            error = calibration_error(given, truth)
            mark = {"color": COLOURS[1 - number], "marker": "so"[number], "markersize": 4}
            upper.plot(mean, accuracy, label=f"{name}: error {error:.3f}", **mark)
            lower.plot(mean, counts, **mark)
        start = 1 / before.shape[1]
        upper.set(xlim=(start - 0.03, 1.02), ylim=(0, 1.04), ylabel="share right", title=TITLES[task])
        upper.legend(loc="lower right")
        lower.set(xlabel="probability of the answer", ylabel="pictures", ylim=(0, None))

    return chart(draw, 4.2, 4.2)


def mistakes(finished: Finished) -> Section:
    parts = [paragraph("Wrong answers that were most sure, one for each person: hard pictures, and wrong labels.")]
    if finished.crops is None:
        parts.append(paragraph("Without pictures: the crops are not at hand (--crops).", "soft"))
    for task in SPECIALISTS:
        worst = worst_mistakes(finished, task)
        parts.append(heading(f"{TITLES[task]}: {'no mistake' if worst.empty else 'surest mistakes'}"))
        parts.append(tiles(_tiles(finished, task, worst)))
    error = age_errors(finished)
    ages = true_ages(finished)
    if error is not None and ages is not None:
        parts += [heading("Age: furthest off"), tiles(_furthest(finished, ages, error))]
    return Section("Worst mistakes", parts)


def worst_mistakes(finished: Finished, task: str, count: int = WORST) -> pd.DataFrame:
    """The wrong answers whose true class was given the least probability, the worst of each person.

    Indexed by picture; columns: person, truth, said (indices), and the probabilities p_truth and p_said.
    """
    held_out = finished.held_out
    given = held_out.answers[task][list(SPECIALISTS[task])].to_numpy(np.float64)
    rows = np.arange(len(given))
    said, truth = given.argmax(axis=1), held_out.truth[task]
    table = pd.DataFrame(
        {
            "person": held_out.persons.to_numpy(),
            "truth": truth,
            "said": said,
            "p_truth": given[rows, truth],
            "p_said": given[rows, said],
        },
        index=held_out.persons.index,
    )
    wrong = table[said != truth].sort_values(["p_truth", "p_said"], ascending=[True, False], kind="stable")
    return wrong.drop_duplicates("person").head(count)


def _tiles(finished: Finished, task: str, worst: pd.DataFrame) -> Iterator[Tile]:
    names = SPECIALISTS[task]
    for picture, row in worst.iterrows():
        text = f"is {names[row['truth']]}\nsaid {names[row['said']]} ({row['p_said']:.2f})"
        yield _tile(finished, str(picture), text)


def _furthest(finished: Finished, ages: np.ndarray, error: np.ndarray) -> Iterator[Tile]:
    table = pd.DataFrame({"person": finished.held_out.persons, "age": ages, "off": error, "size": np.abs(error)})
    worst = table.sort_values("size", ascending=False, kind="stable").drop_duplicates("person").head(WORST)
    for picture, row in worst.iterrows():
        yield _tile(finished, str(picture), f"is {row['age']:.0f}\nsaid {row['age'] + row['off']:.0f} years")


def _tile(finished: Finished, picture: str, text: str) -> Tile:
    kind = finished.labels["kind"].loc[picture] if finished.labels is not None else picture.rpartition("/")[2]
    crops = finished.crops
    faces = [face(crops.read(picture))] if crops is not None and picture in crops.index.index else []
    return Tile(faces, f"{finished.held_out.persons[picture]} {kind}", text)
