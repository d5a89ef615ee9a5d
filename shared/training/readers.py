"""The processes that read pictures beside a training or a prediction: Ctrl-C is none of their business.

A terminal gives it to everybody. A reader that takes it on its own dies with a traceback, or so early that the main
process takes that for a crash. So readers are deaf to it from their first moment on; the main process ends them.
"""

import multiprocessing
from multiprocessing.context import BaseContext, ForkContext, ForkProcess

import cv2

from shared.interrupts import held_back


class _DeafProcess(ForkProcess):
    def start(self) -> None:
        with held_back():
            super().start()


class _DeafContext(ForkContext):
    Process = _DeafProcess


def reader_context() -> BaseContext | None:
    """How a `DataLoader` starts its processes; None, its own way, where those are not copies of this one."""
    return _DeafContext() if multiprocessing.get_start_method() == "fork" else None


def settle_in(worker: int) -> None:
    """What a reader does first: the cores belong to the training, and one that spreads over them slows it down."""
    del worker
    cv2.setNumThreads(0)
