"""Ctrl-C: one sentence and exit status 130, from the first moment of a command to its last.

While a command is being loaded there is nothing to clean up, and it ends at once. Then Ctrl-C is a `KeyboardInterrupt`,
whatever a library makes of that. Afterwards the exit status stands, however long it takes to end.

Loads nothing but parts of Python, so that it can be loaded before everything else.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPED = "stopped. The same command goes on where this one left off."

EXIT_INTERRUPTED = 130


def end_at_once_while_loading() -> None:
    """Until `hear` takes over; for a process that is to be a command, and nothing else."""
    _put(_end_at_once)


def hear(work: Callable[[], None], command: bool) -> None:
    """Do the work; Ctrl-C ends it as `KeyboardInterrupt`, then the sentence is told and the process exits with 130.

    Where it is all that this process does, being a `command`, what follows it is but its end: there Ctrl-C comes too
    late to change the exit status, and that of an interrupted command stands even where half-loaded libraries crash as
    they are torn down.
    """
    ctrl_c, before = _CtrlC(), signal.getsignal(signal.SIGINT)
    try:
        _put(ctrl_c.press)
        with _no_finaliser_swallows_it():
            work()
    except BaseException as error:
        if not (ctrl_c.pressed or isinstance(error, KeyboardInterrupt)):
            raise
        if command:
            _put(_end_silently)
            _Last.status = EXIT_INTERRUPTED
        print(STOPPED, file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    finally:
        if not command:
            _put(before)
        elif not _Last.status:
            _put(signal.SIG_IGN)


@contextmanager
def held_back() -> Iterator[None]:
    """Processes that start meanwhile never get Ctrl-C, nor do theirs; this one, afterwards.

    It is the main process's business, which ends the others; a terminal gives it to everybody.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _CtrlC:
    """Remembers that it was pressed: not every library lets the exception through, some raise one of their own."""

    pressed = False

    def press(self, signum: int, frame: FrameType | None) -> None:
        self.pressed = True
        signal.default_int_handler(signum, frame)


def _put(handler: "signal._HANDLER") -> None:
    """Handle Ctrl-C so, where it was this module or Python that handled it: not where it is ignored, or others do."""
    owner = getattr(signal.getsignal(signal.SIGINT), "__module__", None)
    if owner in (__name__, "_signal"):
        with suppress(ValueError):  # Only the main thread may do that.
            signal.signal(signal.SIGINT, handler)


def _end_at_once(signum: int, frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, f"{STOPPED}\n".encode())
    _end_silently(signum, frame)


def _end_silently(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    os._exit(EXIT_INTERRUPTED)


class _Last:
    status = 0


@atexit.register
def _end_as_told() -> None:
    """Registered first, and so called last: processes and threads of others are ended; what is left is memory."""
    if _Last.status:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(_Last.status)


@contextmanager
def _no_finaliser_swallows_it() -> Iterator[None]:
    """An exception within `__del__` is told and forgotten: were it that of Ctrl-C, the command would go on."""

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        import threading

        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            # A little later, when this finaliser is through, and so that it wakes whatever waits by then.
            main_thread = threading.main_thread().ident or 0
            threading.Timer(0.05, signal.pthread_kill, (main_thread, signal.SIGINT)).start()
        else:
            before(unraisable)

    before, sys.unraisablehook = sys.unraisablehook, hook
    try:
        yield
    finally:
        sys.unraisablehook = before
