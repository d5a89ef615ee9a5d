"""How it was trained: learning curves, options, versions, commit, and the rows of runs.csv."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from shared.fusion.fusion import SPECIALISTS
from shared.reports.finished_runs import Finished
from shared.reports.page_parts import COLOURS, Section, chart, figure, figures, heading, paragraph, plain_text, table
from shared.reports.scores import TITLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HISTORY = "history.csv"
EXTRA = "extra"
"""The folder of `--extra-epochs`."""
LATEST = 15
"""Rows of runs.csv that are shown."""


def learning_curves(finished: Finished) -> Section:
    shown = []
    for task in SPECIALISTS:
        histories = read_histories(finished, task)
        if histories:
            extra = " and for the passes over extra persons" if any(name.endswith(EXTRA) for name in histories) else ""
            shown.append(figure(_curves(task, histories), f"{TITLES[task]}: a line for each fold{extra}."))
    if not shown:
        return Section("Learning curves", [paragraph(f"Not shown: no run holds fold*/{HISTORY}.", "soft")])
    return Section("Learning curves", [figures(shown)])


def read_histories(finished: Finished, task: str) -> dict[str, pd.DataFrame]:
    """history.csv of each fold of each run of a specialist, and of its passes over extra persons alone where there are
    some: epoch, loss, macro_f1, lr, seconds."""
    folders = finished.runs[task]
    return {
        part.parent.name if len(folders) == 1 else f"{run.name}/{part.parent.name}": pd.read_csv(part)
        for run in folders
        for part in sorted([*run.glob(f"fold*/{HISTORY}"), *run.glob(f"{EXTRA}/{HISTORY}")])
    }


def _curves(task: str, histories: Mapping[str, pd.DataFrame]) -> str:
    def draw(drawn: "Figure") -> None:
        upper, lower = drawn.subplots(2, 1, sharex=True)
        for number, (name, history) in enumerate(histories.items()):
            mark: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": "o", "markersize": 3}
            upper.plot(history["epoch"], history["loss"], **mark)
            lower.plot(history["epoch"], history["macro_f1"], label=name, **mark)
        upper.set(title=TITLES[task], ylabel="training loss")
        lower.set(xlabel="epoch", ylabel="macro F1, held out")
        lower.legend(loc="lower right", fontsize=8)
        lower.xaxis.get_major_locator().set_params(integer=True)

    return chart(draw, 4.2, 4.0)


def what_was_run(finished: Finished) -> Section:
    parts = []
    if finished.about:
        names = [str(folder) for folder in finished.about]
        parts += [heading("Origin"), table(("", *names), _origins(finished), text_columns=range(len(names) + 1))]
        parts += [heading("Options"), table(("", *names), _options(finished), text_columns=range(len(names) + 1))]
        parts += [heading("Commands"), plain_text("\n".join(_commands(finished)), wrap=True)]
    else:
        parts.append(paragraph("No run.json is at hand: the predictions come from elsewhere.", "soft"))
    if finished.records is not None:
        parts += [heading("On record"), _records(finished.records)]
    return Section("What was run", parts)


def _origins(finished: Finished) -> list[list[str]]:
    """Where each run came from: code, data, machine, versions."""
    told = [_told(about) for about in finished.about.values()]
    keys = list(dict.fromkeys(key for each in told for key in each))
    return [[key, *(each.get(key, "") for each in told)] for key in keys]


def _told(about: Mapping[str, Any]) -> dict[str, str]:
    origin = about.get("provenance", {})
    commit = str(origin.get("commit") or "unknown")[:12] + (" and changes" if origin.get("dirty") else "")
    seconds = about.get("seconds", {})
    return {
        "time": str(origin.get("time", "")),
        "commit": commit,
        "data": str(about.get("data", "")),
        "crop recipe": str(about.get("recipe", "")),
        "folds trained": str(sum(part.startswith("fold") for part in seconds)),
        "training": f"{sum(seconds.values()):,.0f} s",
        "machine": str(origin.get("machine", "")),
        "python": str(origin.get("python", "")),
        **{name: str(version) for name, version in origin.get("versions", {}).items()},
    }


def _options(finished: Finished) -> list[list[str]]:
    """Resolved options, those in which the runs differ first."""
    options = [about.get("options", {}) for about in finished.about.values()]
    names = list(dict.fromkeys(name for each in options for name in each))
    rows = [[f"--{name.replace('_', '-')}", *(_value(each, name) for each in options)] for name in names]
    return sorted(rows, key=lambda row: len(set(row[1:])) == 1)


def _value(options: Mapping[str, Any], name: str) -> str:
    value = options.get(name)
    if value is None:
        return "left out" if name in options else ""
    return value if isinstance(value, str) else json.dumps(value)


def _commands(finished: Finished) -> list[str]:
    found = (about.get("provenance", {}).get("command", []) for about in finished.about.values())
    return [shlex.join(["python", *map(str, command)]) for command in found]


def _records(records: pd.DataFrame) -> str:
    rows = [
        (
            row["id"],
            row["time"][:16].replace("T", " "),
            row["kind"],
            row["task"] + (f", fold {row['fold']}" if row["fold"] else ""),
            *(_score(row["scores"].get(name)) for name in ("macro_f1", "accuracy", "mae_years")),
            row["seconds"],
            row["memory_mib"],
            Path(row["run"]).name,
        )
        for _, row in records.tail(LATEST).iloc[::-1].iterrows()
    ]
    head = ("id", "time", "kind", "of", "macro F1", "accuracy", "years off", "seconds", "memory (MiB)", "run")
    caption = f"The latest {len(rows)} of {len(records)} rows of runs.csv."
    return table(head, rows, caption, text_columns=(0, 1, 2, 3, 9))


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
