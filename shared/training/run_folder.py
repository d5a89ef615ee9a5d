"""Where things are: the crops of a split, and the files of a run.

outputs/TASK/run.json       what was run, on what, and how it scored
outputs/TASK/oof.csv        held-out answers of the folds trained so far
outputs/TASK/eval.csv       answers for the eval images, averaged over those folds
outputs/TASK/extra/         weights.safetensors and history.csv of --extra-epochs, from which the folds start
outputs/TASK/fold0/         weights.safetensors, history.csv, oof.csv; resume.pt while it is trained

What travels in the header of trained weights. Imports neither torch nor anything heavy.
"""

import io
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, get_args

import pandas as pd

from shared.fusion.predictions import OOF
from shared.manifest import split_folder
from shared.messages import UserError
from shared.tracking import read_run_json
from shared.training.options import TtaName

if TYPE_CHECKING:
    from shared.crops import CropSet, Window
    from shared.specialist import Specialist

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
        whole = whole and len(history) == (trained_option(folder.parent, option) or len(history))
    except (OSError, OverflowError, TypeError, ValueError):
        whole = False
    if not whole:
        raise UserError(f"{file} is not whole: remove {folder} and train this fold again")
    return history


def extra_seconds(run: Path) -> float:
    """How long the passes over extra persons alone took; 0 without such."""
    folder = extra_stage_folder(run)
    return float(read_history(folder, "extra_epochs")["seconds"].sum()) if (folder / HISTORY).exists() else 0.0


def trained_option(run: Path, option: str) -> Any:
    """Return an option that a run was trained with; None if its run.json does not say."""
    options = read_run_json(run).get("options")
    return options.get(option) if isinstance(options, dict) else None


def tta_of(run: Path) -> TtaName:
    """The test-time views that a run was trained with; those of most where it does not say."""
    tta = trained_option(run, "tta")
    return tta if tta in get_args(TtaName) else "flip"


HEADER = "face18"
"""The key of the metadata among the metadata of a safetensors or ONNX file; it is JSON."""

_MOST_HEADER = 16 << 20
"""Bytes."""


@dataclass(frozen=True)
class CheckpointMetadata:
    """What must be known of weights to use them as they were trained."""

    specialist: str
    classes: list[str]
    window: dict[str, float]
    backbone: str
    outputs: int
    size: int
    recipe: str
    """Id of the recipe of the crops they were trained on."""
    distribution: str = "softmax"
    """Name of the function that makes probabilities of the logits."""

    @classmethod
    def of(cls, specialist: "Specialist", backbone: str, size: int, recipe: str) -> "CheckpointMetadata":
        """What weights trained for this specialist must carry."""
        return cls(
            specialist=specialist.name,
            classes=list(specialist.classes),
            window=asdict(specialist.window),
            backbone=backbone,
            outputs=specialist.outputs,
            size=size,
            recipe=recipe,
            distribution=specialist.distribution.__name__,
        )

    def check(self, path: Path, specialist: "Specialist", crops: "CropSet") -> None:
        """Raises `UserError` unless these weights are of this specialist as it is now, and for crops of this recipe.

        The window is that of the weights, see `window_of`: options may have changed it.
        """
        wanted = CheckpointMetadata.of(specialist, self.backbone, self.size, self.recipe)
        for name, value in asdict(replace(self, window=wanted.window)).items():
            if value != getattr(wanted, name):
                raise UserError(
                    f"{path} was trained with {name} {value}, this is {getattr(wanted, name)}: "
                    "train it again, elsewhere (--outputs) or over it (--overwrite)"
                )
        self.check_recipe(path, crops.recipe, f"those in {crops.folder}")

    def window_of(self, specialist: "Specialist") -> "Window":
        """What of the crop these weights were trained on."""
        return replace(specialist.window, **self.window)

    def check_recipe(self, path: Path, recipe: str, crops: str) -> None:
        """Raises `UserError` unless these weights were trained on crops of this recipe; `crops` says which have it."""
        if recipe != self.recipe:
            raise UserError(
                f"{path} was trained on crops of recipe {self.recipe}, {crops} are of {recipe}: "
                "make the crops with the version of face18 that trained the weights, or train again"
            )


class WeightsHeader(NamedTuple):
    """Header of a safetensors file."""

    metadata: CheckpointMetadata
    shapes: dict[str, tuple[int, ...]]
    """Of each tensor, by name."""


def read_header(file: BinaryIO, label: str, advice: str = "get it again") -> WeightsHeader:
    """Read the header of a safetensors file: its length in eight bytes, then JSON.

    Raises `UserError` with `label` and `advice` if the file is cut short, or is not one of ours.
    """
    try:
        length = int.from_bytes(file.read(8), "little")
        size = file.seek(0, os.SEEK_END) - 8 - length
        if not 0 < length <= _MOST_HEADER or size < 0:
            raise ValueError("cut short")
        file.seek(8)
        tensors = json.loads(file.read(length))
        metadata = read_metadata(tensors.pop("__metadata__")[HEADER])
        shapes = {name: tuple(tensor["shape"]) for name, tensor in tensors.items()}
        if max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0) != size:
            raise ValueError("cut short")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise UserError(f"{label} is not a whole weights file of face18: {advice}") from error
    return WeightsHeader(metadata, shapes)


def metadata_of(content: bytes, label: str) -> CheckpointMetadata:
    """Return the metadata of a safetensors file's content; raises `UserError` as `read_header` does."""
    return read_header(io.BytesIO(content), label).metadata


def read_metadata(text: str) -> CheckpointMetadata:
    """A metadata from its JSON; raises `KeyError`, `TypeError` or `ValueError` where it is none."""
    return CheckpointMetadata(**json.loads(text))
