"""Age in the report: errors in years by age and mask state, and where the bands are cut."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shared.fusion.ages import FIXED, Thresholds, band_masses, year_columns
from shared.fusion.metrics import (
    Floats,
    bootstrap_scores,
    format_interval,
    mean_interval,
    person_codes,
)
from shared.fusion.rules import DecisionRule, fit_rules, probabilities, temper, threshold_intervals
from shared.html_pages import SOFT, plot
from shared.labels import BAND_EDGES, BANDS, MASKS
from shared.reports.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECADES = np.arange(0, 121, 10)

REACH = 12
"""Years to both sides of a band's edge that the threshold curve shows."""

MARKERS = ("o", "s", "^")


def contents(evaluation: Evaluation) -> dict[str, Any]:
    """Return the values that report.html shows of age; None for what the runs do not allow."""
    return {"age": _errors(evaluation), "thresholds": _thresholds(evaluation)}


def _errors(evaluation: Evaluation) -> dict[str, Any] | None:
    true, errors = evaluation.true_ages, evaluation.age_errors
    if true is None or errors is None:
        return None
    return {
        "scatter": _scatter(true, evaluation),
        "decades": _by_decade(true, errors, evaluation),
        "table": _error_table(true, errors, evaluation),
    }


def _scatter(true: Floats, evaluation: Evaluation) -> str:
    predicted = evaluation.held_out.predictions["age"]["age"].to_numpy(np.float64)
    # Labels are whole years: a little jitter separates points that would hide each other.
    shown = true + np.random.default_rng(0).uniform(-0.35, 0.35, len(true))

    def draw(axes: "Axes") -> None:
        ends = [min(true.min(), predicted.min()) - 2, max(true.max(), predicted.max()) + 2]
        axes.plot(ends, ends, color=SOFT, linewidth=1)
        for state, name in enumerate(MASKS):
            inside = evaluation.held_out.truth["mask"] == state
            style: dict[str, Any] = {"s": 9, "alpha": 0.45, "linewidths": 0, "rasterized": True}
            axes.scatter(shown[inside], predicted[inside], marker=MARKERS[state], label=f"mask {name}", **style)
        for edge in BAND_EDGES:
            axes.axvline(edge, color=SOFT, linewidth=0.8, linestyle=":")
            axes.axhline(edge, color=SOFT, linewidth=0.8, linestyle=":")
        axes.set(xlabel="true age (years)", ylabel="predicted age (years)", title="Predicted and true age")
        axes.legend(loc="upper left", markerscale=1.8, handletextpad=0.2)

    return plot(draw, height=4.2)


def _by_decade(true: Floats, errors: Floats, evaluation: Evaluation) -> str:
    groups = [(low, (true >= low) & (true < low + 10)) for low in DECADES]
    groups = [(low, inside) for low, inside in groups if inside.any()]
    persons = evaluation.persons

    def draw(axes: "Axes") -> None:
        for number, (label, values) in enumerate((("absolute", np.abs(errors)), ("signed", errors))):
            means = [mean_interval(values[inside], person_codes(persons[inside])) for _, inside in groups]
            places = np.arange(len(means)) + (number - 0.5) * 0.16
            below, above = ([m.value - m.low for m in means], [m.high - m.value for m in means])
            # Rounding must not make an arm of an error bar negative.
            arms = np.maximum([below, above], 0)
            axes.errorbar(places, [m.value for m in means], arms, fmt=MARKERS[number], capsize=3, label=label)
        axes.axhline(0, color=SOFT, linewidth=1)
        axes.set_xticks(range(len(groups)), [f"{low}-{low + 9}" for low, _ in groups])
        axes.set(xlabel="true age (years)", ylabel="error (years)", title="Error by age")
        axes.legend(loc="best")

    return plot(draw, height=4.2)


def _error_table(true: Floats, errors: Floats, evaluation: Evaluation) -> pd.DataFrame:
    """Return the mean absolute error by age band (rows) and mask state (columns)."""
    bands, masks = np.digitize(true, BAND_EDGES), evaluation.held_out.truth["mask"]
    every = np.ones(len(true), bool)
    rows = {name: bands == band for band, name in enumerate(BANDS)} | {"all": every}
    columns = {f"mask {name}": masks == state for state, name in enumerate(MASKS)} | {"all": every}

    def cell(inside: np.ndarray) -> str:
        if not inside.any():
            return ""
        return format_interval(mean_interval(np.abs(errors[inside]), person_codes(evaluation.persons[inside])), 1)

    cells = {name: [cell(column & row) for row in rows.values()] for name, column in columns.items()}
    return pd.DataFrame(cells, index=list(rows))


def _thresholds(evaluation: Evaluation) -> dict[str, Any] | None:
    """Return how macro F1 of the bands depends on the thresholds, with one of them moved at a time."""
    decision, held_out, persons = evaluation.decision, evaluation.held_out, evaluation.persons
    if not (decision.years and year_columns(held_out.predictions["age"])):
        return None
    rule = DecisionRule(decision.rule.calibrated, thresholds=True)
    given = probabilities(held_out.predictions)
    fitted = fit_rules([rule], given, held_out.truth, held_out.persons)[rule]
    years = temper(given["age"], fitted.temperatures["age"])
    ends = threshold_intervals(years, held_out.truth["age"], persons)
    return {
        "figures": [
            (_curve(edge, years, evaluation, fitted.thresholds, ends), BAND_EDGES[edge])
            for edge in range(len(BAND_EDGES))
        ],
        "best": " and ".join(f"{value:.0f}" for value in fitted.thresholds),
        "taken": decision.rule.thresholds,
        "gain": str(decision.cross_fitted.gain_of_bands(rule, DecisionRule(decision.rule.calibrated))),
    }


def _curve(
    edge: int, years: Floats, evaluation: Evaluation, fitted: Thresholds, ends: tuple[Thresholds, Thresholds]
) -> str:
    truth, persons = evaluation.held_out.truth["age"], evaluation.persons
    grid = np.arange(BAND_EDGES[edge] - REACH, BAND_EDGES[edge] + REACH + 0.5, 1.0)
    pairs = [FIXED._replace(**{FIXED._fields[edge]: value}) for value in grid]
    predicted = np.stack([band_masses(years, pair).argmax(axis=1) for pair in pairs])
    value, drawn = bootstrap_scores(truth, predicted, persons, len(BANDS))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)

    def draw(axes: "Axes") -> None:
        axes.axvspan(ends[0][edge], ends[1][edge], color="C1", alpha=0.13, linewidth=0)
        axes.fill_between(grid, low, high, color="C0", alpha=0.15, linewidth=0)
        axes.plot(grid, value, color="C0", marker="o", markersize=3)
        axes.axvline(BAND_EDGES[edge], color=SOFT, linestyle=":", label=f"fixed: {BAND_EDGES[edge]}")
        axes.axvline(fitted[edge], color="C1", linestyle="--", label=f"tuned: {fitted[edge]:.0f}")
        axes.set(xlabel="threshold (years)", ylabel="macro F1 of the bands")
        axes.set_title(f"Between {BANDS[edge]} and {BANDS[edge + 1]}")
        axes.legend(loc="lower center", ncols=2)

    return plot(draw)
