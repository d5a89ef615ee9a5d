"""What a bundle would hold, gathered from the folders of trained runs; decisions are learnt on their oof.csv files."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shared.fusion.decision import Decide, FittedDecision, FittedRule, ThresholdChoice, fit_decision
from shared.fusion.fusion import SPECIALISTS, year_columns
from shared.fusion.predictions import OOF, RUN, HeldOut, join_held_out
from shared.fusion.thresholds import FIXED
from shared.messages import UserError
from shared.predictor.bundle_file import BundleContents, Files, RunFiles
from shared.predictor.decide import AgeIntervals, Decisions, learn_intervals
from shared.training.run_folder import WEIGHTS, finished_folds, tta_of

Runs = Mapping[str, Sequence[Path]]
"""The run folders of each specialist."""


@dataclass(frozen=True)
class TrainedRuns:
    """Trained runs as a bundle would have them."""

    source: Files
    contents: BundleContents
    held_out: HeldOut | None
    """None where an oof.csv is missing: then nothing is learnt, and 30/60 and the most probable class decide."""
    settled: FittedDecision | None
    runs: Runs
    described: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """run.json of each run, by specialist; empty where it cannot be read."""


def runs_below(outputs: Path, elsewhere: Runs = MappingProxyType({})) -> dict[str, tuple[Path, ...]]:
    """The run folders of the specialists in a folder; raises `UserError` where one is missing and not `elsewhere`."""
    missing = [task for task in SPECIALISTS if not elsewhere.get(task) and not finished_folds(outputs / task)]
    if missing:
        raise UserError(
            f"{outputs} holds no trained {' and no '.join(missing)} specialist. Train them "
            f"(python -m pipelines.{missing[0]}.train --outputs {outputs / missing[0]}), or name a bundle or a folder "
            "that holds mask/, gender/ and age/ with --model; make demo leaves one at outputs/demo"
        )
    return {task: (outputs / task,) for task in SPECIALISTS}


def read_trained_runs(
    runs: Runs,
    path: Path,
    decide: Decide = "auto",
    thresholds: ThresholdChoice = "auto",
    calibrate: bool = True,
) -> TrainedRuns:
    """Read the runs and learn how to decide, as `combine.py` does for images of persons that are seen once.

    Raises `UserError` where a run holds no trained fold, or the runs disagree about who was held out.
    """
    files: dict[str, Path] = {}
    listed, described = {}, {}
    for task in SPECIALISTS:
        described[task] = [_read_run(run) for run in runs[task]]
        listed[task] = tuple(_list(task, number, run, files) for number, run in enumerate(runs[task]))
    held_out = _held_out(runs)
    settled = fit_decision(held_out, held_out.predictions, decide, thresholds, calibrate) if held_out else None
    contents = BundleContents(listed, _decisions(held_out, settled))
    return TrainedRuns(Files(path, files), contents, held_out, settled, runs, described)


def _list(task: str, number: int, run: Path, files: dict[str, Path]) -> RunFiles:
    """Names for the weights of a run's folds, which are added to `files`."""
    folds = finished_folds(run)
    if not folds:
        raise UserError(f"{run} holds no trained fold; python -m pipelines.{task}.train makes them")
    named = {f"{task}/{number}/fold{fold}.safetensors": folder / WEIGHTS for fold, folder in folds.items()}
    files.update(named)
    return RunFiles(tta_of(run), tuple(named))


def _read_run(run: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads((run / RUN).read_text(encoding="utf-8")))
    return {}


def _held_out(runs: Runs) -> HeldOut | None:
    files = {task: [run / OOF for run in runs[task]] for task in SPECIALISTS}
    if not all(file.is_file() for several in files.values() for file in several):
        return None
    return join_held_out(files)


def _decisions(held_out: HeldOut | None, settled: FittedDecision | None) -> Decisions:
    if held_out is None or settled is None:
        return Decisions(FittedRule(dict.fromkeys(SPECIALISTS, 1.0), FIXED, None), AgeIntervals())
    years = bool(year_columns(held_out.predictions["age"]))
    return Decisions(settled.fitted_rule, learn_intervals(held_out, settled.fitted_rule.temperatures["age"]), years)
