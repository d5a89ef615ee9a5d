"""Ctrl-C: one sentence and exit status 130, at any moment of a command.

While a command is loaded it ends at once, as nothing needs cleaning up. While it works Ctrl-C is a
`KeyboardInterrupt`. Afterwards the exit status is settled.

This module imports only the standard library, so it can be loaded first.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPED = "stopped. The same command goes on where this one left off."

EXIT_INTERRUPTED = 130


def end_at_once_while_loading() -> None:
    """End the process on Ctrl-C until `run_interruptibly` takes over. Only for a process that is a command."""
    _handle(_end_at_once)


def run_interruptibly(work: Callable[[], None], command: bool) -> None:
    """Run `work`; Ctrl-C ends it as `KeyboardInterrupt`, prints the sentence, and exits with 130.

    After the work of a `command`, which is all that the process does, Ctrl-C is ignored; otherwise the earlier handler
    is restored.
    """
    pressed = False

    def press(signum: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(signum, frame)

    before = signal.getsignal(signal.SIGINT)
    _handle(press)
    try:
        work()
    except BaseException as error:
        # Some libraries turn the KeyboardInterrupt into an exception of their own.
        if not (pressed or isinstance(error, KeyboardInterrupt)):
            raise
        _handle(signal.SIG_IGN)
        print(STOPPED, file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    finally:
        _handle(signal.SIG_IGN if command else before)


@contextmanager
def held_back() -> Iterator[None]:
    """Block Ctrl-C for processes that start in the block, for good; this process receives it after the block.

    A terminal sends Ctrl-C to all processes, but only the main one should react and end the others.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _handle(handler: "signal._HANDLER") -> None:
    """Set the handler of Ctrl-C if it is Python's or ours now: a shell may have it ignored, a program handle it."""
    owner = getattr(signal.getsignal(signal.SIGINT), "__module__", None)
    if owner in (__name__, "_signal"):
        with suppress(ValueError):  # Only the main thread may set handlers.
            signal.signal(signal.SIGINT, handler)


def _end_at_once(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    with suppress(OSError):
        os.write(2, f"{STOPPED}\n".encode())
    os._exit(EXIT_INTERRUPTED)
