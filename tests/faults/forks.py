"""Work in a copy of this process, which costs no start: to be killed, or to crash without harm."""

import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

WRITES = ("replace", "unlink", "rename", "write_text", "write_bytes")
"""Of `Path`: whatever changes a folder goes through one of these."""


def fork(work: Callable[[], None]) -> int:
    """Start the work in a copy of this process; its process id."""
    with warnings.catch_warnings():
        # Of threads that might hold a lock: those here, of pytest and torch, wait for work.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def was_killed(child: int) -> bool:
    """Wait for the copy's end, which must be a good one or that of kill -9; whether it was killed."""
    status = os.waitpid(child, 0)[1]
    assert status == 0 or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL), status
    return status != 0


def killed_after(seconds: float, work: Callable[[], None]) -> bool:
    """Do the work in a copy of this process that is killed after so many seconds; whether it was before its end."""
    child = fork(work)
    time.sleep(seconds)
    # Nobody has waited for it, so the number is still its own where it has ended.
    os.kill(child, signal.SIGKILL)
    return was_killed(child)


def killed_at_write(number: int, work: Callable[[], None]) -> bool:
    """Do the work in a copy of this process that is killed just before it renames or removes a file for the n-th time.

    Whether it was; False when it had ended before.
    """
    calls = 0

    def deadly(method: Callable[..., object]) -> Callable[..., object]:
        def wrapper(self: Path, *args: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(self, *args, **options)

        return wrapper

    def deadly_work() -> None:
        for name in WRITES:
            setattr(Path, name, deadly(getattr(Path, name)))
        work()

    return was_killed(fork(deadly_work))
