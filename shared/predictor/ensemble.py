"""From crops to the probabilities of the three specialists: the mean over views, folds and runs.

A network runs by PyTorch or by onnxruntime; with the latter, torch is never imported, which saves seconds and hundreds
of megabytes.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from shared.bundle_source import MAX_WEIGHTS, BundleSource
from shared.crops import Window
from shared.faces.alignment import RECIPE
from shared.faces.mtcnn import Detector, Net
from shared.fusion.fusion import SPECIALISTS, softmax
from shared.fusion.metrics import Floats
from shared.messages import UserError
from shared.predictor.bundle_file import DETECTOR_FILES, RunFiles, onnx_name
from shared.training.options import TtaName
from shared.training.run_folder import (
    HEADER,
    CheckpointMetadata,
    body_file,
    metadata_of,
    read_metadata,
    read_network,
)
from shared.training.tta import View, ensemble_probabilities

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Pixels = NDArray[np.uint8]
Runtime = Literal["torch", "onnx"]
Output = Callable[[Pixels], NDArray[np.float32]]
"""Images, uint8 (B, size, size, 3), to logits (B, K) or features (B, D)."""

AGE_YEARS = range(61, 201)
"""Outputs that an age network may have: one for each year, beyond the last band's edge."""
INPUT_SIDES = range(16, 1025)
"""Pixels a side that a network's input may have."""

DETECTOR_BATCH = 64
"""Pieces of an image that go through a net of the detector together in onnxruntime."""

NETWORK_BATCH = 4
"""The same for the faces that go through a network: larger batches do not fit into the cache of a CPU, and one by one
small networks are slower (docs/performance.md)."""


@dataclass(frozen=True)
class FoldNetwork:
    """The trained network of one fold."""

    window: Window
    """Part of the crop that it sees."""
    size: int
    """Pixels a side of its input."""
    output: Output
    """Images to its logits or, if it has a linear head of its own on a frozen body, to the features of that body."""
    digest: str
    """Hash of its file."""
    module: Any = None
    """Its `shared.training.model.Network` if PyTorch runs it, else None."""
    head: tuple[int, int] | None = None
    """First and end of the specialist's logits, in a network that several specialists share."""
    linear: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    """Weight (K, D) and bias (K,) of its head on a frozen body, None for any other network."""

    def probabilities(self, output: NDArray[np.float32]) -> Floats:
        """Return the probabilities (N, K) of the specialist's outputs from what `output` returned for N images."""
        if self.linear is not None:
            weight, bias = self.linear
            return softmax(output @ weight.T + bias)
        return softmax(output[:, slice(*self.head)] if self.head else output)

    def inputs(self, crops: Sequence[Pixels]) -> Pixels:
        """Cut what the network sees, (B, size, size, 3), out of crops (256, 256, 3)."""
        return np.stack([self.window.cut(crop, self.size) for crop in crops])


@dataclass(frozen=True)
class SpecialistEnsemble:
    """The networks of a specialist, those of each run together, one for each fold."""

    runs: tuple[tuple[FoldNetwork, ...], ...]
    tta: tuple[TtaName, ...]
    """Test-time augmentation of each run."""

    @property
    def networks(self) -> tuple[FoldNetwork, ...]:
        """The networks of all runs."""
        return tuple(network for run in self.runs for network in run)

    def probabilities(self, predict: Callable[[FoldNetwork, View], Floats]) -> Floats:
        """Return probabilities of the outputs (F, N, K), averaged over views and runs.

        `predict` returns those of one network (N, K) for one view of N images. Each of F folds predicts by the mean of
        its networks in all runs; F is 1, the mean of all networks, if the runs differ in the number of folds.
        """
        runs = [
            ensemble_probabilities([partial(predict, network) for network in run], tta)
            for run, tta in zip(self.runs, self.tta, strict=True)
        ]
        same = len({len(run) for run in runs}) == 1
        return np.asarray(np.mean(runs if same else [run.mean(axis=0, keepdims=True) for run in runs], axis=0))


def predict_batch(ensembles: Mapping[str, SpecialistEnsemble], crops: Sequence[Pixels]) -> dict[str, Floats]:
    """Return each specialist's probabilities of its outputs (F, N, K) for N crops, at least one.

    What networks have in common is made once: inputs of the same window and size, and outputs of the same network or
    frozen body.
    """

    @cache
    def inputs(window: Window, size: int) -> Pixels:
        return np.stack([window.cut(crop, size) for crop in crops])

    @cache
    def output(run: Output, window: Window, size: int, view: View) -> NDArray[np.float32]:
        return run(np.ascontiguousarray(view.of(inputs(window, size))))

    def predict(network: FoldNetwork, view: View) -> Floats:
        return network.probabilities(output(network.output, network.window, network.size, view))

    return {task: ensemble.probabilities(predict) for task, ensemble in ensembles.items()}


