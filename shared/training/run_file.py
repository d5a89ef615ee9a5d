"""What a run folder says of itself (run.json): its options and data, and whether another training may go on in it."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from shared.answers.files import EVAL, OOF, RUN
from shared.atomic import write_text
from shared.crops import CropSet
from shared.errors import UserError
from shared.provenance import provenance
from shared.specialist import Specialist
from shared.training.extra import summary
from shared.training.folders import extra_stage_folder


def data_identity(specialist: Specialist, table: pd.DataFrame, crops: CropSet) -> dict[str, Any]:
    """What run.json says of the data: its fingerprint, the recipe of its crops, and extra folders where there are."""
    known = {"data": fingerprint(specialist, table, crops), "recipe": crops.recipe}
    return {**known, "extra": extra} if (extra := summary(table)) else known


def fingerprint(specialist: Specialist, table: pd.DataFrame, crops: CropSet) -> str:
    """Changes with any label, any fold and any source picture, but not with where they lie."""
    known = table[["picture", "person", "mask", "gender", "age", "fold", *specialist.own_labels]].to_csv(index=False)
    return hashlib.sha256((known + crops.index["fingerprint"].to_csv()).encode()).hexdigest()[:16]


def claim(run: Path, identity: dict[str, Any], overwrite: bool) -> None:
    """Make the folder this run's own; raises `UserError` where it holds another run that may not be overwritten."""
    changes = _changes(read_run(run), identity) if (run / RUN).exists() else []
    if changes and not overwrite:
        raise UserError(
            f"{run} holds a run of another kind ({'; '.join(changes)}). "
            "Keep it and name another folder with --outputs, or discard it with --overwrite"
        )
    if changes:
        _discard(run)
    if not (run / RUN).exists():
        write_run(run, {**identity, "provenance": provenance()})


def read_run(run: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((run / RUN).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{run / RUN} cannot be read ({error}); move {run} away to train anew") from error


def _changes(found: dict[str, Any], identity: dict[str, Any]) -> list[str]:
    """In what the run that was found differs from this one, for people."""
    mine, theirs = identity["options"], found.get("options", {})
    changes = [
        f"--{name.replace('_', '-')} was {theirs.get(name)}, now {mine.get(name)}"
        for name in {**theirs, **mine}
        if theirs.get(name) != mine.get(name)
    ]
    data = "the labels, pictures or folds changed"
    if identity.get("extra"):
        data += " (persons of --extra who are among eval are left out from when eval has crops)"
    whole = {"data": data, "recipe": "the crop recipe changed"}
    return changes + [text for key, text in whole.items() if found.get(key) != identity[key]]


def _discard(run: Path) -> None:
    try:
        for folder in run.glob("fold[0-9]*"):
            shutil.rmtree(folder)
        if extra_stage_folder(run).exists():
            shutil.rmtree(extra_stage_folder(run))
        for name in (OOF, EVAL, RUN):
            (run / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"--overwrite: {run} cannot be emptied ({error.strerror}): name another folder with --outputs"
        ) from error


def write_run(run: Path, content: dict[str, Any]) -> None:
    """Write run.json, whole or not at all."""
    write_text(run / RUN, json.dumps(content, indent=2) + "\n")
