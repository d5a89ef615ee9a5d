"""The files of a run, and whether another training may continue in its folder.

outputs/TASK/run.json       options, data, code version, scores and seconds
outputs/TASK/oof.csv        predictions for the held-out images of all folds trained so far
outputs/TASK/eval.csv       predictions for the eval images, averaged over those folds
outputs/TASK/extra/         weights.safetensors and history.csv of --extra-epochs, from which the folds start
outputs/TASK/fold0/         weights.safetensors, history.csv, oof.csv; resume.pt until the fold is finished

`CheckpointMetadata` is the header of trained weights. This module loads neither torch nor anything heavy.
"""

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, get_args

import pandas as pd
import safetensors.numpy

from shared.bundle_source import MAX_WEIGHTS, BundleSource
from shared.files import write_text
from shared.fusion.predictions import EVAL, OOF
from shared.manifest import split_folder
from shared.messages import UserError
from shared.tracking import DATA_FOLDER, RUN, provenance, read_run_json
from shared.training.options import TtaName
from shared.weights import FACE_BACKBONES

if TYPE_CHECKING:
    from shared.crops import CropSet, Window
    from shared.specialist import Specialist

WEIGHTS_SUFFIX = ".safetensors"
WEIGHTS, HISTORY, CHECKPOINT = f"weights{WEIGHTS_SUFFIX}", "history.csv", "resume.pt"


@dataclass(frozen=True)
class Epoch:
    """A line of a fold's history."""

    epoch: int
    """From 0."""
    loss: float
    """Mean over the training batches."""
    macro_f1: float
    """Of the held-out images, without test-time augmentation."""
    lr: float
    """At the start of the epoch."""
    seconds: float


EPOCH_COLUMNS = tuple(field.name for field in fields(Epoch))
"""Columns of history.csv."""

HEADER = "face18"
"""Key of the checkpoint metadata, as JSON, in the metadata of a safetensors or ONNX file."""

VISIBLE_SECONDS = 60.0
"""A network file system shows a file of another machine after so long at the latest."""

_MAX_HEADER = 16 << 20
"""Bytes of a safetensors header."""


def crop_folder(crops: Path, data: Path, split: str) -> Path:
    """Return the folder of a split's crops: `crops/split`, or `crops` itself if `data` is that split alone."""
    return crops if split_folder(data, split) == data else crops / split


def run_folder(outputs: Path | None, specialist: str) -> Path:
    """Return `outputs`, or outputs/SPECIALIST if it is None."""
    return outputs or Path("outputs") / specialist


def fold_folder(run: Path, fold: int) -> Path:
    return run / f"fold{fold}"


def extra_stage_folder(run: Path) -> Path:
    return run / "extra"


def finished_folds(run: Path) -> dict[int, Path]:
    """Return number and folder of the folds that are completely trained; their oof.csv is written last."""
    folders = {int(folder.name.removeprefix("fold")): folder for folder in run.glob("fold[0-9]*") if folder.is_dir()}
    return {fold: folders[fold] for fold in sorted(folders) if (folders[fold] / OOF).exists()}


def read_history(folder: Path, option: str = "epochs") -> pd.DataFrame:
    """Return a finished fold's history, a row for each epoch, `EPOCH_COLUMNS`.

    The run's `option` says how many epochs there must be. Raises `UserError` if history.csv is incomplete.
    """
    file = folder / HISTORY
    try:
        text = file.read_text(encoding="utf-8")
        history = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(EPOCH_COLUMNS[1:], float))
        complete = text.endswith("\n") and tuple(history.columns) == EPOCH_COLUMNS
        # A head on a frozen body is fitted at once.
        frozen = trained_option(folder.parent, "freeze") == "body"
        complete = complete and len(history) == (1 if frozen else trained_option(folder.parent, option) or len(history))
    except (OSError, OverflowError, TypeError, ValueError):
        complete = False
    if not complete:
        raise UserError(f"{file} is not complete: remove {folder} and train this fold again")
    return history


