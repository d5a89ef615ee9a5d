"""Answers over HTTP for any program: POST an image, get its faces as JSON.

    python -m shared.serve --model outputs

    curl --data-binary @photo.jpg http://127.0.0.1:8018/faces

/docs describes it for people, /openapi.json for programs; /health and /metrics are for those who watch over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shared.commands import run
from shared.messages import UserError
from shared.serving.limits import Limits
from shared.serving.server import TOKEN_VARIABLE, find_token

if TYPE_CHECKING:
    from shared.serving.batching import Answering

MEBIBYTE = 2**20
GREY_SIDE = 256
"""Pixels of an image to warm up with."""


@dataclass(frozen=True)
class Options:
    """Answer images over HTTP."""

    model: Path = Path("outputs")
    """A bundle, or the folder with the runs of the three specialists."""
    faces: Literal["all", "main"] = "all"
    """all: also those of groups; main: the one face that a portrait is of, in less time."""
    runtime: Literal["torch", "onnx"] = "torch"
    """onnx answers without loading torch; it needs a bundle made with --onnx."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch runs; auto takes a GPU where there is one."""
    threads: int = 1
    """Of torch, while it answers a batch; 0: one a core. On two cores one thread answered more than two."""
    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 lets other machines ask, and then set a token."""
    port: int = 8018
    """0 takes any that is free."""
    token_file: Path | None = None
    """Only who sends the token in this file is answered; without the option the environment's FACE18_TOKEN counts."""
    batch: int = Limits.batch
    """Images answered together at most."""
    batch_wait_ms: float = 1000 * Limits.batch_wait
    """Milliseconds that an image waits for company."""
    max_mb: float = Limits.upload_bytes / MEBIBYTE
    """Mebibytes of an image file; checked while it arrives."""
    max_pixels: int = Limits.pixels
    """Width x height of an image; checked before it is decoded."""
    seconds: float = Limits.seconds
    """For sending an image, and again for being answered."""
    waiting: int = Limits.waiting
    """Requests inside at the same time; others are told to come again."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UserError(f"--port {self.port}: ports are 0 to 65535")
        for flag, value in (("--batch", self.batch), ("--waiting", self.waiting), ("--max-pixels", self.max_pixels)):
            if value < 1:
                raise UserError(f"{flag} {value}: must be at least 1")
        for flag, amount in (("--max-mb", self.max_mb), ("--seconds", self.seconds)):
            if amount <= 0:
                raise UserError(f"{flag} {amount}: must be more than 0")
        if self.threads < 0:
            raise UserError(f"--threads {self.threads}: must be 0 (one a core) or more")
        if self.runtime == "onnx" and self.device == "cuda":
            raise UserError("--runtime onnx runs on the CPU: leave --device out, or take --runtime torch")
        if self.batch_wait_ms < 0:
            raise UserError(f"--batch-wait-ms {self.batch_wait_ms}: must not be negative")

    @property
    def limits(self) -> Limits:
        return Limits(
            upload_bytes=round(self.max_mb * MEBIBYTE),
            pixels=self.max_pixels,
            seconds=self.seconds,
            waiting=self.waiting,
            batch=self.batch,
            batch_wait=self.batch_wait_ms / 1000,
        )


def main(options: Options) -> None:
    """Serve until Ctrl-C; raises `UserError` where the model or the address can't be had."""
    try:
        from shared.serving.app import create_app
        from shared.serving.server import LOOPBACK, address_of, bind, serve
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'face18[serve]'") from None
    token = find_token(options.token_file)
    listener = bind(options.host, options.port)  # Before the model is read, which takes seconds.
    with listener:
        answering = _answering(options)
        if token is None and options.host not in LOOPBACK:
            print(f"anyone who reaches this machine may ask: set {TOKEN_VARIABLE} or --token-file", flush=True)
        listener.listen()  # Whoever reads the next line may ask at once.
        print(f"answers at {address_of(listener)}/faces, described at {address_of(listener)}/docs", flush=True)
        limits = options.limits
        serve(create_app(answering, limits, token), listener, limits.seconds, limits.header_seconds, limits.connections)
    print("stopped")


def _answering(options: Options) -> "Answering":
    """The model, read and warm: whoever comes first waits no longer than others."""
    from shared.predictor import Predictor

    if options.threads and options.runtime == "torch":
        import torch

        torch.set_num_threads(options.threads)
    predictor = Predictor.load(options.model, options.runtime, options.device)
    grey = np.full((GREY_SIDE, GREY_SIDE, 3), 127, np.uint8)
    predictor([grey], options.faces)
    predictor.probabilities([grey])

    def answering(images: Sequence[bytes]) -> list[dict[str, Any]]:
        return [photograph.to_dict() for photograph in predictor(images, options.faces)]

    return answering


if __name__ == "__main__":
    run(main, Options())
