"""Chunks of work for all cores: several processes on CPU, several threads that feed a GPU."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TypeVar

import cv2
import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from shared.interrupts import held_back
from shared.messages import UserError
from shared.tracking import keep_memory

Chunk = TypeVar("Chunk")
Done = TypeVar("Done")

MOST_WORKERS = 16
"""Processes that are started unasked: each holds some 400 MB, and the disk is the limit before that."""

ENOUGH_FOR_PROCESSES = 1000
"""Images; fewer are done before other processes would have loaded torch."""


def choose_device(device: str) -> str:
    """`auto` -> `cuda` where there is a GPU; raises `UserError` where `cuda` is asked for and there is none."""
    if device == "cpu" or (device == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise UserError("--device cuda: torch sees no GPU here; pass --device cpu or leave it at auto")
    return "cpu"


def _may_have_gpu() -> bool:
    """Whether a GPU's driver is there: torch tells surely, but takes seconds to load, and workers wait for it."""
    if sys.platform != "linux":
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()  # AMD's
    return True


def choose_workers(asked: int, images: int, device: str) -> int:
    """How many processes (CPU) or threads (GPU); `asked` = 0 leaves it to the size of the task."""
    if asked:
        return asked
    if device == "cpu" and images < ENOUGH_FOR_PROCESSES:
        return 1
    return min(joblib.cpu_count(), MOST_WORKERS)


def spread(work: Callable[[Chunk], Done], chunks: Sequence[Chunk], workers: int, device: str) -> Iterator[Done]:
    """What `work` returns for each chunk, in the order in which they get done.

    Raises what `work` raises, and `UserError` where a process was killed from outside.
    """
    if workers == 1:
        with _one_thread():
            yield from map(work, chunks)
        return
    pool = joblib.Parallel(
        workers,
        backend="loky" if device == "cpu" else "threading",
        batch_size=1,
        max_nbytes=None,
        return_as="generator_unordered",
    )
    job = partial(_in_process, work, os.getpid()) if device == "cpu" else work
    try:
        if device == "cpu":
            # Or starting the first process would start this one, which lifts the block.
            resource_tracker.ensure_running()
        with held_back() if device == "cpu" else nullcontext():
            done = pool(joblib.delayed(job)(chunk) for chunk in chunks)
        yield from done
    except TerminatedWorkerError as error:
        raise UserError(
            "A worker process was killed, most likely for lack of memory. "
            f"What is done is kept: the same command goes on, with --workers {max(1, workers // 2)} in less memory."
        ) from error


def _in_process(work: Callable[[Chunk], Done], parent: int, chunk: Chunk) -> Done:
    _settle_in(parent)
    with _one_thread():
        return work(chunk)


@cache
def _settle_in(parent: int) -> None:
    """What a worker process does once, before its first chunk."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Older versions of joblib lift the block.
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    keep_memory()


def _end_with(parent: int) -> None:
    """Without the main process, killed perhaps, a worker would wait minutes for its next chunk."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Each worker on one core: their own threads would only get in each other's way."""
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