def fold_seconds(folder: Path) -> float:
    """Return the training time of a finished fold."""
    return float(read_history(folder)["seconds"].sum())


def extra_seconds(run: Path) -> float:
    """Return the training time of the passes over extra persons alone; 0 without them."""
    folder = extra_stage_folder(run)
    return float(read_history(folder, "extra_epochs")["seconds"].sum()) if (folder / HISTORY).exists() else 0.0


def trained_option(run: Path, option: str) -> Any:
    """Return an option that a run was trained with; None if its run.json does not say."""
    options = read_run_json(run).get("options")
    return options.get(option) if isinstance(options, dict) else None


def tta_of(run: Path) -> TtaName:
    """Return the test-time augmentation that a run was trained with; "flip" if its run.json does not say."""
    tta = trained_option(run, "tta")
    return tta if tta in get_args(TtaName) else "flip"


def data_identity(specialist: "Specialist", table: pd.DataFrame, crops: "CropSet") -> dict[str, Any]:
    """Return what run.json says of the data: fingerprint, recipe of the crops, and extra folders if there are any.

    `table` has a column `source`, "" for the base data.
    """
    known = {"data": fingerprint(specialist, table, crops), "recipe": crops.recipe}
    extra = [
        {"folder": name, "persons": int(rows["person"].nunique()), "images": len(rows)}
        for name, rows in table[table["source"] != ""].groupby("source", sort=False)
    ]
    return {**known, "extra": extra} if extra else known


def fingerprint(specialist: "Specialist", table: pd.DataFrame, crops: "CropSet") -> str:
    """Return a code that changes with any label, fold or source image, but not with their folder."""
    known = table[["image", "person", "mask", "gender", "age", "fold", *specialist.own_labels]].to_csv(index=False)
    return hashlib.sha256((known + crops.index["fingerprint"].to_csv()).encode()).hexdigest()[:16]


def claim(run: Path, identity: dict[str, Any], overwrite: bool, data: Path) -> bool:
    """Start a run on a data folder or continue it; return whether another run was discarded for it.

    Raises `UserError` if its own folder holds another run that must not be discarded.
    """
    known = read_run_json(run)
    if not known and (run / RUN).exists():
        raise UserError(f"{run / RUN} cannot be read; move {run} away to train anew")
    changes = _changes(known, identity) if known else []
    if changes and not overwrite:
        raise UserError(
            f"{run} holds a run with other options or data ({'; '.join(changes)}). "
            "Keep it and name another folder with --outputs, or discard it with --overwrite"
        )
    if changes:
        _discard(run)
    if not (run / RUN).exists():
        write_run_json(run, {**identity, DATA_FOLDER: str(data.absolute()), "provenance": provenance()})
    return bool(changes)


def join_folds(run: Path, others: Sequence[Path], identity: dict[str, Any]) -> None:
    """Copy the finished folds of other run folders into this one; run.json keeps what trained each of them.

    Raises `UserError` before anything is copied if a folder holds no finished fold, has other options or data, or a
    fold is there twice with different predictions.
    """
    sources: dict[int, Path] = {}
    for other in others:
        known, folds = read_run_json(other), finished_folds(other)
        if not known or not folds:
            raise UserError(f"--join {other}: it holds no finished fold with its run.json; train --only-fold there")
        if changes := _changes(known, identity):
            raise UserError(f"--join {other}: it holds a run with other options or data ({'; '.join(changes)})")
        for fold, folder in folds.items():
            for rival in (sources.get(fold, folder), fold_folder(run, fold)):
                if rival.exists() and not _same_predictions(rival, folder):
                    raise UserError(f"--join: {rival} and {folder} are both fold {fold}; move one of them away")
            sources[fold] = folder
    for fold, folder in sources.items():
        _copy_folder(folder, fold_folder(run, fold))
        if extra_stage_folder(folder.parent).exists():
            _copy_folder(extra_stage_folder(folder.parent), extra_stage_folder(run))
    if sources:
        origins = {str(fold): read_run_json(folder.parent).get("provenance") for fold, folder in sources.items()}
        write_run_json(run, {**read_run_json(run), "joined": origins})


