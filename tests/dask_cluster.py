"""A Dask scheduler and workers as processes of this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parent
LIMIT = 120
"""Seconds to start."""


@contextmanager
def process(*words: str, path: tuple[Path, ...] = ()) -> Iterator["subprocess.Popen[bytes]"]:
    """A `dask` command that is killed at the end; modules are also found in the folders of `path`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, TESTS.parent, TESTS]))}
    running = subprocess.Popen(
        [sys.executable, "-m", "dask", *words, "--no-dashboard"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """A scheduler without workers; yields its address."""
    file = folder / "scheduler.json"
    with process("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)) as running:
        deadline = time.monotonic() + LIMIT
        while not file.exists() or not file.read_text().endswith("}"):
            assert running.poll() is None, "the scheduler ended"
            assert time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]


@contextmanager
def worker(address: str, folder: Path, name: str, path: tuple[Path, ...] = ()) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker with one thread, which nothing starts again when it dies."""
    words = ("--nthreads", "1", "--no-nanny", "--name", name, "--local-directory", str(folder))
    with process("worker", address, *words, path=path) as running:
        yield running
