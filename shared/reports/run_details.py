"""How the runs of a report were trained: learning curves, origin, options and commands."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from shared.fusion.fusion import SPECIALISTS
from shared.html_pages import chart
from shared.reports.finished_runs import FinishedRuns
from shared.reports.scores import TITLES
from shared.tracking import read_run_json
from shared.training.run_folder import HISTORY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXTRA = "extra"
"""The folder of the stage of `--extra-epochs`."""


def contents(runs: FinishedRuns) -> dict[str, Any]:
    """Return the values that report.html shows of the runs."""
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
