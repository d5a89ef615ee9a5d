"""How good the held-out answers are: figures that sum up, class by class, and who is taken for whom.

Age: what was said beside what is true, who is taken for how much older, and where the bands are cut.

Whether probabilities mean what they say, and where they were most wrong.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from shared.fusion.calibration import calibration_error, temper
from shared.fusion.decision import DecisionRule, fit_rules, probabilities
from shared.fusion.fusion import SPECIALISTS, age_error, year_columns
from shared.fusion.intervals import (
    Interval,
    bootstrap_score,
    count_by_person,
    draw_persons,
    format_interval,
    mean_interval,
    person_codes,
    share_interval,
    weighted_macro_f1,
)
from shared.fusion.metrics import class_scores
from shared.fusion.report import ScoredPredictions, plot_confusion, score_predictions
from shared.fusion.thresholds import FIXED, Thresholds, band_masses, threshold_intervals
from shared.labels import BAND_EDGES, BANDS, CLASS_COUNT, MASKS
from shared.reports.finished_runs import Finished
from shared.reports.page_parts import (
    COLOURS,
    SOFT,
    Section,
    Tile,
    beside,
    cards,
    chart,
    face,
    figure,
    figures,
    heading,
    paragraph,
    plain_text,
    plot,
    table,
    tiles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {"mask": "Mask", "gender": "Gender", "age": "Age band", "together": "18 classes"}


def all_scores(finished: Finished) -> list[ScoredPredictions]:
    """Each specialist's most probable class, and the decided ones of the 18, beside the truth."""
    held_out = finished.held_out
    return score_predictions(held_out.predictions, held_out.truth, finished.settled.predicted)


def overview(finished: Finished, scores: list[ScoredPredictions]) -> Section:
    persons = person_codes(finished.held_out.persons)
    rows, values = [], []
    for scored in reversed(scores):
        f1 = bootstrap_score(scored.truth, scored.predicted, persons, len(scored.classes))
        right = share_interval(scored.truth == scored.predicted, persons)
        rows.append((TITLES[scored.name], str(len(scored.classes)), format_interval(f1), format_interval(right)))
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
    answers = finished.held_out.predictions["age"]
    return answers["true_age"].to_numpy(np.float64) if "true_age" in answers else None


def age_errors(finished: Finished) -> np.ndarray | None:
    """Predicted less true age in years (N,); None where either is not known.

    Where a label stands for "this or older" (top-coded), whatever is above it is right.
    """
    answers, true = finished.held_out.predictions["age"], true_ages(finished)
    if true is None or "age" not in answers:
        return None
    return age_error(answers["age"].to_numpy(), true, answers.get("top_coded"))


def confusion(scores: list[ScoredPredictions]) -> Section:
    *single, together = scores

    def matrix(scored: ScoredPredictions) -> str:
        def draw(drawn: "Figure") -> None:
            axes = drawn.add_subplot()
            axes.grid(visible=False)
            plot_confusion(axes, scored)
            axes.set_title(f"{TITLES[scored.name]}: macro F1 {scored.macro_f1:.3f}")

        large = len(scored.classes) == CLASS_COUNT
        return chart(draw, *((9.6, 9.0) if large else (4.2, 3.7)))

    small = [figure(matrix(scored), f"{TITLES[scored.name]}: the most probable class") for scored in single]
    large = figure(matrix(together), "The 18 classes, as decided", wide=True)
    text = "Rows are true, columns predicted classes; numbers are images, colour is the share of the row."
    return Section("Confusion matrices", [paragraph(text, "soft"), figures([*small, large])])


def classes(scores: list[ScoredPredictions]) -> Section:
    parts = []
    for scored in reversed(scores):
        measured = zip(scored.classes, *class_scores(scored.confusion), strict=True)
        rows = [
            (name, f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}", f"{support:,}")
            for name, precision, recall, f1, support in measured
        ]
        parts.append(heading(TITLES[scored.name]) + table(("class", "precision", "recall", "F1", "images"), rows))
    return Section("Class by class", [beside([parts[0], "".join(parts[1:])])])


def by_mask_state(finished: Finished, scores: list[ScoredPredictions]) -> Section:
    """What a mask costs the other two: the same figures for each true mask state."""
    held_out = finished.held_out
    error = age_errors(finished)
    rows = []
    for state, name in enumerate(MASKS):
        inside = held_out.truth["mask"] == state
        if not inside.any():
            continue
        persons = person_codes(held_out.persons[inside])
        cells = [name, f"{inside.sum():,}"]
        for scored in scores:
            cells.append(format_interval(share_interval((scored.truth == scored.predicted)[inside], persons)))
        cells.append("" if error is None else format_interval(mean_interval(np.abs(error[inside]), persons), 1))
        rows.append(cells)
    head = ("mask", "images", *(f"{TITLES[task].lower()} right" for task in (*SPECIALISTS, "together")), "years off")
    caption = "Shares of right answers and mean absolute error of age, with 95 % intervals."
    return Section("By mask state", [table(head, rows, caption)])


