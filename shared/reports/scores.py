"""What the report shows of runs: scores, confusion, reliability, age errors, mistakes, and how they were trained."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import (
    Floats,
    bootstrap_score,
    class_scores,
    format_interval,
    mean_interval,
    person_codes,
    share_interval,
)
from shared.fusion.report import ScoredPredictions, plot_confusion
from shared.fusion.rules import calibration_error, reliability_bins
from shared.html_pages import SOFT, Tile, chart, face, plot
from shared.labels import BAND_EDGES, BANDS, MASKS
from shared.reports.finished_runs import Evaluation, FinishedRuns
from shared.tracking import read_run_json
from shared.training.run_folder import HISTORY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {"mask": "Mask", "gender": "Gender", "age": "Age band", "together": "18 classes"}

TASKS = tuple(SPECIALISTS)

BINS = 10
"""Bins of equal width in a reliability diagram."""

MARKERS = ("o", "s", "^")
"""Of mask states."""

WORST = 12
"""Mistakes shown of each kind, one per person."""


def contents(evaluation: Evaluation) -> dict[str, Any]:
    """Return the values that report.html shows."""
    *specialists, together = evaluation.scores
    return {
        **_summary(evaluation),
        "remark": evaluation.remark,
        "confusion": [(_confusion(each), f"{TITLES[each.name]}: the most probable class") for each in specialists],
        "confusion_together": _confusion(together, (9.6, 9.0)),
        "classes": [(TITLES[each.name], class_frame(each)) for each in reversed(evaluation.scores)],
        "by_mask_state": by_mask_state(evaluation),
        "reliability": [(_reliability(evaluation, task), f"{TITLES[task]}: accuracy by confidence") for task in TASKS],
        "mistakes": [(TITLES[task], _mistake_tiles(evaluation, task)) for task in TASKS],
        "age_mistakes": _age_tiles(evaluation),
        "age": _age(evaluation),
        "has_crops": evaluation.runs.crops is not None,
        **run_contents(evaluation.runs),
    }


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    cards, rows = [], {}
    for scored in reversed(evaluation.scores):
        title, classes = TITLES[scored.name], len(scored.classes)
        f1 = bootstrap_score(scored.truth, scored.predicted, evaluation.persons, classes)
        correct = share_interval(scored.truth == scored.predicted, evaluation.persons)
        cards.append((f"{title}, macro F1", f"{f1.value:.3f}", f"{f1.low:.3f} to {f1.high:.3f}"))
        intervals = {"macro F1 [95 %]": format_interval(f1), "accuracy [95 %]": format_interval(correct)}
        rows[title] = {"classes": classes, **intervals}
    if evaluation.age_errors is not None:
        error = mean_interval(np.abs(evaluation.age_errors), evaluation.persons)
        cards.append(("Age error, mean", f"{error.value:.1f} years", f"{error.low:.1f} to {error.high:.1f}"))
    return {"cards": cards, "scores": pd.DataFrame.from_dict(rows, orient="index")}


def _confusion(scored: ScoredPredictions, size: tuple[float, float] = (4.2, 3.7)) -> str:
    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.grid(visible=False)
        plot_confusion(axes, scored)
        axes.set_title(f"{TITLES[scored.name]}: macro F1 {scored.macro_f1:.3f}")

    return chart(draw, *size)


def class_frame(scored: ScoredPredictions) -> pd.DataFrame:
    """Return precision, recall, F1 and number of images (rows: classes)."""
    columns = dict(zip(("precision", "recall", "F1", "images"), class_scores(scored.confusion), strict=True))
    return pd.DataFrame(columns, index=list(scored.classes)).astype({"images": int})


def by_mask_state(evaluation: Evaluation) -> pd.DataFrame:
    """Return accuracy of each task and age error for each true mask state: what a mask costs the others."""
    held_out, errors = evaluation.held_out, evaluation.age_errors
    rows = {}
    for state, name in enumerate(MASKS):
        inside = held_out.truth["mask"] == state
        if not inside.any():
            continue
        persons = person_codes(held_out.persons[inside])
        row: dict[str, object] = {"images": int(inside.sum())}
        for scored in evaluation.scores:
            correct = share_interval((scored.truth == scored.predicted)[inside], persons)
            row[f"{TITLES[scored.name].lower()}, accuracy"] = format_interval(correct)
        if errors is not None:
            row["age error (years)"] = format_interval(mean_interval(np.abs(errors[inside]), persons), 1)
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _reliability(evaluation: Evaluation, task: str) -> str:
    before = evaluation.held_out.predictions[task][list(SPECIALISTS[task])].to_numpy(np.float64)
    after, truth = evaluation.decision.cross_fitted.tempered[task], evaluation.held_out.truth[task]

    def draw(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=SOFT, linewidth=1)
        for name, given, marker in (("as predicted", before, "s"), ("tempered", after, "o")):
            mean, accuracy, counts = reliability_bins(given, truth, BINS)
            upper.plot(mean, accuracy, marker=marker, label=f"{name}: error {calibration_error(given, truth):.3f}")
            lower.plot(mean, counts, marker=marker)
        start = 1 / before.shape[1]
        upper.set(xlim=(start - 0.03, 1.02), ylim=(0, 1.04), ylabel="accuracy", title=TITLES[task])
        upper.legend(loc="lower right")
        lower.set(xlabel="probability of the predicted class", ylabel="images", ylim=(0, None))

    return chart(draw, 4.2, 4.2)


def worst_mistakes(evaluation: Evaluation, task: str) -> pd.DataFrame:
    """Return the wrong predictions whose true class got the lowest probability, the worst of each person.

    Indexed by image; columns: person, truth and predicted (indices), p_truth and p_predicted.
    """
    held_out = evaluation.held_out
    given = held_out.predictions[task][list(SPECIALISTS[task])].to_numpy(np.float64)
    rows, predicted, truth = np.arange(len(given)), given.argmax(axis=1), held_out.truth[task]
    table = pd.DataFrame(
        {
            "person": held_out.persons,
            "truth": truth,
            "predicted": predicted,
            "p_truth": given[rows, truth],
            "p_predicted": given[rows, predicted],
        },
        index=held_out.persons.index,
    )
    wrong = table[predicted != truth].sort_values(["p_truth", "p_predicted"], ascending=[True, False], kind="stable")
    return wrong.drop_duplicates("person").head(WORST)


def _mistake_tiles(evaluation: Evaluation, task: str) -> list[Tile]:
    names = SPECIALISTS[task]
    return [
        _tile(
            evaluation,
            str(image),
            f"true: {names[row['truth']]}",
            f"predicted: {names[row['predicted']]} ({row['p_predicted']:.2f})",
        )
        for image, row in worst_mistakes(evaluation, task).iterrows()
    ]


def _age_tiles(evaluation: Evaluation) -> list[Tile]:
    ages, errors = evaluation.true_ages, evaluation.age_errors
    if ages is None or errors is None:
        return []
    table = pd.DataFrame({"person": evaluation.held_out.persons, "age": ages, "error": errors})
    worst = table.sort_values("error", key=np.abs, ascending=False, kind="stable").drop_duplicates("person")
    return [
        _tile(evaluation, str(image), f"true: {row['age']:.0f}", f"predicted: {row['age'] + row['error']:.0f} years")
        for image, row in worst.head(WORST).iterrows()
    ]


def _tile(evaluation: Evaluation, image: str, *lines: str) -> Tile:
    labels, crops = evaluation.runs.labels, evaluation.runs.crops
    kind = image.rpartition("/")[2] if labels is None else labels["kind"].loc[image]
    faces = [face(crops.read(image))] if crops is not None and image in crops.index.index else []
    return Tile(f"{evaluation.held_out.persons[image]} {kind}", lines, faces)


def _age(evaluation: Evaluation) -> dict[str, Any] | None:
    true, errors = evaluation.true_ages, evaluation.age_errors
    if true is None or errors is None:
        return None
    return {
        "scatter": _scatter(true, evaluation),
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


EXTRA = "extra"
"""The folder of the stage of `--extra-epochs`."""


def run_contents(runs: FinishedRuns) -> dict[str, Any]:
    """Return the values that report.html shows of the runs: learning curves, origin and commands."""
    contents = _run_files(runs)
    curves = []
    for task in SPECIALISTS:
        histories = read_histories(runs, task)
        if histories:
            extra = " and for the extra stage" if any(name.endswith(EXTRA) for name in histories) else ""
            curves.append((_curves(task, histories), f"{TITLES[task]}: one line per fold{extra}"))
    return {
        "curves": curves,
        "best_epochs": [
            str(run) for run, content in contents.items() if content.get("options", {}).get("keep") == "best"
        ],
        "origins": pd.DataFrame({str(run): origin(content) for run, content in contents.items()}).fillna(""),
        "commands": [
            shlex.join(["python", *map(str, content.get("provenance", {}).get("command", []))])
            for content in contents.values()
        ],
    }


def _run_files(runs: FinishedRuns) -> dict[Path, Mapping[str, Any]]:
    """Return the content of run.json of each run folder that has a readable one."""
    found = {run: read_run_json(run) for task in SPECIALISTS for run in runs.folders[task]}
    return {run: content for run, content in found.items() if content}


def read_histories(runs: FinishedRuns, task: str) -> dict[str, pd.DataFrame]:
    """Return history.csv of each fold and extra stage: epoch, loss, macro_f1, lr, seconds."""
    folders = runs.folders[task]
    return {
        file.parent.name if len(folders) == 1 else f"{run.name}/{file.parent.name}": pd.read_csv(file)
        for run in folders
        for file in sorted([*run.glob(f"fold*/{HISTORY}"), *run.glob(f"{EXTRA}/{HISTORY}")])
    }


def _curves(task: str, histories: Mapping[str, pd.DataFrame]) -> str:
    def draw(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for name, history in histories.items():
            upper.plot(history["epoch"], history["loss"], marker="o")
            lower.plot(history["epoch"], history["macro_f1"], marker="o", label=name)
        upper.set(title=TITLES[task], ylabel="training loss")
        lower.set(xlabel="epoch", ylabel="macro F1, held out")
        lower.legend(loc="lower right", fontsize=8)
        lower.xaxis.get_major_locator().set_params(integer=True)

    return chart(draw, 4.2, 4.0)


def origin(run: Mapping[str, Any]) -> dict[str, str]:
    """Return when, where and with which code and versions a run (the content of run.json) was trained."""
    provenance, seconds = run.get("provenance", {}), run.get("seconds", {})
    commit = str(provenance.get("commit") or "unknown")[:12] + (" and changes" if provenance.get("dirty") else "")
    return {
        "time": str(provenance.get("time", "")),
        "commit": commit,
        "data": str(run.get("data", "")),
        "crop recipe": str(run.get("recipe", "")),
        "folds trained": str(sum(part.startswith("fold") for part in seconds)),
        "training": f"{sum(seconds.values()):,.0f} s",
        "machine": str(provenance.get("machine", "")),
        "python": str(provenance.get("python", "")),
        **{name: str(version) for name, version in provenance.get("versions", {}).items()},
    }
