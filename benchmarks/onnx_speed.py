"""Compare prediction by PyTorch and by onnxruntime: cold start, and images per second when warm.

    python benchmarks/onnx_speed.py --model face18.zip          a bundle made with --onnx
    python benchmarks/onnx_speed.py --threads 1                 networks with random weights

Cold start is one portrait in a process of its own, `python -m shared.predict`. Warm rates are those of one process that
has loaded both. Both predict the same photographs in each round and are compared within a round. CPU time is least
affected by other jobs on the machine.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import samples
import torch
from machine import describe, in_turn, ratio
from predict_speed import SPECIALISTS, random_weights

from shared.bundle import Options as BundleOptions
from shared.bundle import main as bundle
from shared.commands import run
from shared.messages import UserError
from shared.predictor import Predictor
from shared.predictor.detect import FaceSelection
from shared.predictor.ensemble import Runtime

RUNTIMES: tuple[Runtime, ...] = ("torch", "onnx")


@dataclass(frozen=True)
class Options:
    """Measure prediction by torch and by onnxruntime beside each other."""

    model: Path | None = None
    """A bundle made with --onnx; without one, networks with random weights are bundled."""
    images: int = 32
    """Sample portraits per round."""
    rounds: int = 5
    """Timed rounds; one uncounted round comes before."""
    starts: int = 5
    """Timed cold starts; 0 for none."""
    threads: int = 0
    """Threads of torch when warm; 0 for its default, as for onnxruntime."""
    size: int = 112
    """Input size of random networks, pixels."""

    def __post_init__(self) -> None:
        if min(self.images, self.rounds) < 1:
            raise UserError("--images and --rounds must be at least 1")


def main(options: Options) -> None:
    print(describe("onnxruntime", "onnx"), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        portraits = samples.evaluation(samples.draw(folder / "drawn", 6, 6))
        photographs = [Path(path) for path in portraits["path"]]
        photographs = [photographs[number % len(photographs)] for number in range(options.images)]
        model = options.model or random_bundle(folder, options.size)
        if options.starts:
            print(f"\nOne portrait, cold\n{cold(model, photographs[0], options.starts).to_string()}", flush=True)
        if options.threads:
            torch.set_num_threads(options.threads)
        print(f"\n{options.images} portraits, warm\n{warm(model, photographs, options.rounds).to_string()}")


def random_bundle(folder: Path, size: int) -> Path:
    """A bundle of three networks that were never trained, for speed does not depend on it."""
    for specialist in SPECIALISTS:
        random_weights(specialist, folder / "outputs" / specialist.name, size)
    bundle(BundleOptions(out=folder / "face18.zip", model=folder / "outputs", onnx=True, crops=folder / "none"))
    return folder / "face18.zip"


def cold(model: Path, photograph: Path, starts: int) -> pd.DataFrame:
    """Return median seconds, CPU seconds and memory of a process that predicts one portrait."""
    costs: dict[str, list[dict[str, float]]] = {runtime: [] for runtime in RUNTIMES}
    for number in range(starts + 1):
        for runtime in RUNTIMES:
            took = process(["-m", "shared.predict", photograph, "--model", model, "--runtime", runtime])
            if number:
                costs[runtime].append(took)
    columns = {"s": ("seconds", 1.0), "CPU s": ("cpu", 1.0), "MB": ("memory", 1e-6)}
    table: dict[str, dict[str, float]] = {
        runtime: {
            head: share * statistics.median(took[name] for took in costs[runtime])
            for head, (name, share) in columns.items()
        }
        for runtime in RUNTIMES
    }
    table["torch / onnx"] = {
        head: ratio(*([took[name] for took in costs[runtime]] for runtime in RUNTIMES))
        for head, (name, _) in columns.items()
    }
    return pd.DataFrame(table).T.round(2)


def process(command: list[object]) -> dict[str, float]:
    """Return the cost of a command; raise `UserError` with its output if it fails."""
    measured = [sys.executable, str(Path(__file__).with_name("measured.py")), sys.executable, *map(str, command)]
    done = subprocess.run(measured, capture_output=True, text=True, check=True)
    took: dict[str, float] = json.loads(done.stdout)
    if took["status"]:
        raise UserError(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return took


def warm(model: Path, photographs: list[Path], rounds: int) -> pd.DataFrame:
    """Images a second and CPU time an image, for the main face alone and for all faces; medians over rounds."""
    predictors = {runtime: Predictor.load(model, runtime, device="cpu") for runtime in RUNTIMES}
    wanted: tuple[FaceSelection, ...] = ("main", "all")
    variants: dict[str, Callable[[], object]] = {
        f"{runtime}, {faces}": partial(predictors[runtime], photographs, faces)
        for faces in wanted
        for runtime in RUNTIMES
    }
    times = in_turn(variants, rounds)
    rows = {
        name: {
            "images/s": len(photographs) / statistics.median(time.seconds),
            "CPU ms an image": 1000 * statistics.median(time.cpu) / len(photographs),
        }
        for name, time in times.items()
    }
    for faces in wanted:
        slower, faster = (times[f"{runtime}, {faces}"] for runtime in RUNTIMES)
        rows[f"torch / onnx, {faces}"] = {
            "images/s": 1 / ratio(slower.seconds, faster.seconds),
            "CPU ms an image": ratio(slower.cpu, faster.cpu),
        }
    return pd.DataFrame(rows).T.round(2)


if __name__ == "__main__":
    run(main, Options())
