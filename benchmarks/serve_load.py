"""Measure the service under load: requests/s, latency, CPU time, memory, start; check that no result is mixed up.

    python benchmarks/serve_load.py --clients 1 8 32 --processes 1 2 --seconds 30

For each number of processes and each choice of faces a server is started; the clients are one further process on the
same machine. Every client has its own connection, sends drawn portraits in its own order, and compares each result with
the one that the image got alone.
"""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import httpx
import numpy as np
import psutil
from machine import describe

from shared.commands import run
from shared.files import READY_MADE
from shared.messages import UserError
from shared.portraits import draw_person
from shared.sample_data import encode

ROOT = Path(__file__).parents[1]
START_SECONDS = 300
PIXELS, SHARE = 0.5, 0.1
"""Boxes and probabilities may differ by this much from those of the image alone: float sums depend on the batch."""


@dataclass(frozen=True)
class Options:
    """Start the server, load it, and check every result."""

    model: Path = READY_MADE
    """A bundle, or a folder with trained runs."""
    runtime: Literal["torch", "onnx"] = "onnx"
    """What the networks run in."""
    clients: tuple[int, ...] = (1, 8, 32)
    """Number of clients at the same time, one round after the other."""
    processes: tuple[int, ...] = (1, 2)
    """Number of processes that answer, one server after the other."""
    faces: tuple[Literal["main", "all"], ...] = ("main", "all")
    """Faces that are looked for, one server after the other."""
    seconds: float = 30.0
    """Duration of a round."""
    persons: int = 12
    """Number of drawn persons, with seven images each; so many that no image is sent again while it is remembered."""
    serve: str = ""
    """Further options of `python -m shared.serve` in one argument: --serve="--threads 2"."""

    def __post_init__(self) -> None:
        if not self.clients or min(self.clients) < 1:
            raise UserError("--clients: at least one")
        if not 0 < self.seconds <= 600:
            raise UserError(f"--seconds {self.seconds}: more than 0, and at most 600")


@dataclass
class Round:
    """What the clients of one round met."""

    seconds: list[float] = field(default_factory=list)
    """Latency of each response."""
    errors: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    """Results of another image than the one that was sent."""


def main(options: Options) -> None:
    """Print a row for each number of clients; exit with status 1 if a result was wrong or missing."""
    print(f"{describe('fastapi', 'uvicorn', 'onnxruntime')}; {options.runtime}, {options.model.name}")
    cv2.setNumThreads(1)
    persons = [draw_person(20 + 5 * n, bool(n % 2), np.random.SeedSequence(n)) for n in range(options.persons)]
    images = [encode(portrait.pixels) for person in persons for portrait in person]
    print(f"{len(images)} images of {sum(map(len, images)) // len(images) // 1024} KiB")
    rounds: list[Round] = []
    for faces, processes in itertools.product(options.faces, options.processes):
        with tempfile.TemporaryDirectory() as folder:
            server, address = start(options, faces, processes, Path(folder) / "log")
            try:
                rounds += asyncio.run(load(options, images, address, server, f"{faces} | {processes}"))
            finally:
                server.send_signal(signal.SIGTERM)
                if status := server.wait(60):
                    print(f"the server stopped with status {status}")
    if any(one.wrong or one.errors for one in rounds):
        sys.exit(1)


def start(options: Options, faces: str, processes: int, log: Path) -> tuple[psutil.Popen, str]:
    """Start the server; return it and its address when it answers."""
    flags = f"--port 0 --per-address {max(options.clients)} --runtime {options.runtime} --faces {faces} {options.serve}"
    command = [sys.executable, "-m", "shared.serve", *flags.split(), "--processes", str(processes)]
    begun = time.monotonic()
    with log.open("wb") as file:
        server = psutil.Popen(
            [*command, "--model", str(options.model.resolve())], stdout=file, stderr=subprocess.STDOUT, cwd=ROOT
        )
    while time.monotonic() < begun + START_SECONDS and server.poll() is None:
        _, found, rest = log.read_text().partition("answers at ")
        if found and "/v1/faces" in rest:
            cpu, memory = used(server)
            print(f"\nready after {time.monotonic() - begun:.1f} s, {cpu:.1f} s of CPU; {memory:.0f} MiB")
            return server, rest.split("/v1/faces")[0]
        time.sleep(0.02)
    server.kill()
    raise UserError(f"the server did not start: {log.read_text()[-500:]}")


