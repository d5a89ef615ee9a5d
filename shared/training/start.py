"""The weights that a training starts from: those of a specialist in a bundle or a run, or the backbone's own.

    --start ready          the ready-made model that comes with face18; the default unless --backbone is named
    --start faces.zip      a bundle
    --start outputs/age    a run; each fold starts from the fold of the same number if it was trained on the same data
    --backbone NAME        the backbone's own pretrained weights

The body of the network is taken over, and its head too if it has the same outputs for the same specialist.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from shared.bundle_source import MANIFEST, MAX_MANIFEST, open_source
from shared.files import READY_MADE
from shared.fusion.predictions import OOF
from shared.messages import UserError, first_of
from shared.specialist import Specialist, softmax
from shared.tracking import read_run_json
from shared.training.face_backbones import FaceResBranches, start_head
from shared.training.model import Network
from shared.training.options import READY, ModelOptions, OptimisationOptions, TrainOptions
from shared.training.run_folder import WEIGHTS, CheckpointMetadata, finished_folds, read_header, read_network
from shared.weights import FACE_BACKBONES

HIGH_RATE = 2e-4
"""Above this learning rate networks that know faces forget them; at it, one of five folds of age did."""

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Start:
    """The weights of one specialist, to start from."""

    label: str
    """Where they are from, for messages."""
    metadata: CheckpointMetadata
    state: State
    """Of a `Network` with this backbone, float32."""
    digest: str
    """Hash of the file."""
    sources: tuple[dict[str, str], ...] = ()
    """The data that the weights were trained on: source, licence and credit of each."""

    def network(self, model: ModelOptions, specialist: Specialist) -> Network:
        """Return a network with these weights; a head of another specialist or shape is left untrained.

        Raises `UserError` if the weights do not fit the backbone.
        """
        network = Network(
            str(model.backbone), specialist.outputs, model.dropout, False, model.mean, model.std, model.input_size
        )
        own = network.state_dict()
        head = f"backbone.{network.backbone.pretrained_cfg['classifier']}."
        same = self.metadata.specialist == specialist.name and all(
            name in self.state and self.state[name].shape == tensor.shape
            for name, tensor in own.items()
            if name.startswith(head)
        )
        kept = {name for name in own if not name.startswith(head) or same}
        kept -= {name for name in ("mean", "std") if getattr(model, name) is not None}
        try:
            network.load_state_dict({name: self.state[name] if name in kept else own[name] for name in own})
        except (KeyError, RuntimeError) as error:
            raise UserError(f"--start: {self.label} does not fit --backbone {model.backbone}") from error
        return network


def read_start(start: str, specialist: Specialist, fold: int | None = None) -> Start:
    """Read the weights of a specialist; `start` is as on the command line.

    Of a run `fold` names the fold, its first one if None. Raises `UserError` if the file is missing, broken, or holds
    no weights that this specialist can start from.
    """
    path = READY_MADE if start == READY else Path(start)
    if not path.exists():
        raise UserError(f"--start {start}: there is no such file or folder. It names a run, a bundle, or {READY}")
    folds = finished_folds(path) if path.is_dir() else {}
    if folds:
        number = min(folds) if fold is None else fold
        if number not in folds:
            raise UserError(
                f"--start {start} has not trained fold {number}, and its other folds have seen who is held out"
            )
        trained = read_run_json(path)
        sources = _sources(trained, trained)
        return replace(start_from_file(folds[number] / WEIGHTS, specialist), sources=sources)
    source = open_source(path)
    if not source.holds(MANIFEST):
        raise UserError(f"--start {start} is neither a run with a trained fold nor a bundle")
    try:
        manifest = json.loads(source.read(MANIFEST, MAX_MANIFEST))
        listed, about = manifest["specialists"], manifest["about"]
        sources = _sources(about, {"start_sources": (about.get("start") or {}).get("sources")})
        runs = listed.get(specialist.name) or listed["age"]
        name = runs[0]["weights"][0]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"--start {start} is no whole bundle: {MANIFEST} names no weights") from error
    return replace(_parse(read_network(source, name), f"{path}: {name}", specialist), sources=sources)


def _sources(own: Mapping[str, Any], start: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """Return the sources of weights and of what they started from; raises an exception of `read_start` for others."""
    listed = [*(own.get("sources") or ()), *(start.get("start_sources") or ())]
    return tuple({key: str(each.get(key, "unknown")) for key in ("source", "licence", "credit")} for each in listed)


def start_from_file(file: Path, specialist: Specialist) -> Start:
    """Return the weights in a file; raises `UserError` if it is broken."""
    return _parse(file.read_bytes(), str(file), specialist)


def _parse(content: bytes, label: str, specialist: Specialist) -> Start:
    metadata = read_header(io.BytesIO(content), label).metadata
    try:
        state: dict[str, Tensor] = safetensors.torch.load(content)
    except SafetensorError as error:
        raise UserError(f"{label} is not a whole weights file of face18: get it again") from error
    if metadata.heads is not None and metadata.specialist != specialist.name:
        backbone, state = split_branches(state, specialist.name, metadata.heads)
        own = specialist.name in metadata.heads
        metadata = replace(metadata, backbone=backbone, specialist=specialist.name if own else "", heads=None)
    floats = {name: tensor.float() for name, tensor in state.items()}
    return Start(label, metadata, floats, hashlib.blake2b(content, digest_size=8).hexdigest())


def split_branches(
    state: Mapping[str, Tensor], task: str, heads: Mapping[str, Sequence[int]]
) -> tuple[str, dict[str, Tensor]]:
    """Return the part of a `faceres_branches` network for one task, as the name and the state of a network of its own.

    That is `faceres_mid` for the mask state, otherwise `faceres`. `state` is that of the backbone within a `Network`;
    `heads` are the first and the end of each task's logits. A task without a head gets no classifier.
    """
    mask = task == "mask"
    branch, head = ("mask", "mask_classifier") if mask else ("face", "classifier")
    offset = 0 if mask else FaceResBranches.MASK_CLASSES
    rows = slice(*(number - offset for number in heads[task])) if task in heads else slice(0)
    found = {}
    for name, tensor in state.items():
        part, _, rest = name.removeprefix("backbone.").partition(".")
        if part in ("trunk", branch):
            # A slice of a Sequential keeps the numbers of its layers.
            found[f"backbone.blocks.{rest}"] = tensor
        elif part == head:
            found[f"backbone.classifier.{rest}"] = tensor[rows]
        elif part in ("stem", "mean", "std") or (part == "feats" and not mask):
            found[name] = tensor
    return ("faceres_mid" if mask else "faceres"), found


def with_start(options: TrainOptions, specialist: Specialist) -> tuple[TrainOptions, Start | None]:
    """Return the options with what the start decides, where they leave it open, and the weights to start from.

    A start decides the backbone, the size and window of its input, and whether the head alone is trained. There are no
    weights if the network starts from the backbone's own or from random ones.
    Raises `UserError` as `read_start` does.
    """
    model, name = options.model, options.model.starts_from
    if name is None:
        return options.with_values(freeze="body" if model.trains_head_alone else "none"), None
    start = read_start(name, specialist)
    if model.freeze == "auto" and start.metadata.frozen:
        model = replace(model, freeze="body")
    backbone = model.backbone or start.metadata.backbone
    if model.trains_head_alone and backbone == "faceres":
        # Its 256 numbers were trained for gender and age; the means below them say more of a face.
        backbone = "faceres_wide"
    window = model.window or tuple(start.metadata.window[key] for key in ("side", "centre_x", "centre_y"))
    size = model.size or start.metadata.size
    return options.with_values(
        start=name, backbone=backbone, window=window, size=size, freeze="body" if model.trains_head_alone else "none"
    ), start


def describe_start(model: ModelOptions, learning: OptimisationOptions, start: Start | None) -> str:
    """Return a line on what is trained, from where, for people; empty for ImageNet weights and random ones."""
    knows_faces = start is not None or (model.pretrained and model.backbone in FACE_BACKBONES)
    if not knows_faces and not model.trains_head_alone:
        return ""
    origin = model.start or (f"{model.backbone}, " + ("pretrained" if model.pretrained else "random weights"))
    parts = [f"start: {origin}"]
    if model.trains_head_alone:
        parts.append(
            "the head alone is trained: --lr, --epochs and augmentation have no effect (--freeze none: all layers)"
        )
    elif knows_faces and (learning.fold_lr or learning.lr) > HIGH_RATE:
        parts.append(f"all layers are trained; --lr {learning.lr:g} is high for them and forgets faces: try --lr 1e-4")
    else:
        parts.append("all layers are trained")
    if model.start not in (None, READY) and not Path(model.start).is_dir():
        parts.append("if the bundle has seen persons of --data, held-out scores are too good")
    return "; ".join(parts)


def initial_network(model: ModelOptions, specialist: Specialist, start: Start | None) -> Network:
    """Return the untrained network, or one with the weights of a start."""
    if start is not None:
        return start.network(model, specialist)
    network = Network(
        str(model.backbone),
        specialist.outputs,
        model.dropout,
        model.pretrained,
        model.mean,
        model.std,
        model.input_size,
    )
    if model.pretrained and specialist.distribution is softmax:
        start_head(network.backbone, specialist.name)
    return network


def folds_seen(start: str | None, table: pd.DataFrame) -> bool:
    """Return whether a run to start from was trained on persons of the manifest, split into the same folds.

    Every fold must then start from the fold of the same number, which has not seen the persons that it holds out.
    `table` has the columns person and fold. Raises `UserError` if the run has trained on persons held out here.
    """
    file = Path(start or READY) / OOF
    if start in (None, READY) or not file.is_file():
        return False
    seen = pd.read_csv(file, usecols=["person", "fold"], dtype={"person": str}).drop_duplicates("person")
    shared = seen.merge(table[["person", "fold"]].drop_duplicates("person"), on="person", suffixes=("_there", ""))
    if (shared["fold_there"] != shared["fold"]).any():
        raise UserError(
            f"--start {start} was trained on persons whom a fold here holds out, since its folds are others "
            f"({first_of(shared['person'])}): use the same --folds and data as there, or another start"
        )
    return len(shared) > 0
