"""How much load the service bears: requests/s, p50, p99, errors, memory, and that nothing is lost or mixed up.

    python benchmarks/serve_load.py --model outputs/demo --clients 1 8 32 --seconds 200

The server is a process of its own, and so are the clients together; they talk over the loopback interface of this
machine alone. Every client sends drawn portraits in an order of its own and compares each answer with the one that the
image got when it was alone: the same faces in the same places, with the same probabilities.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
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
CLOSE = {"box": 0.5, "landmarks": 0.5, "years": 3.0, "low": 3.0, "high": 3.0}
"""Pixels and years that an answer may differ by in other company: sums of floats depend on who is in the batch, a
landmark moves by a tenth of a pixel, and a network of few epochs makes a year of it."""
CLOSE_SHARES = 0.1
"""The same for probabilities."""
FOLLOWS = ("name", "class", "class_name")
"""What follows from probabilities, and may turn over where two are about equal."""
PLACES = ("box", "landmarks")
"""What tells images apart."""


@dataclass(frozen=True)
class Options:
    """Start the server, load it, and check every answer."""

    model: Path = Path("outputs/demo")
    """A bundle, or a folder with trained runs."""
    clients: tuple[int, ...] = (1, 8, 32)
    """How many ask at the same time, one round after the other."""
    seconds: float = 60.0
    """A round takes so long."""
    requests: int = 20_000
    """A round has so many at most."""
    persons: int = 3
    """Drawn; each has seven images."""
    serve: str = ""
    """Further options of `python -m shared.serve`, in one word: --serve="--threads 1"."""

    def __post_init__(self) -> None:
        if not self.clients or min(self.clients) < 1:
            raise UserError("--clients: at least one")
        if not 0 < self.seconds <= 600:
            raise UserError(f"--seconds {self.seconds}: more than 0, and at most 600 for each round")


@dataclass
class Round:
    """What clients met with."""

    seconds: list[float] = field(default_factory=list)
    """Of each answer."""
    errors: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    """Answers that are not those of the image that was sent."""
    asked: int = 0
    lasted: float = 0.0

    def count(self, error: str) -> None:
        self.errors[error] = self.errors.get(error, 0) + 1


def main(options: Options) -> None:
    """Prints one row for each number of clients; exits with status 1 where an answer was lost or wrong."""
    print(describe("fastapi", "uvicorn"))
    images = draw_images(options.persons)
    with tempfile.TemporaryDirectory() as folder:
        server, address = start(options, Path(folder) / "log")
        try:
            rounds = asyncio.run(load(options, images, address, server.pid))
        finally:
            server.send_signal(signal.SIGTERM)
            stopped = server.wait(60)
    print(f"the server stopped with status {stopped}")
    if any(one.wrong or one.errors or len(one.seconds) != one.asked for one in rounds):
        sys.exit(1)


def draw_images(persons: int) -> list[bytes]:
    """JPEG files, no two of them with the same answer to the last digit."""
    cv2.setNumThreads(1)
    drawn = [
        draw_person(20 + 15 * number, bool(number % 2), np.random.SeedSequence(number)) for number in range(persons)
    ]
    return [encode(portrait.pixels) for person in drawn for portrait in person]


def start(options: Options, log: Path) -> tuple["subprocess.Popen[bytes]", str]:
    """The server as a process of its own, and its address, once it answers."""
    command = [
        sys.executable,
        "-m",
        "shared.serve",
        "--model",
        str(options.model.resolve()),
        "--port",
        "0",
        *options.serve.split(),
    ]
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        words = log.read_text().split()
        addresses = [word for word in words if word.startswith("http://127.0.0.1:") and word.endswith("/faces,")]
        if addresses:
            return server, addresses[0].removesuffix(",")
        time.sleep(0.2)
    server.kill()
    raise UserError(f"the server did not start: {log.read_text()[-500:]}")


async def load(options: Options, images: Sequence[bytes], address: str, server: int) -> list[Round]:
    """All rounds, each told as soon as it is over."""
    async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
        alone = [await answer(client, address, image) for image in images]
    check_distinct(alone)
    print(f"{len(images)} images of {sum(map(len, images)) // len(images) // 1024} KiB")
    print("| clients | requests | requests/s | p50 ms | p99 ms | errors | wrong | lost | server CPU % | server MiB |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    rounds = []
    for clients in options.clients:
        before = cpu_seconds(server)
        one = await play(clients, options, images, alone, address)
        rounds.append(one)
        print(row(clients, one, (cpu_seconds(server) - before) / one.lasted, resident_mib(server)), flush=True)
    return rounds


async def play(clients: int, options: Options, images: Sequence[bytes], alone: Sequence[Any], address: str) -> Round:
    """One round."""
    one = Round()
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(ask_on(number, one, begun, options, images, alone, address))
    one.lasted = time.perf_counter() - begun
    return one


async def ask_on(
    number: int,
    one: Round,
    begun: float,
    options: Options,
    images: Sequence[bytes],
    alone: Sequence[Any],
    address: str,
) -> None:
    """One client, on a connection of its own, with an order of its own."""
    order = random.Random(number)
    async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
        while time.perf_counter() - begun < options.seconds and one.asked < options.requests:
            at = order.randrange(len(images))
            one.asked += 1
            started = time.perf_counter()
            try:
                said = await answer(client, address, images[at])
            except httpx.HTTPError as error:
                one.count(f"{type(error).__name__} {getattr(getattr(error, 'response', None), 'status_code', '')}")
                continue
            one.seconds.append(time.perf_counter() - started)
            one.wrong += not same(said, alone[at])


async def answer(client: httpx.AsyncClient, address: str, image: bytes) -> Any:
    """Raises `httpx.HTTPError` for any status that is no answer."""
    response = await client.post(address, content=image)
    response.raise_for_status()
    return response.json()


def same(one: Any, other: Any, close: float = CLOSE_SHARES) -> bool:
    """Whether two answers are of the same image: alike in form, and close in numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        told = [name for name in one if name not in FOLLOWS]
        return one.keys() == other.keys() and all(same(one[n], other[n], CLOSE.get(n, close)) for n in told)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b, close) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= close
    return bool(one == other)


def check_distinct(answers: Sequence[Any]) -> None:
    """Raises `UserError` where two images have their faces in the same places: a mixture of them would go unseen."""
    places = [[{name: face[name] for name in PLACES} for face in one["faces"]] for one in answers]
    for at, one in enumerate(places):
        if not one or any(same(one, other) for other in places[:at]):
            raise UserError(f"image {at} can't be told from others by its answer; take another model or --persons")


def row(clients: int, one: Round, cpu: float, memory: int) -> str:
    ordered = sorted(one.seconds) or [float("nan")]
    p50, p99 = (1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
    errors = ", ".join(f"{count} {name}" for name, count in one.errors.items()) or "0"
    lost = one.asked - len(one.seconds) - sum(one.errors.values())
    return (
        f"| {clients} | {len(one.seconds):,} | {len(one.seconds) / one.lasted:.1f} | {p50:.0f} | {p99:.0f} "
        f"| {errors} | {one.wrong} | {lost} | {100 * cpu:.0f} | {memory} |"
    )


def cpu_seconds(process: int) -> float:
    """Used so far by the server."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")


def resident_mib(process: int) -> int:
    """The most that the server has held so far."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) // 1024


if __name__ == "__main__":
    run(main, Options())
