"""Measure the service under load: requests/s, latency, errors, memory; check that no result is lost or mixed up.

    python benchmarks/serve_load.py --model outputs/demo --clients 1 8 32 --seconds 60

The server is one process and the clients are another; they talk over the loopback interface. Every client has its own
connection, sends drawn portraits in its own order, and compares each result with the one that the image got alone.
"""

import asyncio
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
from typing import Any

import cv2
import httpx
import numpy as np
from machine import describe

from shared.commands import run
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

    model: Path = Path("outputs/demo")
    """A bundle, or a folder with trained runs."""
    clients: tuple[int, ...] = (1, 8, 32)
    """Number of clients at the same time, one round after the other."""
    seconds: float = 60.0
    """Duration of a round."""
    persons: int = 3
    """Number of drawn persons, with seven images each."""
    serve: str = ""
    """Further options of `python -m shared.serve` in one argument: --serve="--threads 1"."""

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
    print(describe("fastapi", "uvicorn"))
    cv2.setNumThreads(1)
    persons = [draw_person(20 + 15 * n, bool(n % 2), np.random.SeedSequence(n)) for n in range(options.persons)]
    images = [encode(portrait.pixels) for person in persons for portrait in person]
    with tempfile.TemporaryDirectory() as folder:
        server, address = start(options, Path(folder) / "log")
        try:
            rounds = asyncio.run(load(options, images, address))
        finally:
            server.send_signal(signal.SIGTERM)
            print(f"the server stopped with status {server.wait(60)}")
    if any(one.wrong or one.errors for one in rounds):
        sys.exit(1)


def start(options: Options, log: Path) -> tuple["subprocess.Popen[bytes]", str]:
    """Start the server; return it and its address when it answers."""
    flags = f"--model {options.model.resolve()} --port 0 --per-address {max(options.clients)} {options.serve}"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "shared.serve", *flags.split()]
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        _, found, rest = log.read_text().partition("answers at ")
        if found and "/faces" in rest:
            return server, rest.split("/faces")[0]
        time.sleep(0.2)
    server.kill()
    raise UserError(f"the server did not start: {log.read_text()[-500:]}")


async def load(options: Options, images: Sequence[bytes], address: str) -> list[Round]:
    """Play all rounds; print each when it is over."""
    async with httpx.AsyncClient(base_url=address, timeout=120, trust_env=False) as client:
        alone = [await predict(client, image) for image in images]
        for at, one in enumerate(alone):
            if not one["faces"] or any(same(one, other) for other in alone[:at]):
                raise UserError(f"image {at} cannot be told from others by its result; choose another --model")
        print(f"{len(images)} images of {sum(map(len, images)) // len(images) // 1024} KiB")
        print("| clients | requests | requests/s | p50 ms | p99 ms | errors | wrong | server CPU % | server MiB |")
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        rounds = []
        for count in options.clients:
            begun, cpu = time.perf_counter(), await metric(client, "process_cpu_seconds_total")
            one = Round()
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    group.create_task(send(number, one, begun + options.seconds, images, alone, address))
            lasted = time.perf_counter() - begun
            share = (await metric(client, "process_cpu_seconds_total") - cpu) / lasted
            p50, p99 = 1000 * np.quantile(one.seconds or [np.nan], (0.5, 0.99))
            memory = await metric(client, "process_resident_memory_bytes") / 2**20
            errors = ", ".join(f"{times} {name}" for name, times in one.errors.items()) or "0"
            speed = f"{len(one.seconds):,} | {len(one.seconds) / lasted:.1f} | {p50:.0f} | {p99:.0f}"
            print(f"| {count} | {speed} | {errors} | {one.wrong} | {100 * share:.0f} | {memory:.0f} |", flush=True)
            rounds.append(one)
    return rounds


async def send(
    number: int, one: Round, until: float, images: Sequence[bytes], alone: Sequence[Any], address: str
) -> None:
    """Send images one after the other until a time, as one client."""
    order = random.Random(number)
    async with httpx.AsyncClient(base_url=address, timeout=120, trust_env=False) as client:
        while (started := time.perf_counter()) < until:
            at = order.randrange(len(images))
            try:
                result = await predict(client, images[at])
            except httpx.HTTPError as error:
                one.errors[
                    f"{type(error).__name__} {getattr(getattr(error, 'response', None), 'status_code', '')}"
                ] += 1
                continue
            one.seconds.append(time.perf_counter() - started)
            one.wrong += not same(result, alone[at])


async def predict(client: httpx.AsyncClient, image: bytes) -> Any:
    """Return the result of an image; raises `httpx.HTTPError` for any other response."""
    response = await client.post("/faces", content=image)
    response.raise_for_status()
    return response.json()


def same(one: Any, other: Any) -> bool:
    """Return whether two results are of the same image: every drawn portrait has its face in another place."""

    def close(name: str, tolerance: float) -> bool:
        first, second = (np.array([face[name] for face in result["faces"]]) for result in (one, other))
        return first.shape == second.shape and bool(np.abs(first - second).max(initial=0) <= tolerance)

    return close("box", PIXELS) and close("landmarks", PIXELS) and close("class_probabilities", SHARE)


async def metric(client: httpx.AsyncClient, name: str) -> float:
    """Return a value of the server's /metrics."""
    lines = (await client.get("/metrics")).text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


if __name__ == "__main__":
    run(main, Options())
