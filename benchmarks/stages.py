"""Commands of the project, run by a benchmark as their users run them."""

import subprocess
import sys
import time

from shared.messages import UserError


def run_stage(*words: object) -> float:
    """Print and run `python WORDS` in a process of its own; the seconds that it took.

    Raises `UserError` where it fails.
    """
    command = [str(word) for word in words]
    print("$ python", *command, flush=True)
    started = time.perf_counter()
    if subprocess.run([sys.executable, *command]).returncode:
        raise UserError("the command above failed; what was done before it is kept in its folder")
    return time.perf_counter() - started
