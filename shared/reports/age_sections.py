"""Age: what was said beside what is true, who is taken for how much older, and where the bands are cut."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from shared.answers.years import year_columns
from shared.decisions.calibration import temper
from shared.decisions.chain import Way, learn, probabilities
from shared.decisions.persons import Interval, count_by_person, draw_persons, number_persons, weighted_macro_f1
from shared.decisions.thresholds import FIXED, Thresholds, band_masses, threshold_intervals
from shared.labels import BAND_EDGES, BANDS, MASKS
from shared.reports.charts import COLOURS, SOFT, plot
from shared.reports.finished_runs import Finished
from shared.reports.page import Section, figure, figures, paragraph, table
from shared.reports.score_sections import age_errors, true_ages
from shared.scores.intervals import mean_interval, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECADES = np.arange(0, 121, 10)
REACH = 12
"""Years to both sides of a band's edge that the threshold curve shows."""

MARKERS = ("o", "s", "^")


def age(finished: Finished) -> Section:
    error, true = age_errors(finished), true_ages(finished)
    if error is None or true is None:
        return Section("Age in years", [paragraph("Not shown: true ages in years need --data with train.csv.", "soft")])
    persons = number_persons(finished.held_out.persons)
    said = finished.held_out.answers["age"]["age"].to_numpy(np.float64)
    scatter = "Each point is a picture; on the line, age is right (above it too, where a label means this or older)."
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
            means = [mean_interval(values[inside], number_persons(persons[inside])) for _, inside in groups]
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
                told(mean_interval(np.abs(error[inside]), number_persons(persons[inside])), 1) if known else ""
            )
        rows.append(cells)
    head = ("age band", *(f"mask {name}" for name in MASKS), "all")
    return table(head, rows, "Mean absolute error in years, with 95 % intervals.")


def thresholds(finished: Finished) -> Section:
    """How macro F1 of the bands depends on where they are cut; everything held out, one edge moved at a time."""
    settled, held_out = finished.settled, finished.held_out
    if not (settled.years and year_columns(held_out.answers["age"])):
        text = "Not shown: the age runs hold bands only, no distribution over years."
        return Section("Age thresholds", [paragraph(text, "soft")])
    persons, truth = number_persons(held_out.persons), held_out.truth["age"]
    way = Way(settled.way.calibrated, thresholds=True)
    given = probabilities(held_out.answers)
    learnt = learn([way], given, held_out.truth, held_out.persons)[way]
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
    taken = "taken" if settled.way.thresholds else "not taken: the gain on persons not learnt on is not clear"
    gain = settled.measured.gain_of_bands(way, Way(settled.way.calibrated))
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
