"""Networks that onnxruntime runs: torch is not imported, which takes seconds and hundreds of megabytes."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shared.errors import UserError
from shared.faces.cascade import Detector, Net
from shared.training.passport import HEADER, Passport, read_metadata

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

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


def passport_of(session: "InferenceSession", name: str) -> Passport:
    """From the metadata of an ONNX file; raises `UserError` without one."""
    try:
        return read_metadata(session.get_modelmeta().custom_metadata_map[HEADER])
    except (KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
        raise UserError(f"{name} is not an ONNX file of face18: get it again") from error


def logits_of(session: "InferenceSession") -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Pictures (B, size, size, 3) to logits (B, K)."""
    name = session.get_inputs()[0].name

    def logits(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = session.run(None, {name: pictures})[0]
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
