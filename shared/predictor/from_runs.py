"""Read trained runs as the contents of a bundle: their weights, and decisions fitted on their oof.csv files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shared.bundle_source import Folder
from shared.fusion.age_intervals import AgeIntervals, learn_intervals
from shared.fusion.ages import FIXED, year_columns
from shared.fusion.decision import Decide, FittedDecision, ThresholdChoice, fit_decision
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import OOF, HeldOut, join_held_out
from shared.fusion.rules import FittedRule
from shared.messages import UserError
from shared.predictor.bundle_file import BundleContents, RunFiles
from shared.predictor.results import Decisions
from shared.tracking import read_run_json
from shared.training.run_folder import WEIGHTS, finished_folds, tta_of
from shared.weights import FACE_BACKBONES

Runs = Mapping[str, Sequence[Path]]
"""The run folders of each specialist."""


@dataclass(frozen=True)
class TrainedRuns:
    """Trained runs of the three specialists."""

    source: Folder
    contents: BundleContents
    held_out: HeldOut | None
    """None if an oof.csv is missing: nothing is fitted, and 30/60 and the most probable class decide."""
    decision: FittedDecision | None
    run_files: Mapping[str, Sequence[Mapping[str, Any]]]
    """Content of run.json of each run, by specialist; empty if it cannot be read."""


def runs_below(outputs: Path, elsewhere: Runs = MappingProxyType({})) -> dict[str, tuple[Path, ...]]:
    """Return the run folders mask/, gender/ and age/ of a folder.

    Raises `UserError` if one of them holds no trained fold and `elsewhere` names no run of that specialist.
    """
    if not all(elsewhere.get(task) for task in SPECIALISTS) and not outputs.is_dir():
        raise UserError(f"--model {outputs} is not a folder with trained runs as mask/, gender/ and age/")
    missing = [task for task in SPECIALISTS if not elsewhere.get(task) and not finished_folds(outputs / task)]
    if missing:
        raise UserError(
            f"{outputs} holds no trained {' and no '.join(missing)} specialist. Train them "
            f"(python -m pipelines.{missing[0]}.train --outputs {outputs / missing[0]}), or name a bundle or a folder "
            "that holds mask/, gender/ and age/ with --model"
        )
    return {task: (outputs / task,) for task in SPECIALISTS}


def read_trained_runs(
    runs: Runs,
    path: Path,
    decide: Decide = "auto",
    thresholds: ThresholdChoice = "auto",
    calibrate: bool = True,
) -> TrainedRuns:
    """Read runs and fit the decisions as `combine.py` does for images of persons that are seen once.

    `path` names them in messages. Raises `UserError` if a run holds no trained fold, or the runs disagree about who was
    held out.
    """
    files: dict[str, Path] = {}
    listed = {
        task: tuple(_run_files(task, number, run, files) for number, run in enumerate(runs[task]))
        for task in SPECIALISTS
    }
    held_out = _read_held_out(runs)
    decision = fit_decision(held_out, held_out.predictions, decide, thresholds, calibrate) if held_out else None
    if held_out and decision:
        intervals = learn_intervals(held_out, decision.fitted_rule.temperatures["age"])
        decisions = Decisions(decision.fitted_rule, intervals)
    else:
        decisions = Decisions(FittedRule(dict.fromkeys(SPECIALISTS, 1.0), FIXED, None), AgeIntervals())
    described = {task: [read_run_json(run) for run in runs[task]] for task in SPECIALISTS}
    contents = BundleContents(listed, decisions, training_data(described))
    return TrainedRuns(Folder(path, files), contents, held_out, decision, described)


def training_data(described: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the sources that the run.json of runs name, and the networks trained on faces that they started from."""
    runs = [run for several in described.values() for run in several]
    sources = {str(source): source for run in runs for source in run.get("sources", ())}
    options = [run.get("options", {}) for run in runs]
    backbones = dict.fromkeys(each.get("backbone") for each in options if each.get("pretrained"))
    starts = [FACE_BACKBONES[name] for name in backbones if name in FACE_BACKBONES]
    further = {str(source): source for run in runs for source in run.get("start_sources", ())}
    data = "; ".join(dict.fromkeys(start.training_data for start in starts))
    start = {
        "origin": "; ".join(dict.fromkeys(start.origin for start in starts)),
        "licence": "; ".join(dict.fromkeys(start.licence for start in starts)),
        "data": ", then on ".join(filter(None, (data, ", ".join(each["source"] for each in further.values())))),
        "sources": [*further.values()],
    }
    return {"sources": [*sources.values()], **({"start": start} if starts or further else {})}


def _run_files(task: str, number: int, run: Path, files: dict[str, Path]) -> RunFiles:
    """Name the weights of a run's folds as in a bundle, and add them to `files`."""
    folds = finished_folds(run)
    if not folds:
        raise UserError(f"{run} holds no trained fold; python -m pipelines.{task}.train makes them")
    named = {f"{task}/{number}/fold{fold}.safetensors": folder / WEIGHTS for fold, folder in folds.items()}
    files.update(named)
    return RunFiles(tta_of(run), tuple(named))


def _read_held_out(runs: Runs) -> HeldOut | None:
    files = {task: [run / OOF for run in runs[task]] for task in SPECIALISTS}
    if not all(file.is_file() for several in files.values() for file in several):
        return None
    held_out = join_held_out(files)
    if not year_columns(held_out.predictions["age"]):
        raise UserError(f"{files['age'][0]} has no columns year_0, year_1, ...: train the age specialist again")
    return held_out