def load_ensembles(
    runs: Mapping[str, Sequence[RunFiles]], source: BundleSource, runtime: Runtime, device: str, threads: int = 0
) -> dict[str, SpecialistEnsemble]:
    """Load the networks of every specialist; a file that several of them name is loaded and run once for all.

    Raises `UserError` if a network is missing, broken, or of another specialist.
    """
    loaded: dict[str, tuple[CheckpointMetadata, FoldNetwork]] = {}
    bodies: dict[str, Output] = {}

    def load_file(task: str, name: str) -> tuple[CheckpointMetadata, FoldNetwork]:
        exported = onnx_name(name)
        if runtime == "onnx" and (source.holds(exported) or not source.holds(name)):
            content, label = _read_onnx(source, exported), f"{source.path}: {exported}"
            metadata, output, module = _open_onnx(content, task, label, threads)
            return metadata, FoldNetwork(Window(), metadata.size, output, digest_of(content), module)
        content, label, module = read_network(source, name), f"{source.path}: {name}", None
        if runtime == "torch":
            metadata, output, module = _open_torch(content, task, label, device)
        else:
            metadata = metadata_of(content, label)
            check_metadata(metadata, task, label)
            if not metadata.frozen:
                # Raises: this bundle was made without --onnx.
                _read_onnx(source, exported)
        linear = None
        if metadata.frozen:
            # The same function for all networks that differ in the head alone, so that `predict_batch` runs it once.
            if metadata.frozen not in bodies:
                bodies[metadata.frozen] = _body(source, metadata.frozen, module, threads)
            output, linear = bodies[metadata.frozen], _linear_head(content, metadata.head, label)
        return metadata, FoldNetwork(Window(), metadata.size, output, digest_of(content), module, linear=linear)

    def load(task: str, name: str) -> FoldNetwork:
        if name not in loaded:
            loaded[name] = load_file(task, name)
        metadata, network = loaded[name]
        window = check_metadata(metadata, task, f"{source.path}: {name}")
        head = (metadata.heads[task][0], metadata.heads[task][1]) if metadata.heads else None
        return replace(network, window=window, head=head)

    return {
        task: SpecialistEnsemble(
            tuple(tuple(load(task, name) for name in run.weights) for run in runs[task]),
            tuple(run.tta for run in runs[task]),
        )
        for task in SPECIALISTS
    }


def _body(source: BundleSource, code: str, module: Any, threads: int) -> Output:
    """Return the frozen body of networks as a function from images (B, size, size, 3) to features (B, D)."""
    if module is None:
        name = body_file(code, ".onnx")
        session = open_session(_read_onnx(source, name), f"{source.path}: {name}", threads)
        run = _in_batches(_function(session), NETWORK_BATCH)
        return lambda images: run(images)[0]
    import torch

    from shared.training.model import Features

    features = Features(module)

    @torch.inference_mode()
    def by_torch(images: Pixels) -> NDArray[np.float32]:
        return features(torch.from_numpy(images).to(module.mean.device)).float().cpu().numpy()

    return by_torch


