"""From crops to what the three specialists say of them: the mean over test-time augmentation, folds and runs.

Networks that onnxruntime runs: torch is not imported, which takes seconds and hundreds of megabytes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shared.crops import Window
from shared.faces.mtcnn import Detector, Net
from shared.fusion.metrics import Floats
from shared.messages import UserError
from shared.training.options import TtaName
from shared.training.run_folder import HEADER, CheckpointMetadata, read_metadata
from shared.training.tta import TTA_VIEWS

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Member:
    """One trained network: that of a fold."""

    window: Window
    """What it sees of a crop."""
    size: int
    """Pixels a side of what it sees."""
    logits: Callable[[Pixels], NDArray[np.float32]]
    """Images (B, size, size, 3) to logits (B, K)."""
    network: Any = None
    """`shared.training.model.Network` where torch runs it, else None."""

    def look(self, crops: Sequence[Pixels]) -> Pixels:
        """What the network sees of crops (256, 256, 3): (B, size, size, 3)."""
        return np.stack([self.window.cut(crop, self.size) for crop in crops])


@dataclass(frozen=True)
class FoldEnsemble:
    """The folds of a training, which answer together."""

    members: tuple[Member, ...]
    tta: TtaName

    def distribution(self, crops: Sequence[Pixels]) -> Floats:
        """Probabilities of the outputs (B, K)."""
        return np.mean([self._said_by(member, crops) for member in self.members], axis=0)

    def _said_by(self, member: Member, crops: Sequence[Pixels]) -> Floats:
        images = member.look(crops)
        seen = [softmax(member.logits(np.ascontiguousarray(view.of(images)))) for view in TTA_VIEWS[self.tta]]
        return np.mean(seen, axis=0)


@dataclass(frozen=True)
class SpecialistEnsemble:
    """A specialist as it answers: one run, or several of which the mean counts."""

    name: str
    runs: tuple[FoldEnsemble, ...]

    @property
    def members(self) -> tuple[Member, ...]:
        """The networks of all runs."""
        return tuple(member for run in self.runs for member in run.members)

    def distribution(self, crops: Sequence[Pixels], batch_size: int) -> Floats:
        """Probabilities of the outputs (N, K) for N crops; at least one."""
        batches = [crops[at : at + batch_size] for at in range(0, len(crops), batch_size)]
        return np.concatenate([np.mean([run.distribution(batch) for run in self.runs], axis=0) for batch in batches])


def softmax(logits: NDArray[np.float32]) -> Floats:
    """Logits (B, K) to probabilities (B, K)."""
    powers: Floats = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


PIECES = 64
"""Pieces that go through a net of the detector together."""


def open_session(content: bytes, name: str) -> "InferenceSession":
    """Raises `UserError` where onnxruntime is not installed, or the content is no graph that it can run."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError("--runtime onnx needs onnxruntime: pip install 'face18[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that spin while they wait take the core from whoever else has work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception of its own for every kind of fault.
        raise UserError(f"{name} is no ONNX file that can be run ({str(error)[:200]}): get it again") from error


def metadata_of(session: "InferenceSession", name: str) -> CheckpointMetadata:
    """From the metadata of an ONNX file; raises `UserError` without one."""
    try:
        return read_metadata(session.get_modelmeta().custom_metadata_map[HEADER])
    except (KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
        raise UserError(f"{name} is not an ONNX file of face18: get it again") from error


def logits_of(session: "InferenceSession") -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Images (B, size, size, 3) to logits (B, K)."""
    name = session.get_inputs()[0].name

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = session.run(None, {name: images})[0]
        return answers

    return logits


def detector_of(pnet: "InferenceSession", rnet: "InferenceSession", onet: "InferenceSession") -> Detector:
    """The nets that find faces."""
    return Detector(_net(pnet), _net(rnet), _net(onet))


def _net(session: "InferenceSession") -> Net:
    name = session.get_inputs()[0].name

    def run(pieces: NDArray[np.uint8]) -> tuple[NDArray[np.floating], ...]:
        batches = [pieces[at : at + PIECES] for at in range(0, len(pieces), PIECES)]
        parts = [session.run(None, {name: batch}) for batch in batches]
        return tuple(np.concatenate(outs) for outs in zip(*parts, strict=True))

    return run
