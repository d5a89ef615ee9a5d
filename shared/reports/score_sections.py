"""How good the held-out answers are: figures that sum up, class by class, and who is taken for whom."""

from typing import TYPE_CHECKING

import numpy as np

from shared.answers.fusion import SPECIALISTS
from shared.answers.years import years_off
from shared.decisions.persons import bootstrap_score, number_persons
from shared.labels import CLASS_COUNT, MASKS
from shared.reports.charts import chart
from shared.reports.finished_runs import Finished
from shared.reports.page import Section, beside, cards, figure, figures, heading, paragraph, plain_text, table
from shared.scores.figures import plot_confusion
from shared.scores.intervals import mean_interval, share_interval, told
from shared.scores.metrics import class_scores
from shared.scores.tables import Scored, score_answers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {"mask": "Mask", "gender": "Gender", "age": "Age band", "together": "18 classes"}


def all_scores(finished: Finished) -> list[Scored]:
    """Each specialist's most probable class, and the decided ones of the 18, beside the truth."""
    held_out = finished.held_out
    return score_answers(held_out.answers, held_out.truth, finished.settled.answers)


def overview(finished: Finished, scores: list[Scored]) -> Section:
    persons = number_persons(finished.held_out.persons)
    rows, values = [], []
    for scored in reversed(scores):
        f1 = bootstrap_score(scored.truth, scored.predicted, persons, len(scored.classes))
        right = share_interval(scored.truth == scored.predicted, persons)
        rows.append((TITLES[scored.name], str(len(scored.classes)), told(f1), told(right)))
        values.append((f"{TITLES[scored.name]}, macro F1", f"{f1.value:.3f}", f"{f1.low:.3f} to {f1.high:.3f}"))
    error = age_errors(finished)
    if error is not None:
        off = mean_interval(np.abs(error), persons)
        values.append(("Age, mean error", f"{off.value:.1f} years", f"{off.low:.1f} to {off.high:.1f}"))
    return Section(
        "Scores",
        [
            cards(values),
            table(("", "classes", "macro F1 [95 %]", "accuracy [95 %]"), rows),
            paragraph(
                "All figures are of persons that the answering network had not seen, decided by what was learnt on "
                "other persons still. Intervals are 95 %, over persons: of accuracy Wilson's, with a person as one "
                "trial, else by bootstrap.",
                "soft",
            ),
            heading("How it was decided"),
            plain_text(finished.remark),
        ],
    )


def true_ages(finished: Finished) -> np.ndarray | None:
    """In years (N,), by train.csv or else by the age run itself; None where neither tells."""
    if finished.labels is not None:
        return finished.labels["age"].to_numpy(np.float64)
    answers = finished.held_out.answers["age"]
    return answers["true_age"].to_numpy(np.float64) if "true_age" in answers else None


def age_errors(finished: Finished) -> np.ndarray | None:
    """Predicted less true age in years (N,); None where either is not known.

    Where a label stands for "this or older" (top-coded), whatever is above it is right.
    """
    answers, true = finished.held_out.answers["age"], true_ages(finished)
    if true is None or "age" not in answers:
        return None
    return years_off(answers["age"].to_numpy(), true, answers.get("top_coded"))


def confusion(scores: list[Scored]) -> Section:
    *single, together = scores

    def matrix(scored: Scored) -> str:
        def draw(drawn: "Figure") -> None:
            axes = drawn.add_subplot()
            axes.grid(visible=False)
            plot_confusion(axes, scored)
            axes.set_title(f"{TITLES[scored.name]}: macro F1 {scored.macro_f1:.3f}")

        large = len(scored.classes) == CLASS_COUNT
        return chart(draw, *((9.6, 9.0) if large else (4.2, 3.7)))

    small = [figure(matrix(scored), f"{TITLES[scored.name]}: the most probable class") for scored in single]
    large = figure(matrix(together), "The 18 classes, as decided", wide=True)
    text = "Rows are true, columns predicted classes; numbers are pictures, colour is the share of the row."
    return Section("Confusion matrices", [paragraph(text, "soft"), figures([*small, large])])


def classes(scores: list[Scored]) -> Section:
    parts = []
    for scored in reversed(scores):
        measured = zip(scored.classes, *class_scores(scored.confusion), strict=True)
        rows = [
            (name, f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}", f"{support:,}")
            for name, precision, recall, f1, support in measured
        ]
        parts.append(heading(TITLES[scored.name]) + table(("class", "precision", "recall", "F1", "pictures"), rows))
    return Section("Class by class", [beside([parts[0], "".join(parts[1:])])])


def by_mask_state(finished: Finished, scores: list[Scored]) -> Section:
    """What a mask costs the other two: the same figures for each true mask state."""
    held_out = finished.held_out
    error = age_errors(finished)
    rows = []
    for state, name in enumerate(MASKS):
        inside = held_out.truth["mask"] == state
        if not inside.any():
            continue
        persons = number_persons(held_out.persons[inside])
        cells = [name, f"{inside.sum():,}"]
        for scored in scores:
            cells.append(told(share_interval((scored.truth == scored.predicted)[inside], persons)))
        cells.append("" if error is None else told(mean_interval(np.abs(error[inside]), persons), 1))
        rows.append(cells)
    head = ("mask", "pictures", *(f"{TITLES[task].lower()} right" for task in (*SPECIALISTS, "together")), "years off")
    caption = "Shares of right answers and mean absolute error of age, with 95 % intervals."
    return Section("By mask state", [table(head, rows, caption)])
