"""Predict over HTTP for any program: POST an image, get its faces as JSON.

    python -m shared.serve --model outputs

    curl --data-binary @photo.jpg http://127.0.0.1:8018/v1/faces

/docs describes the service for people, /openapi.json for programs; /health/live, /health/ready and /metrics are for
monitoring.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shared.commands import run
from shared.files import READY_MADE
from shared.messages import UserError
from shared.serving.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

    from shared.predictor.detect import DecodedPhotograph
    from shared.serving.app import Model

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
    """Threads for one batch on the CPU; 0: one per core. For many clients, use --processes before more threads."""
    processes: int = 1
    """Processes that answer, each with its own copy of the model."""
    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 lets other machines send requests: set a token then."""
    port: int = 8018
    """The port to listen at; 0 takes a free one."""
    token_file: Path | None = None
    """Require the token in this file; without this option, the one in the environment variable FACE18_TOKEN."""
    cors: tuple[str, ...] = ()
    """Origins of web pages that may send requests, such as https://example.org; * for all."""
    access_log: bool = False
    """Print a line of JSON for every request; it holds the address of the client, and nothing about an image."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UserError(f"--port {self.port}: ports are 0 to 65535")
        if self.threads < 0:
            raise UserError(f"--threads {self.threads}: must be 0 (one per core) or more")
        if self.processes < 1:
            raise UserError(f"--processes {self.processes}: must be at least 1")
        for origin in self.cors:
            if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
                raise UserError(f"--cors {origin}: an origin is like https://example.org, without a path, or *")
        if self.runtime == "onnx" and self.device == "cuda":
            raise UserError("--runtime onnx runs on the CPU: leave --device out, or use --runtime torch")


def main(options: Options) -> None:
    """Serve until Ctrl-C; raises `UserError` if the model or the address is not available."""
    try:
        from shared.serving.processes import serve_processes
        from shared.serving.server import LOOPBACK, TOKEN_VARIABLE, address_of, bind, find_token, serve
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'face18[serve]'") from None
    token = find_token(options.token_file)
    with bind(options.host, options.port) as listener:  # Before the model is read, which takes seconds.
        address = address_of(listener)

        def ready() -> None:
            if token is None and options.host not in LOOPBACK:
                print(f"anyone who reaches this machine may send images: set {TOKEN_VARIABLE} or --token-file")
            print(f"answers at {address}/v1/faces, described at {address}/docs", flush=True)

        create = partial(create_application, options, token)
        if options.processes > 1:
            serve_processes(create, options.processes, listener, options.limits.seconds, CONNECTIONS, ready)
        else:
            app = create()
            listener.listen()  # The next line promises that the service answers.
            ready()
            serve(app, listener, options.limits.seconds, CONNECTIONS)
    print("stopped")


def create_application(options: Options, token: str | None) -> "FastAPI":
    """Return the application with its model; raises `UserError` if the model cannot be loaded."""
    from shared.serving.app import create_app

    return create_app(partial(_load, options), options.limits, token, options.cors, options.access_log)


def _load(options: Options) -> "Model[DecodedPhotograph]":
    """Load the model and run it once, so that the first request takes no longer than others."""
    import cv2

    from shared.predictor import Predictor
    from shared.predictor.detect import DecodedPhotograph, decode_photograph
    from shared.serving.app import Model

    if options.threads:
        cv2.setNumThreads(options.threads)
    if options.threads and options.runtime == "torch":
        import torch

        torch.set_num_threads(options.threads)
    path = options.model or READY_MADE
    predictor = Predictor.load(path, options.runtime, options.device, threads=options.threads)
    grey = np.full((WARM_UP_SIDE, WARM_UP_SIDE, 3), 127, np.uint8)
    predictor([grey], options.faces)
    predictor.probabilities([grey])

    def predict(images: Sequence[DecodedPhotograph]) -> list[dict[str, Any]]:
        return [photograph.to_dict() for photograph in predictor(images, options.faces)]

    return Model(asdict(predictor.description), partial(decode_photograph, faces=options.faces), predict)


if __name__ == "__main__":
    run(main, Options())
