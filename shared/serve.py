"""Predict over HTTP for any program: POST an image, get its faces as JSON.

    python -m shared.serve --model outputs

    curl --data-binary @photo.jpg http://127.0.0.1:8018/faces

/docs describes the service for people, /openapi.json for programs; /health and /metrics are for monitoring.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shared.commands import run
from shared.files import READY_MADE
from shared.messages import UserError
from shared.serving.limits import Limits

if TYPE_CHECKING:
    from shared.predictor import Predictor

HEADER_SECONDS = 10.0
"""For the head of a request; a silent connection is closed."""
CONNECTIONS = 512
"""Open at the same time."""
WARM_UP_SIDE = 256
"""Pixels of the image with which the networks are warmed up."""


@dataclass(frozen=True)
class Options:
    """Predict the faces of images over HTTP."""

    model: Path | None = None
    """A bundle, or a folder that holds mask/, gender/ and age/ with trained runs. The ready-made model if left out."""
    faces: Literal["all", "main"] = "all"
    """all: also the faces of groups; main: only the main face of a portrait, in less time."""
    runtime: Literal["torch", "onnx"] = "torch"
    """onnx runs without torch; it needs a bundle made with --onnx."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch runs; auto takes a GPU if there is one."""
    threads: int = 1
    """Threads of torch for one batch; 0: one per core. On two cores, one thread served more than two."""
    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 lets other machines send requests: set a token then."""
    port: int = 8018
    """The port to listen at; 0 takes a free one."""
    token_file: Path | None = None
    """Require the token in this file; without this option, the one in the environment variable FACE18_TOKEN."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UserError(f"--port {self.port}: ports are 0 to 65535")
        if self.threads < 0:
            raise UserError(f"--threads {self.threads}: must be 0 (one per core) or more")
        if self.runtime == "onnx" and self.device == "cuda":
            raise UserError("--runtime onnx runs on the CPU: leave --device out, or use --runtime torch")


def main(options: Options) -> None:
    """Serve until Ctrl-C; raises `UserError` if the model or the address is not available."""
    try:
        from shared.predictor.detect import DecodedPhotograph, decode_photograph
        from shared.serving.app import create_app
        from shared.serving.server import LOOPBACK, TOKEN_VARIABLE, address_of, bind, find_token, serve
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'face18[serve]'") from None
    token = find_token(options.token_file)
    with bind(options.host, options.port) as listener:  # Before the model is read, which takes seconds.
        predictor = _load(options)

        def decode(content: bytes) -> DecodedPhotograph:
            return decode_photograph(content, options.faces)

        def predict(images: Sequence[DecodedPhotograph]) -> list[dict[str, Any]]:
            return [photograph.to_dict() for photograph in predictor(images, options.faces)]

        app = create_app(decode, predict, options.limits, token)
        if token is None and options.host not in LOOPBACK:
            print(f"anyone who reaches this machine may send images: set {TOKEN_VARIABLE} or --token-file", flush=True)
        listener.listen()  # The next line promises that the service answers.
        print(f"answers at {address_of(listener)}/faces, described at {address_of(listener)}/docs", flush=True)
        serve(app, listener, options.limits.seconds, HEADER_SECONDS, CONNECTIONS)
    print("stopped")


def _load(options: Options) -> "Predictor":
    """Load the model and run it once, so that the first request takes no longer than others."""
    from shared.predictor import Predictor

    if options.threads and options.runtime == "torch":
        import torch

        torch.set_num_threads(options.threads)
    predictor = Predictor.load(options.model or READY_MADE, options.runtime, options.device)
    grey = np.full((WARM_UP_SIDE, WARM_UP_SIDE, 3), 127, np.uint8)
    predictor([grey], options.faces)
    predictor.probabilities([grey])
    return predictor


if __name__ == "__main__":
    run(main, Options())
