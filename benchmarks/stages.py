"""Run commands of the project in a benchmark."""

import subprocess
import sys
import time

from shared.messages import UserError


def run_stage(*words: object) -> float:
    """Print and run `python WORDS` in a process of its own; return its seconds.

    Raises `UserError` if it fails.
    """
    command = [str(word) for word in words]
    print("$ python", *command, flush=True)
    started = time.perf_counter()
    if subprocess.run([sys.executable, *command]).returncode:
        raise UserError("the command above failed; finished stages are kept in their folders")
    return time.perf_counter() - started
