"""Read a finished set of runs, with the data and crops that they were trained on, and decide as combine.py does.

Data, crops and label fixes are found through runs.csv unless the command line names them.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from shared.crops import INDEX, CropSet, open_crops
from shared.fusion.ages import age_error
from shared.fusion.decision import FittedDecision, decide_classes, fit_decision
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import Floats, Ints, person_codes
from shared.fusion.predictions import EVAL, OOF, EvalSet, HeldOut, Persons, join_held_out, read_eval_set
from shared.fusion.report import ScoredPredictions, describe, describe_decision, score_predictions
from shared.labels import age_band
from shared.manifest import load_training, split_folders
from shared.messages import UserError, first_of
from shared.tables import REJECTED
from shared.tracking import RUN, TABLE, read_runs

RunFolders = Mapping[str, Sequence[Path]]
"""The run folders of each specialist; several are averaged."""


@dataclass(frozen=True)
class RunOptions:
    """Options of the commands that look back at finished runs."""

    outputs: Path = Path("outputs")
    """Folder of the runs: mask, gender and age, and runs.csv."""
    out: Path | None = None
    """Page or folder to write. Default: report.html or audit/ in --outputs."""
    mask: tuple[Path, ...] = ()
    """Run folders of the mask specialist, averaged if several. Default: OUTPUTS/mask."""
    gender: tuple[Path, ...] = ()
    """Run folders of the gender specialist. Default: OUTPUTS/gender."""
    age: tuple[Path, ...] = ()
    """Run folders of the age specialist. Default: OUTPUTS/age."""
    data: Path | None = None
    """Competition folder. Default: the one that the runs were trained on."""
    crops: Path | None = None
    """Crops of it. Default: those that the runs were trained on."""
    fixes: tuple[Path, ...] | None = None
    """Label fixes that the runs were trained with. Default: as runs.csv records."""

    def runs(self) -> RunFolders:
        """Return the run folders of each specialist."""
        return {task: getattr(self, task) or (self.outputs / task,) for task in SPECIALISTS}


@dataclass(frozen=True)
class TrainingSource:
    """What runs were trained on."""

    data: Path
    crops: Path
    fixes: Sequence[Path]
    skip_bad: bool


@dataclass(frozen=True)
class FinishedRuns:
    """N images that all runs hold out, and what the runs were trained on."""

    folders: RunFolders
    held_out: HeldOut
    source: TrainingSource
    table: pd.DataFrame | None
    """The training table; None if the data is not at hand."""
    crops: CropSet | None
    """Crops of the training images; None if they are not at hand."""

    @property
    def inputs(self) -> list[Path]:
        """Files and folders that were read and must not be overwritten."""
        runs = [run / name for runs in self.folders.values() for run in runs for name in (OOF, EVAL, RUN)]
        tables = {run.absolute().parent / TABLE for runs in self.folders.values() for run in runs}
        return [*runs, *tables, self.source.data, self.source.crops, *self.source.fixes]

    @property
    def labels(self) -> pd.DataFrame | None:
        """Labels of the N images, indexed by image: kind, mask, gender (indices) and age in years."""
        if self.table is None:
            return None
        return self.table.set_index("image").loc[self.held_out.persons.index]


def read_finished_runs(options: RunOptions) -> FinishedRuns:
    """Read a set of runs. Raises `UserError` if a run has no held-out predictions, or was trained on other labels."""
    folders = options.runs()
    held_out = _read_held_out(folders)
    source = _training_source(folders, options)
    table = _read_table(source)
    if table is not None:
        _check_labels(table, held_out, source)
    return FinishedRuns(folders, held_out, source, table, _open_training_crops(source.crops))


def _read_held_out(folders: RunFolders) -> HeldOut:
    for task, runs in folders.items():
        for run in runs:
            if not (run / OOF).is_file():
                raise UserError(
                    f"{run / OOF} is missing: python -m pipelines.{task}.train makes it; "
                    f"--outputs or --{task} FOLDER names runs elsewhere"
                )
    return join_held_out({task: [run / OOF for run in runs] for task, runs in folders.items()})


def _read_records(folders: RunFolders) -> pd.DataFrame | None:
    """Return the runs.csv beside the first run that has one."""
    for run in (run for runs in folders.values() for run in runs):
        with suppress(UserError):
            return read_runs(run.absolute().parent / TABLE)
    return None


def _training_source(folders: RunFolders, options: RunOptions) -> TrainingSource:
    """Return what the latest recorded training of the runs used, overruled by the command line."""
    recorded: Mapping[str, Any] = {}
    records = _read_records(folders)
    if records is not None:
        # Runs lie beside their table, so their names identify them whatever path a command gave.
        names = {run.absolute().name for runs in folders.values() for run in runs}
        trained = records[records["kind"].isin(("fold", "training", "trial"))]
        own = trained[[Path(run).name in names for run in trained["run"]]]
        recorded = own["options"].iloc[-1] if len(own) else {}
    fixes = tuple(map(Path, recorded.get("fixes") or ())) if options.fixes is None else options.fixes
    return TrainingSource(
        data=options.data or Path(recorded.get("data") or "data"),
        crops=options.crops or Path(recorded.get("crops") or "crops"),
        fixes=fixes,
        skip_bad=bool(recorded.get("skip_bad")),
    )


def _read_table(source: TrainingSource) -> pd.DataFrame | None:
    try:
        folder = split_folders(source.data).get("train")
    except UserError:
        return None
    return None if folder is None else load_training(folder, source.fixes, source.skip_bad)


def _check_labels(table: pd.DataFrame, held_out: HeldOut, source: TrainingSource) -> None:
    """Raise `UserError` if images are missing from the table or their labels are not those of the predictions."""
    images = held_out.persons.index
    absent = images.difference(pd.Index(table["image"]))
    if len(absent):
        raise UserError(f"{source.data} lacks {len(absent):,} of the held-out images: {first_of(absent)}")
    labels = table.set_index("image").loc[images]
    for task, label in {**labels[["mask", "gender"]], "age": labels["age"].map(age_band)}.items():
        differs = label.to_numpy() != held_out.truth[task]
        if differs.any():
            raise UserError(
                f"{source.data} and the held-out predictions disagree about the {task} of {differs.sum():,} images "
                f"({first_of(images[differs])}): give the --fixes that the runs were trained with"
            )


def _open_training_crops(folder: Path) -> CropSet | None:
    for place in (folder / "train", folder):
        if (place / INDEX).is_file():
            return open_crops(place)
    return None


@dataclass(frozen=True)
class Evaluation:
    """N held-out images and how their classes were decided."""

    runs: FinishedRuns
    decision: FittedDecision
    remark: str
    """How the decision came about, as combine.py prints it."""

    @property
    def held_out(self) -> HeldOut:
        """The predictions that were decided on, averaged over persons if combine.py would do that."""
        return self.decision.cross_fitted.held_out

    @cached_property
    def persons(self) -> Ints:
        """The person of each image as a number (N,)."""
        return person_codes(self.held_out.persons)

    @cached_property
    def scores(self) -> list[ScoredPredictions]:
        """The most probable class of each specialist and the decided one of the 18 classes, with the truth."""
        return score_predictions(self.held_out.predictions, self.held_out.truth, self.decision.predicted)

    @cached_property
    def true_ages(self) -> Floats | None:
        """Ages in years (N,), from train.csv or else from the age run; None if neither has them."""
        labels, predicted = self.runs.labels, self.held_out.predictions["age"]
        if labels is not None:
            return labels["age"].to_numpy(np.float64)
        # Labels that are intervals have no exact age.
        known = "true_age" in predicted and predicted["true_age"].notna().all()
        return predicted["true_age"].to_numpy(np.float64) if known else None

    @cached_property
    def age_errors(self) -> Floats | None:
        """Predicted less true age in years (N,); None if either is unknown.

        If a label is top-coded ("this or older"), predictions above it have no error.
        """
        predicted = self.held_out.predictions["age"]
        if self.true_ages is None or "age" not in predicted:
            return None
        return age_error(predicted["age"].to_numpy(), self.true_ages, predicted.get("top_coded"))


def evaluate(runs: FinishedRuns, persons: Persons) -> Evaluation:
    """Decide the held-out images as combine.py would; `persons` is its option."""
    eval_set = _read_eval_set(runs)
    if eval_set is None:
        fitted = fit_decision(runs.held_out, runs.held_out.predictions, "auto", "auto", calibrate=True)
        return Evaluation(runs, fitted, describe(fitted))
    decision = decide_classes(eval_set, runs.held_out, persons=persons)
    if decision.fitted is None:
        raise AssertionError("with held-out predictions a decision is fitted")
    return Evaluation(runs, decision.fitted, describe_decision(decision, runs.held_out, persons))


def _read_eval_set(runs: FinishedRuns) -> EvalSet | None:
    """Return the eval set if it is complete: it says whether combine.py would average over persons."""
    if not all((run / EVAL).is_file() for folders in runs.folders.values() for run in folders):
        return None
    with suppress(UserError):
        return read_eval_set(runs.source.data, runs.folders, runs.source.skip_bad, REJECTED)
    return None
