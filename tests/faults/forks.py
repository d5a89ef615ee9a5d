"""Work in a process that costs no start: to be killed, or to crash without harm.

Each is forked from a server that has imported everything and done nothing: torch refuses to train in a copy of a
process that has itself trained on some devices, and locks that other threads held would stay locked.
"""

import gc
import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import ParamSpec

import torch

Given = ParamSpec("Given")

WRITES = ("replace", "unlink", "rename", "write_text", "write_bytes")
"""Of `Path`: whatever changes a folder goes through one of these."""

PATIENCE = 300
"""Seconds for the work of one process; beyond, it hangs."""

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["albumentations", "combine", "shared.crop_faces", "shared.training.inference", "shared.training.run"]
)


def fork(work: Callable[Given, object], *given: Given.args, **named: Given.kwargs) -> ForkServerProcess:
    """Start the work, a function of a module, in a process of its own."""
    child = _CONTEXT.Process(target=_work, args=(torch.get_num_threads(), work, given, named))
    child.start()
    return child


def _work(threads: int, work: Callable[..., object], given: tuple[object, ...], named: dict[str, object]) -> None:
    torch.set_num_threads(threads)
    gc.freeze()  # What the server imported need not be searched by every collection of garbage.
    work(*given, **named)


def was_killed(child: ForkServerProcess, patience: float = PATIENCE) -> bool:
    """Wait for its end, which must be a good one or that of kill -9; whether it was killed.

    One that hangs is ended from here: within a library's own code it would hear no alarm of its own.
    """
    child.join(patience)
    if child.is_alive():
        child.kill()
        child.join()
        raise AssertionError(f"hang: not done after {patience:g} s")
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    return child.exitcode != 0


def killed_after(seconds: float, work: Callable[Given, object], *given: Given.args, **named: Given.kwargs) -> bool:
    """Do the work in a process that is killed after so many seconds; whether it was before its end."""
    child = fork(work, *given, **named)
    child.join(seconds)
    child.kill()
    return was_killed(child)


def killed_at_write(number: int, work: Callable[Given, object], *given: Given.args, **named: Given.kwargs) -> bool:
    """Do the work in a process that is killed just before it renames or removes a file for the n-th time.

    Whether it was; False when it had ended before.
    """
    return was_killed(fork(_deadly, number, work, given, named))


def _deadly(number: int, work: Callable[..., object], given: tuple[object, ...], named: dict[str, object]) -> None:
    calls = 0

    def deadly(method: Callable[..., object]) -> Callable[..., object]:
        def wrapper(self: Path, *arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(self, *arguments, **options)

        return wrapper

    for name in WRITES:
        setattr(Path, name, deadly(getattr(Path, name)))
    work(*given, **named)
