"""Where things are: the crops of a split, and the files of a run.

outputs/TASK/run.json       what was run, on what, and how it scored
outputs/TASK/oof.csv        held-out answers of the folds trained so far
outputs/TASK/eval.csv       answers for the eval pictures, averaged over those folds
outputs/TASK/extra/         weights.safetensors and history.csv of --extra-epochs, from which the folds start
outputs/TASK/fold0/         weights.safetensors, history.csv, oof.csv; resume.pt while it is trained
"""

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from shared.answers.files import OOF, RUN
from shared.errors import UserError
from shared.manifest import split_folder
from shared.training.choices import ViewsName

WEIGHTS, HISTORY, CHECKPOINT = "weights.safetensors", "history.csv", "resume.pt"

EPOCH = ("epoch", "loss", "macro_f1", "lr", "seconds")
"""Columns of history.csv."""


def crop_folder(crops: Path, data: Path, split: str) -> Path:
    """The crops of a split lie in a folder of its name, or, where `data` is that split alone, in `crops` itself."""
    return crops if split_folder(data, split) == data else crops / split


def run_folder(outputs: Path | None, specialist: str) -> Path:
    """`outputs`, or the specialist's own place when it is None."""
    return outputs or Path("outputs") / specialist


def fold_folder(run: Path, fold: int) -> Path:
    return run / f"fold{fold}"


def extra_stage_folder(run: Path) -> Path:
    return run / "extra"


def finished_folds(run: Path) -> dict[int, Path]:
    """Fold number -> folder of the folds that are trained to the end; their oof.csv is written last."""
    folders = {int(folder.name.removeprefix("fold")): folder for folder in run.glob("fold[0-9]*") if folder.is_dir()}
    return {fold: folders[fold] for fold in sorted(folders) if (folders[fold] / OOF).exists()}


def read_history(folder: Path, option: str = "epochs") -> pd.DataFrame:
    """What the epochs of a finished fold brought, as many as the `option` says: epoch, loss, macro_f1, lr, seconds.

    Raises `UserError` where its history.csv is not whole.
    """
    file = folder / HISTORY
    try:
        text = file.read_text(encoding="utf-8")
        history = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(EPOCH[1:], float))
        whole = text.endswith("\n") and tuple(history.columns) == EPOCH
        whole = whole and len(history) == (trained_with(folder.parent, option) or len(history))
    except (OSError, OverflowError, TypeError, ValueError):
        whole = False
    if not whole:
        raise UserError(f"{file} is not whole: remove {folder} and train this fold again")
    return history


def extra_seconds(run: Path) -> float:
    """How long the passes over extra persons alone took; 0 without such."""
    folder = extra_stage_folder(run)
    return float(read_history(folder, "extra_epochs")["seconds"].sum()) if (folder / HISTORY).exists() else 0.0


def trained_with(run: Path, option: str) -> Any:
    """What a run's run.json says of an option of its training; None where it says nothing."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return json.loads((run / RUN).read_text(encoding="utf-8"))["options"][option]
    return None


def own_views(run: Path) -> ViewsName:
    """The test-time views that a run was trained with; those of most where it does not say."""
    views = trained_with(run, "views")
    return views if views in get_args(ViewsName) else "flip"