DECADES = np.arange(0, 121, 10)
REACH = 12
"""Years to both sides of a band's edge that the threshold curve shows."""

MARKERS = ("o", "s", "^")


def age(finished: Finished) -> Section:
    error, true = age_errors(finished), true_ages(finished)
    if error is None or true is None:
        return Section("Age in years", [paragraph("Not shown: true ages in years need --data with train.csv.", "soft")])
    persons = person_codes(finished.held_out.persons)
    said = finished.held_out.predictions["age"]["age"].to_numpy(np.float64)
    scatter = "Each point is an image; on the line, age is right (above it too, where a label means this or older)."
    decades = "Mean error and mean absolute error by true age, with 95 % intervals."
    shown = [
        figure(_scatter(true, said, finished.held_out.truth["mask"]), scatter),
        figure(_by_decade(true, error, persons), decades),
    ]
    return Section("Age in years", [figures(shown), _table(true, error, persons, finished.held_out.truth["mask"])])


def _scatter(true: np.ndarray, said: np.ndarray, masks: np.ndarray) -> str:
    aside = np.random.default_rng(0).uniform(-0.35, 0.35, len(true))

    def draw(axes: "Axes") -> None:
        ends = [min(true.min(), said.min()) - 2, max(true.max(), said.max()) + 2]
        axes.plot(ends, ends, color=SOFT, linewidth=1)
        for state, name in enumerate(MASKS):
            inside = masks == state
            axes.scatter(
                (true + aside)[inside], said[inside], s=9, alpha=0.45, color=COLOURS[state], marker=MARKERS[state],
                linewidths=0, label=f"mask {name}", rasterized=True,
            )  # fmt: skip
        for edge in BAND_EDGES:
            axes.axvline(edge, color=SOFT, linewidth=0.8, linestyle=":")
            axes.axhline(edge, color=SOFT, linewidth=0.8, linestyle=":")
        axes.set(xlabel="true age (years)", ylabel="predicted age (years)", title="Predicted and true age")
        axes.legend(loc="upper left", markerscale=1.8, handletextpad=0.2)

    return plot(draw, height=4.2)


def _by_decade(true: np.ndarray, error: np.ndarray, persons: np.ndarray) -> str:
    groups = [(low, (true >= low) & (true < low + 10)) for low in DECADES]
    groups = [(low, inside) for low, inside in groups if inside.any()]
    names = [f"{low}-{low + 9}" for low, _ in groups]

    def draw(axes: "Axes") -> None:
        for number, (label, values) in enumerate((("absolute", np.abs(error)), ("signed", error))):
            means = [mean_interval(values[inside], person_codes(persons[inside])) for _, inside in groups]
            places = np.arange(len(means)) + (number - 0.5) * 0.16
            axes.errorbar(
                places, [mean.value for mean in means], _arms(means), fmt=MARKERS[number], capsize=3,
                color=COLOURS[number], label=label,
            )  # fmt: skip
        axes.axhline(0, color=SOFT, linewidth=1)
        axes.set_xticks(range(len(names)), names)
        axes.set(xlabel="true age (years)", ylabel="error (years)", title="Error by age")
        axes.legend(loc="best")

    return plot(draw, height=4.2)


def _arms(means: Sequence[Interval]) -> np.ndarray:
    """Lengths (2, M) of the arms of error bars, below and above."""
    return np.maximum([[m.value - m.low for m in means], [m.high - m.value for m in means]], 0)


def _table(true: np.ndarray, error: np.ndarray, persons: np.ndarray, masks: np.ndarray) -> str:
    """Mean absolute error by age band and mask state."""
    bands = np.digitize(true, BAND_EDGES)
    rows = []
    for band, name in [*enumerate(BANDS), (None, "all")]:
        cells = [name]
        for state in (*range(len(MASKS)), None):
            inside = np.ones(len(true), bool) if band is None else bands == band
            inside = inside if state is None else inside & (masks == state)
            known = inside.any()
            cells.append(
                format_interval(mean_interval(np.abs(error[inside]), person_codes(persons[inside])), 1) if known else ""
            )
        rows.append(cells)
    head = ("age band", *(f"mask {name}" for name in MASKS), "all")
    return table(head, rows, "Mean absolute error in years, with 95 % intervals.")


def thresholds(finished: Finished) -> Section:
    """How macro F1 of the bands depends on where they are cut; everything held out, one edge moved at a time."""
    settled, held_out = finished.settled, finished.held_out
    if not (settled.years and year_columns(held_out.predictions["age"])):
        text = "Not shown: the age runs hold bands only, no distribution over years."
        return Section("Age thresholds", [paragraph(text, "soft")])
    persons, truth = person_codes(held_out.persons), held_out.truth["age"]
    way = DecisionRule(settled.rule.calibrated, thresholds=True)
    given = probabilities(held_out.predictions)
    learnt = fit_rules([way], given, held_out.truth, held_out.persons)[way]
    years = temper(given["age"], learnt.temperatures["age"])
    ends = threshold_intervals(years, truth, persons)
    curves = [
        figure(
            _curve(edge, years, truth, persons, learnt.thresholds, ends),
            f"The threshold at {BAND_EDGES[edge]} moved, the other kept there. Shaded: 95 % interval over persons, and "
            "where the best threshold of other draws of persons lies.",
        )
        for edge in range(len(BAND_EDGES))
    ]
    taken = "taken" if settled.rule.thresholds else "not taken: the gain on persons not learnt on is not clear"
    gain = settled.cross_fitted.gain_of_bands(way, DecisionRule(settled.rule.calibrated))
    best = " and ".join(f"{value:.0f}" for value in learnt.thresholds)
    text = (
        f"Learnt on all held-out persons: {best} years ({taken}). Cross-fitted gain in macro F1 of the bands: {gain}."
    )
    return Section("Age thresholds", [figures(curves), paragraph(text)])