def _linear_head(content: bytes, head: str, label: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weight (K, D) and bias (K,) of the linear head in a weights file."""
    try:
        tensors = safetensors.numpy.load(content)
        return tensors[f"{head}.weight"].astype(np.float32), tensors[f"{head}.bias"].astype(np.float32)
    except (KeyError, SafetensorError) as error:
        raise UserError(f"{label} has no linear head on its frozen body: get it again") from error


def check_metadata(metadata: CheckpointMetadata, task: str, label: str) -> Window:
    """Return the window of a network's input.

    Raises `UserError` unless the network belongs to the specialist `task`, is one that face18 may have trained, and
    was trained on crops of today's recipe. `label` names the file.
    """
    outputs = metadata.outputs
    own = metadata.specialist == task and metadata.classes == list(SPECIALISTS[task])
    if metadata.heads is not None:
        own, outputs = _shared_outputs(metadata, task)
    sound = (
        own
        and isinstance(outputs, int)
        and (outputs in AGE_YEARS if task == "age" else outputs == len(SPECIALISTS[task]))
        and isinstance(metadata.size, int)
        and metadata.size in INPUT_SIDES
        and isinstance(metadata.backbone, str)
        and metadata.distribution == "softmax"
    )
    if not sound:
        advice = ": of age, only runs of --loss years" if own and metadata.distribution != "softmax" else ""
        raise UserError(
            f"{label} is not the network of a {task} specialist that this version of face18 can use{advice}"
        )
    if metadata.recipe != RECIPE.id:
        raise UserError(
            f"{label} was trained on crops of recipe {metadata.recipe}, this version of face18 makes {RECIPE.id}: "
            "use the version that trained it, or train again"
        )
    try:
        return Window(**metadata.window)
    except (TypeError, ValueError) as error:
        raise UserError(f"{label} has no usable window of the crop ({error})") from error


def _shared_outputs(metadata: CheckpointMetadata, task: str) -> tuple[bool, int]:
    """Whether a network that specialists share has a head for the task, and how many outputs that has."""
    try:
        first, end = (metadata.heads or {})[task]
        return 0 <= first < end <= metadata.outputs, end - first
    except (KeyError, TypeError, ValueError):
        return False, 0


def torch_network(content: bytes, task: str, label: str, device: str) -> FoldNetwork:
    """Return the network of a weights file's content for PyTorch; raises `UserError` as `load_ensembles` does."""
    metadata, logits, module = _open_torch(content, task, label, device)
    return FoldNetwork(check_metadata(metadata, task, label), metadata.size, logits, digest_of(content), module)


def _open_torch(content: bytes, task: str, label: str, device: str) -> tuple[CheckpointMetadata, Output, Any]:
    import torch

    from shared.training.model import fuse_batch_norms, load_network

    metadata = metadata_of(content, label)
    check_metadata(metadata, task, label)
    module = load_network(content, label).requires_grad_(False).to(device)
    fuse_batch_norms(module, metadata.size)
    module.requires_grad_(False)

    @torch.inference_mode()
    def logits(images: Pixels) -> NDArray[np.float32]:
        return module(torch.from_numpy(images).to(device)).float().cpu().numpy()

    return metadata, logits, module


def _open_onnx(content: bytes, task: str, label: str, threads: int) -> tuple[CheckpointMetadata, Output, None]:
    session = open_session(content, label, threads)
    metadata = onnx_metadata(session, label)
    check_metadata(metadata, task, label)
    run = _in_batches(_function(session), NETWORK_BATCH)
    return metadata, lambda images: run(images)[0], None


def digest_of(content: bytes) -> str:
    """Return 16 hex digits that identify the content of a file."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def load_detector_sessions(source: BundleSource, threads: int = 0) -> Detector:
    """Load the nets of the detector for onnxruntime; raises `UserError` if the bundle was made without --onnx."""
    sessions = [open_session(_read_onnx(source, name), f"{source.path}: {name}", threads) for name in DETECTOR_FILES]
    return Detector(*(_in_batches(_function(session), DETECTOR_BATCH) for session in sessions))


def _read_onnx(source: BundleSource, name: str) -> bytes:
    if not source.holds(name):
        raise UserError(
            f"--runtime onnx: {source.path} holds no {name}. Make a bundle with python -m shared.bundle --onnx, "
            "or leave --runtime out"
        )
    return source.read(name, MAX_WEIGHTS)


def open_session(content: bytes, label: str, threads: int = 0) -> "InferenceSession":
    """Open the content of an ONNX file, to run in a number of threads; 0: one per core.

    Raises `UserError` if onnxruntime is not installed, or cannot run the graph.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError("--runtime onnx needs onnxruntime: pip install 'face18[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Waiting threads that spin would take the cores from other work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception of its own for every kind of fault.
        raise UserError(f"{label} is no ONNX file that can be run ({str(error)[:200]}): get it again") from error


def onnx_metadata(session: "InferenceSession", label: str) -> CheckpointMetadata:
    """Return the metadata of an ONNX file; raises `UserError` if it has none."""
    try:
        return read_metadata(session.get_modelmeta().custom_metadata_map[HEADER])
    except (KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
        raise UserError(f"{label} is not an ONNX file of face18: get it again") from error


def _function(session: "InferenceSession") -> Net:
    """Return the graph as a function from an array to its outputs."""
    name = session.get_inputs()[0].name
    return lambda images: tuple(session.run(None, {name: images}))


def _in_batches(net: Net, batch: int) -> Net:
    def run(pieces: Pixels) -> tuple[NDArray[np.floating], ...]:
        starts = range(0, len(pieces), batch)
        parts = [net(pieces[start : start + batch]) for start in starts]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    return run
