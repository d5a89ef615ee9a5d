"""The service as a process of its own, for tests that send requests to it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.serving.server import TOKEN_VARIABLE

ROOT = Path(__file__).parents[1]
PATIENCE = 120
TOKEN = "a-token-for-the-tests-only"


@contextmanager
def serving(
    model: Path, log: Path, *flags: str, program: Sequence[str] = ("-m", "shared.serve")
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A running server and its address; killed if it does not end by itself."""
    command = [sys.executable, *program, "--model", str(model), "--port", "0", *flags]
    environment = {**os.environ, TOKEN_VARIABLE: TOKEN, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
    try:
        until = time.monotonic() + PATIENCE
        while "/v1/faces" not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield server, log.read_text().split("answers at ")[1].split("/v1/faces")[0]
    finally:
        server.kill()
        server.wait()
