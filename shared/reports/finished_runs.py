"""A finished set of runs, and all that there is to tell of it: answers, decision, labels, crops, records."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from shared.crops import INDEX, CropSet, open_crops
from shared.fusion.decision import FittedDecision, fit_decision
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import EVAL, OOF, RUN, EvalSet, HeldOut, Persons, join_held_out, read_eval_set
from shared.fusion.report import decide_classes, describe
from shared.labels import age_band
from shared.manifest import load_training, split_folders
from shared.messages import UserError, first_of
from shared.runs import read_runs
from shared.tables import REJECTED
from shared.tracking import TABLE

Folders = Mapping[str, Sequence[Path]]
"""The run folders of each specialist; several are averaged."""


@dataclass(frozen=True)
class RunOptions:
    """Which runs, and what they were trained on: what the commands that look back at runs are told."""

    outputs: Path = Path("outputs")
    """Where the runs are: its folders mask, gender and age, and its runs.csv."""
    out: Path | None = None
    """The page or folder to write; report.html or audit/ in --outputs when left out."""
    mask: tuple[Path, ...] = ()
    """Run folders of the mask specialist instead of OUTPUTS/mask; several are averaged."""
    gender: tuple[Path, ...] = ()
    """Likewise of the gender specialist."""
    age: tuple[Path, ...] = ()
    """Likewise of the age specialist."""
    data: Path | None = None
    """The competition folder; where the runs were trained on, when left out."""
    crops: Path | None = None
    """Its crops; those that the runs were trained on, when left out."""
    fixes: tuple[Path, ...] | None = None
    """The label corrections that the runs were trained with; as runs.csv tells, when left out."""

    def runs(self) -> dict[str, tuple[Path, ...]]:
        """The run folders of each specialist."""
        return {task: getattr(self, task) or (self.outputs / task,) for task in SPECIALISTS}


@dataclass(frozen=True)
class Finished:
    """N images that all runs hold out, and what surrounds them."""

    runs: Folders
    settled: FittedDecision
    """How was decided, cross-fitted."""
    remark: str
    """How that came about, as combine.py tells it."""
    labels: pd.DataFrame | None
    """Indexed by the N images: kind, and age in years; None where train.csv is not at hand."""
    crops: CropSet | None
    records: pd.DataFrame | None
    """The rows of runs.csv, all of them."""
    about: Mapping[Path, Mapping[str, Any]]
    """The content of run.json of each run folder that has one."""

    @property
    def held_out(self) -> HeldOut:
        """As it was decided on: averaged over persons where combine.py would do that."""
        return self.settled.cross_fitted.held_out


def read_finished(
    runs: Folders, data: Path | None, crops: Path | None, fixes: Sequence[Path] | None, persons: Persons
) -> Finished:
    """Read a set of runs, and decide as combine.py would.

    Where `data`, `crops` or `fixes` is None, it is what the runs were trained with, as runs.csv tells. Raises
    `UserError` where a run has no held-out answers, and where the labels are not those that it was trained on.
    """
    held_out = read_held_out_predictions(runs)
    records = read_records(runs)
    source = trained_on(records, runs, data, crops, fixes)
    labels = read_labels(source, held_out)
    settled, remark = _decide(runs, source, held_out, persons)
    return Finished(runs, settled, remark, labels, find_training_crops(source.crops), records, _about(runs))


def read_held_out_predictions(runs: Folders) -> HeldOut:
    """Raises `UserError` where a run has none, saying what makes them."""
    for task, folders in runs.items():
        for folder in folders:
            if not (folder / OOF).is_file():
                raise UserError(
                    f"{folder / OOF} is missing: python -m pipelines.{task}.train makes it; "
                    f"--outputs or --{task} FOLDER names runs elsewhere"
                )
    return join_held_out({task: [folder / OOF for folder in folders] for task, folders in runs.items()})


def read_records(runs: Folders) -> pd.DataFrame | None:
    """The runs.csv beside the first run that has one."""
    for folder in (folder for folders in runs.values() for folder in folders):
        with suppress(UserError):
            return read_runs(folder.absolute().parent / TABLE)
    return None


class Source(NamedTuple):
    """What runs were trained on."""

    data: Path
    crops: Path
    fixes: Sequence[Path]
    skip_bad: bool
    """Whether faulty rows were left out."""


def trained_on(
    records: pd.DataFrame | None, runs: Folders, data: Path | None, crops: Path | None, fixes: Sequence[Path] | None
) -> Source:
    """As the latest training of `runs` on record says, but for what is named (not None)."""
    told: Mapping[str, Any] = {}
    if records is not None:
        # By name, for they lie beside the table, whatever path a command gave them; scores of them tell no training.
        names = {folder.absolute().name for folders in runs.values() for folder in folders}
        trained = records[records["kind"].isin(("fold", "training", "trial"))]
        mine = trained[[Path(run).name in names for run in trained["run"]]]
        told = mine["options"].iloc[-1] if len(mine) else told
    known = tuple(Path(file) for file in told.get("fixes") or ())
    return Source(
        data or Path(told.get("data") or "data"),
        crops or Path(told.get("crops") or "crops"),
        known if fixes is None else fixes,
        bool(told.get("skip_bad")),
    )


def read_labels(source: Source, held_out: HeldOut) -> pd.DataFrame | None:
    """Kind and age of each held-out image; None where the data has no train.csv.

    Raises `UserError` where the labels are not those of the held-out answers.
    """
    try:
        folder = split_folders(source.data).get("train")
    except UserError:
        return None
    if folder is None:
        return None
    table = load_training(folder, source.fixes, source.skip_bad).set_index("image")
    images = held_out.persons.index
    absent = images.difference(table.index)
    if len(absent):
        raise UserError(f"{folder} has not {len(absent):,} of the images that were held out: {first_of(absent)}")
    table = table.loc[images]
    labels = {"mask": table["mask"], "gender": table["gender"], "age": table["age"].map(age_band)}
    for task, label in labels.items():
        differs = label.to_numpy() != held_out.truth[task]
        if differs.any():
            raise UserError(
                f"{folder} and the held-out answers disagree about the {task} of {differs.sum():,} images "
                f"({first_of(images[differs])}): give the --fixes that the runs were trained with"
            )
    return table[["kind", "age"]]


def find_training_crops(folder: Path) -> CropSet | None:
    """The crops of the training images, in `folder` or its train/; None where there are none."""
    for place in (folder / "train", folder):
        if (place / INDEX).is_file():
            return open_crops(place)
    return None


def _decide(runs: Folders, source: Source, held_out: HeldOut, persons: Persons) -> tuple[FittedDecision, str]:
    asked = _asked(runs, source)
    if asked is None:
        settled = fit_decision(held_out, held_out.predictions, "auto", "auto", calibrate=True)
        return settled, describe(settled)
    outcome = decide_classes(asked, held_out, persons=persons)
    if outcome.fitted is None:
        raise AssertionError("held-out answers are given")
    return outcome.fitted, outcome.remark


def _asked(runs: Folders, source: Source) -> EvalSet | None:
    """What is to be answered, where all of it is at hand: it tells whether combine.py would average over persons."""
    if not all((folder / EVAL).is_file() for folders in runs.values() for folder in folders):
        return None
    with suppress(UserError):
        return read_eval_set(source.data, runs, source.skip_bad, REJECTED)
    return None


def _about(runs: Folders) -> dict[Path, Mapping[str, Any]]:
    found = {}
    for folder in (folder for task in SPECIALISTS for folder in runs[task]):
        # Predictions may come from elsewhere, without a run.json that could be read.
        with suppress(OSError, ValueError):
            found[folder] = json.loads((folder / RUN).read_text(encoding="utf-8"))
    return found