def _curve(
    edge: int,
    years: np.ndarray,
    truth: np.ndarray,
    persons: np.ndarray,
    learnt: Thresholds,
    ends: tuple[Thresholds, Thresholds],
) -> str:
    grid = np.arange(BAND_EDGES[edge] - REACH, BAND_EDGES[edge] + REACH + 0.5, 1.0)
    pairs = [FIXED._replace(**{FIXED._fields[edge]: value}) for value in grid]
    answers = np.stack([band_masses(years, pair).argmax(axis=1) for pair in pairs])
    counts = count_by_person(truth, answers, persons, len(BANDS))
    people = len(counts.support)
    value = weighted_macro_f1(np.ones((1, people)), counts)[0]
    low, high = np.quantile(weighted_macro_f1(draw_persons(people), counts), [0.025, 0.975], axis=0)

    def draw(axes: "Axes") -> None:
        axes.axvspan(ends[0][edge], ends[1][edge], color=COLOURS[1], alpha=0.13, linewidth=0)
        axes.fill_between(grid, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
        axes.plot(grid, value, color=COLOURS[0], marker="o", markersize=3)
        axes.axvline(BAND_EDGES[edge], color=SOFT, linestyle=":", label=f"fixed: {BAND_EDGES[edge]}")
        axes.axvline(learnt[edge], color=COLOURS[1], linestyle="--", label=f"learnt: {learnt[edge]:.0f}")
        names = (f"{BANDS[edge]} and {BANDS[edge + 1]}", "threshold (years)", "macro F1 of the bands")
        axes.set(title=f"Between {names[0]}", xlabel=names[1], ylabel=names[2])
        axes.legend(loc="lower center", ncols=2)

    return plot(draw)


BINS = 10
WORST = 12
"""So many mistakes of each kind are shown, one for each person."""


def reliability(finished: Finished) -> Section:
    shown = []
    for task, classes in SPECIALISTS.items():
        before = finished.held_out.predictions[task][list(classes)].to_numpy(np.float64)
        after = finished.settled.cross_fitted.tempered[task]
        image = _diagram(task, before, after, finished.held_out.truth[task])
        shown.append(figure(image, f"{TITLES[task]}: how often the most probable class is right, by its probability."))
    text = (
        "How often the most probable class is right, by its probability. On the line, they mean what they say; "
        "below it, they are too sure. The temperature for each image was learnt on other persons; the error is the "
        "mean distance from the line, over 15 bins."
    )
    return Section("Reliability", [paragraph(text, "soft"), figures(shown)])


def reliability_bins(
    probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, accuracy and number of images in each bin of equal width that holds any."""
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
        lower.set(xlabel="probability of the answer", ylabel="images", ylim=(0, None))

    return chart(draw, 4.2, 4.2)


def mistakes(finished: Finished) -> Section:
    parts = [paragraph("Wrong answers that were most sure, one for each person: hard images, and wrong labels.")]
    if finished.crops is None:
        parts.append(paragraph("Without images: the crops are not at hand (--crops).", "soft"))
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

    Indexed by image; columns: person, truth, said (indices), and the probabilities p_truth and p_said.
    """
    held_out = finished.held_out
    given = held_out.predictions[task][list(SPECIALISTS[task])].to_numpy(np.float64)
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
    for image, row in worst.iterrows():
        text = f"is {names[row['truth']]}\nsaid {names[row['said']]} ({row['p_said']:.2f})"
        yield _tile(finished, str(image), text)


def _furthest(finished: Finished, ages: np.ndarray, error: np.ndarray) -> Iterator[Tile]:
    table = pd.DataFrame({"person": finished.held_out.persons, "age": ages, "off": error, "size": np.abs(error)})
    worst = table.sort_values("size", ascending=False, kind="stable").drop_duplicates("person").head(WORST)
    for image, row in worst.iterrows():
        yield _tile(finished, str(image), f"is {row['age']:.0f}\nsaid {row['age'] + row['off']:.0f} years")


def _tile(finished: Finished, image: str, text: str) -> Tile:
    kind = finished.labels["kind"].loc[image] if finished.labels is not None else image.rpartition("/")[2]
    crops = finished.crops
    faces = [face(crops.read(image))] if crops is not None and image in crops.index.index else []
    return Tile(faces, f"{finished.held_out.persons[image]} {kind}", text)