def _same_predictions(one: Path, other: Path) -> bool:
    """Return whether two fold folders are one, or hold the same predictions."""
    return (one / OOF).exists() and (one / OOF).read_bytes() == (other / OOF).read_bytes()


def _copy_folder(source: Path, target: Path) -> None:
    """Copy a folder, completely or not at all, unless the target exists."""
    if target.exists():
        return
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part, ignore=shutil.ignore_patterns(CHECKPOINT, ".*"))
        part.rename(target)
    except OSError as error:
        raise UserError(f"--join: {source} cannot be copied to {target} ({error})") from error


def wait_until_visible(run: Path) -> None:
    """Wait until this process sees the run.json that the main process has written.

    Raises `UserError` after a minute: processes of several machines need one folder on a shared file system.
    """
    deadline = time.monotonic() + VISIBLE_SECONDS
    while not (run / RUN).exists():
        if time.monotonic() > deadline:
            raise UserError(
                f"{run / RUN} was written by the main process and is not visible here: name --outputs on a file system "
                "that all machines share"
            )
        time.sleep(0.1)


def write_run_json(run: Path, content: dict[str, Any]) -> None:
    """Write run.json, completely or not at all."""
    write_text(run / RUN, json.dumps(content, indent=2) + "\n")


def _changes(known: dict[str, Any], identity: dict[str, Any]) -> list[str]:
    """Return how a run's options and data differ from those of the run that is there, for messages."""
    mine, theirs = identity["options"], known.get("options", {})
    changes = [
        f"--{name.replace('_', '-')} was {theirs.get(name)}, now {mine.get(name)}"
        for name in {**theirs, **mine}
        if theirs.get(name) != mine.get(name)
    ]
    data = "the labels, images or folds changed"
    if identity.get("extra"):
        data += " (persons of --extra who are among the eval images are left out once these have crops)"
    texts = {"data": data, "recipe": "the crop recipe changed"}
    return changes + [text for key, text in texts.items() if known.get(key) != identity[key]]


def _discard(run: Path) -> None:
    try:
        for folder in (*run.glob("fold[0-9]*"), extra_stage_folder(run)):
            if folder.exists():
                shutil.rmtree(folder)
        for name in (OOF, EVAL, RUN):
            (run / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"--overwrite: {run} cannot be emptied ({error.strerror}): name another folder with --outputs"
        ) from error


