"""Chunks of work on all cores: processes on the CPU, threads that feed a GPU."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from multiprocessing import resource_tracker
from typing import TypeVar

import cv2
import joblib

from shared.interrupts import held_back
from shared.messages import UserError

Chunk = TypeVar("Chunk")
Done = TypeVar("Done")

MAX_WORKERS = 16
"""Processes that `choose_workers` starts at most: each takes about 400 MB, and the disk is the limit before that."""

MIN_IMAGES_FOR_PROCESSES = 1000
"""Fewer images are done before other processes have loaded torch."""


def choose_device(device: str) -> str:
    """`auto` -> `cuda` if there is a GPU, else `cpu`; raises `UserError` if `cuda` is wanted and there is none."""
    if device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise UserError("--device cuda: torch finds no GPU here; pass --device cpu or leave it at auto")
    return "cpu"


def choose_workers(requested: int, images: int, device: str) -> int:
    """Number of processes (CPU) or threads (GPU); `requested` = 0 lets the number of images decide."""
    if requested:
        return requested
    if device == "cpu" and images < MIN_IMAGES_FOR_PROCESSES:
        return 1
    return min(joblib.cpu_count(), MAX_WORKERS)


def spread(work: Callable[[Chunk], Done], chunks: Sequence[Chunk], workers: int, device: str) -> Iterator[Done]:
    """Yield `work(chunk)` for each chunk, in the order in which they are finished.

    Raises what `work` raises, and `UserError` if a worker process was killed from outside.
    """
    in_processes = device == "cpu" and workers > 1
    with nullcontext() if in_processes else _one_thread():
        if workers == 1:
            yield from map(work, chunks)
        elif in_processes:
            yield from _spread_over_processes(work, chunks, workers)
        else:
            yield from _pool(workers, "threading")(joblib.delayed(work)(chunk) for chunk in chunks)


def _spread_over_processes(work: Callable[[Chunk], Done], chunks: Sequence[Chunk], workers: int) -> Iterator[Done]:
    job = joblib.delayed(partial(_in_process, work, os.getpid()))
    # joblib would start the resource tracker with the first process, and starting it unblocks SIGINT.
    resource_tracker.ensure_running()
    try:
        with held_back():
            done = _pool(workers, "loky")(job(chunk) for chunk in chunks)
        yield from done
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process was killed, most likely for lack of memory. Finished chunks are kept: repeat the command "
            f"with --workers {max(1, workers // 2)}, which takes less memory."
        ) from error


def _pool(workers: int, backend: str) -> joblib.Parallel:
    return joblib.Parallel(workers, backend=backend, batch_size=1, max_nbytes=None, return_as="generator_unordered")


def _in_process(work: Callable[[Chunk], Done], parent: int, chunk: Chunk) -> Done:
    _prepare_process(parent)
    with _one_thread():
        return work(chunk)


@cache
def _prepare_process(parent: int) -> None:
    """Prepare a worker process once, before its first chunk."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Some versions of joblib unblock it.
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this worker when the main process was killed; otherwise it would wait minutes for another chunk."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit torch and OpenCV to one thread each: the workers already keep all cores busy."""
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