def used(server: psutil.Process) -> tuple[float, float]:
    """Return the CPU seconds and the MiB of memory of a process and its children; what they share counts once."""
    processes = [server, *server.children(recursive=True)]
    times = [process.cpu_times() for process in processes]
    return sum(t.user + t.system for t in times), sum(p.memory_full_info().pss for p in processes) / 2**20


async def load(
    options: Options, images: Sequence[bytes], address: str, server: psutil.Process, name: str
) -> list[Round]:
    """Play all rounds; print each when it is over."""
    async with httpx.AsyncClient(base_url=address, timeout=120, trust_env=False) as client:
        alone = [await predict(client, image) for image in images]
    for at, one in enumerate(alone):
        if not one["faces"] or any(same(one, other) for other in alone[:at]):
            raise UserError(f"image {at} cannot be told from others by its result; choose another --model")
    print(
        "| faces | processes | clients | requests | requests/s | p50 ms | p99 ms | CPU ms per request | "
        "errors | wrong | MiB | load |"
    )
    print("|---" * 12 + "|", flush=True)
    rounds = []
    for count in options.clients:
        begun, (cpu, _) = time.perf_counter(), used(server)
        one = Round()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(send(number, one, begun + options.seconds, images, alone, address))
        lasted, (cpu_now, memory) = time.perf_counter() - begun, used(server)
        p50, p99 = 1000 * np.quantile(one.seconds or [np.nan], (0.5, 0.99))
        errors = ", ".join(f"{times} {kind}" for kind, times in one.errors.items()) or "0"
        answered = len(one.seconds)
        cpu_ms = 1000 * (cpu_now - cpu) / max(answered, 1)
        speed = f"{answered:,} | {answered / lasted:.1f} | {p50:.0f} | {p99:.0f} | {cpu_ms:.1f}"
        rest = f"{errors} | {one.wrong} | {memory:.0f} | {os.getloadavg()[0]:.1f}"
        print(f"| {name} | {count} | {speed} | {rest} |", flush=True)
        rounds.append(one)
    return rounds


async def send(
    number: int, one: Round, until: float, images: Sequence[bytes], alone: Sequence[Any], address: str
) -> None:
    """Send images one after the other until a time, as one client; none again before all others."""
    order = itertools.cycle(random.Random(number).sample(range(len(images)), len(images)))
    async with httpx.AsyncClient(base_url=address, timeout=120, trust_env=False) as client:
        while (started := time.perf_counter()) < until:
            at = next(order)
            try:
                result = await predict(client, images[at])
            except httpx.HTTPError as error:
                status = getattr(getattr(error, "response", None), "status_code", "")
                one.errors[f"{type(error).__name__} {status}"] += 1
                continue
            one.seconds.append(time.perf_counter() - started)
            one.wrong += not same(result, alone[at])


async def predict(client: httpx.AsyncClient, image: bytes) -> Any:
    """Return the result of an image; raises `httpx.HTTPError` for any other response."""
    response = await client.post("/v1/faces", content=image)
    response.raise_for_status()
    return response.json()["images"][0]


def same(one: Any, other: Any) -> bool:
    """Return whether two results are of the same image: every drawn portrait has its face in another place."""

    def close(name: str, tolerance: float) -> bool:
        first, second = (np.array([face[name] for face in result["faces"]]) for result in (one, other))
        return first.shape == second.shape and bool(np.abs(first - second).max(initial=0) <= tolerance)

    return close("box", PIXELS) and close("landmarks", PIXELS) and close("class_probabilities", SHARE)


if __name__ == "__main__":
    run(main, Options())