@dataclass(frozen=True)
class CheckpointMetadata:
    """What must be known of trained weights to use them."""

    specialist: str
    classes: list[str]
    window: dict[str, float]
    backbone: str
    outputs: int
    size: int
    recipe: str
    """Recipe id of the crops they were trained on."""
    distribution: str = "softmax"
    """Name of the function that turns logits into probabilities."""
    origin: str = ""
    """Where a backbone that was trained on faces is from: package, licence and training data."""
    heads: dict[str, list[int]] | None = None
    """First and end of the outputs of each specialist, in a network that several of them share."""
    frozen: str = ""
    """A code of the body and its input, if only the head was trained: networks that agree in it differ in the head."""
    head: str = ""
    """Name of the linear head in the weights of a network with a frozen body."""

    @classmethod
    def of(cls, specialist: "Specialist", backbone: str, size: int, recipe: str) -> "CheckpointMetadata":
        """Return the metadata of weights that are trained for this specialist."""
        return cls(
            specialist=specialist.name,
            classes=list(specialist.classes),
            window=asdict(specialist.window),
            backbone=backbone,
            outputs=specialist.outputs,
            size=size,
            recipe=recipe,
            distribution=specialist.distribution.__name__,
            origin=str(FACE_BACKBONES.get(backbone, "")),
        )

    def check(self, path: Path, specialist: "Specialist", crops: "CropSet") -> None:
        """Raise `UserError` unless the weights are of this specialist as it is now, and of these crops' recipe.

        Its window may differ, since options may have changed it; see `window_of`.
        """
        wanted = CheckpointMetadata.of(specialist, self.backbone, self.size, self.recipe)
        free = replace(self, window=wanted.window, origin=wanted.origin, frozen="", head="")
        for name, value in asdict(free).items():
            if value != getattr(wanted, name):
                raise UserError(
                    f"{path} was trained with {name} {value}, this is {getattr(wanted, name)}: "
                    "train it again, elsewhere (--outputs) or over it (--overwrite)"
                )
        self.check_recipe(path, crops.recipe, f"those in {crops.folder}")

    def window_of(self, specialist: "Specialist") -> "Window":
        """Return the part of the crop that the weights were trained on."""
        return replace(specialist.window, **self.window)

    def check_recipe(self, path: Path, recipe: str, crops: str) -> None:
        """Raise `UserError` unless the weights were trained on crops of this recipe; `crops` names them."""
        if recipe != self.recipe:
            raise UserError(
                f"{path} was trained on crops of recipe {self.recipe}, {crops} are of {recipe}: "
                "make the crops with the version of face18 that trained the weights, or train again"
            )


class WeightsHeader(NamedTuple):
    """Header of a safetensors file."""

    metadata: CheckpointMetadata
    shapes: dict[str, tuple[int, ...]]
    """Shape of each tensor, by name."""


def read_header(file: BinaryIO, label: str, advice: str = "get it again") -> WeightsHeader:
    """Read the header of a safetensors file: its length in eight bytes, then JSON.

    Raises `UserError` with `label` and `advice` if the file is cut short, or is not one of face18.
    """
    try:
        length = int.from_bytes(file.read(8), "little")
        size = file.seek(0, os.SEEK_END) - 8 - length
        if not 0 < length <= _MAX_HEADER or size < 0:
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


def body_file(code: str, suffix: str) -> str:
    """Return the name in a bundle of the frozen body that several networks share."""
    return f"body/{code}{suffix}"


def split_body(content: bytes) -> tuple[bytes, bytes]:
    """Split the content of a weights file with a frozen body into that of its head and that of its body."""
    metadata, tensors = metadata_of(content, "weights"), safetensors.numpy.load(content)
    own = f"{metadata.head}."
    parts = ({k: v for k, v in tensors.items() if k.startswith(own) == head} for head in (True, False))
    head, body = (safetensors.numpy.save(part, {HEADER: json.dumps(asdict(metadata))}) for part in parts)
    return head, body


def read_network(source: BundleSource, name: str) -> bytes:
    """Return the content of a weights file of a bundle, with the body that it shares with others put back in.

    Raises `UserError` if a file is missing or broken.
    """
    content = source.read(name, MAX_WEIGHTS)
    metadata, shapes = read_header(io.BytesIO(content), f"{source.path}: {name}")
    own = f"{metadata.head}."
    if not metadata.frozen or not all(tensor.startswith(own) for tensor in shapes):
        return content
    label = f"{source.path}: {body_file(metadata.frozen, WEIGHTS_SUFFIX)}"
    body = source.read(body_file(metadata.frozen, WEIGHTS_SUFFIX), MAX_WEIGHTS)
    read_header(io.BytesIO(body), label)
    tensors = {**safetensors.numpy.load(body), **safetensors.numpy.load(content)}
    return safetensors.numpy.save(tensors, {HEADER: json.dumps(asdict(metadata))})


def read_metadata(text: str) -> CheckpointMetadata:
    """Return metadata from its JSON; raises `KeyError`, `TypeError` or `ValueError` if it is none."""
    return CheckpointMetadata(**json.loads(text))
