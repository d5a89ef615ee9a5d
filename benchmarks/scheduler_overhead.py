"""Measure what Dask's scheduler adds to a part, by tasks that only sleep: a simulation, no image is touched.

    python benchmarks/scheduler_overhead.py --tasks 1000 10000 100000

One scheduler, two worker processes with `--threads` each; tasks are submitted as `shared.cluster` does it, at most
`SUBMITTED` at a time, and beside it through joblib's Dask backend. Sleeping threads stand for the cores of a cluster.
The ideal time is tasks x sleep / threads; overhead is the rest, for each task.
"""

import time
from dataclasses import dataclass
from itertools import islice

import joblib
from distributed import Client, LocalCluster, as_completed
from machine import describe

from shared.cluster import SUBMITTED
from shared.commands import run
from shared.messages import UserError, markdown_table


@dataclass(frozen=True)
class Options:
    """Measure the scheduler."""

    tasks: tuple[int, ...] = (1000, 10_000, 100_000)
    """Numbers of tasks."""
    sleep: tuple[float, ...] = (0.0, 0.1)
    """Seconds that a task sleeps."""
    threads: int = 50
    """Of each of the two workers."""
    joblib_tasks: int = 1000
    """Tasks for joblib's backend; 0 leaves it out."""

    def __post_init__(self) -> None:
        if min(self.tasks, default=0) < 1 or min(self.sleep, default=-1) < 0 or self.threads < 1:
            raise UserError("--tasks and --threads must be at least 1, --sleep at least 0")


def main(options: Options) -> None:
    print(describe("dask", "joblib"), flush=True)
    table = []
    with (
        LocalCluster(2, threads_per_worker=options.threads, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        futures(client, 2 * options.threads, 0)
        for sleep in options.sleep:
            for tasks in options.tasks:
                table.append(row("futures", tasks, sleep, 2 * options.threads, futures(client, tasks, sleep)))
            if options.joblib_tasks:
                took = by_joblib(options.joblib_tasks, sleep)
                table.append(row("joblib", options.joblib_tasks, sleep, 2 * options.threads, took))
    head = ["by", "tasks", "sleep", "ideal", "time", "overhead a task", "tasks a second", "share of the threads used"]
    print(markdown_table(head, table))


def row(by: str, tasks: int, sleep: float, threads: int, took: float) -> list[object]:
    """Cells for one measurement, printed as soon as it is there."""
    ideal = tasks * sleep / threads
    overhead = f"{1000 * (took - ideal) / tasks:.2f} ms"
    cells = [by, f"{tasks:,}", f"{sleep} s", f"{ideal:.1f} s", f"{took:.1f} s", overhead]
    cells += [f"{tasks / took:,.0f}", f"{ideal / took:.0%}"]
    print(*cells, flush=True)
    return list(cells)


def futures(client: Client, tasks: int, sleep: float) -> float:
    """Return the seconds that sleeping tasks took."""
    started = time.perf_counter()
    waiting = iter(range(tasks))

    def submit(number: int) -> object:
        return client.submit(time.sleep, sleep, key=f"{started}-{number}", retries=2)

    running = as_completed(map(submit, islice(waiting, SUBMITTED)))
    for _ in running:
        running.update(map(submit, islice(waiting, 1)))
    return time.perf_counter() - started


def by_joblib(tasks: int, sleep: float) -> float:
    """Return the seconds that the same took through joblib."""
    started = time.perf_counter()
    with joblib.parallel_config(backend="dask"):
        joblib.Parallel()(joblib.delayed(time.sleep)(sleep) for _ in range(tasks))
    return time.perf_counter() - started


if __name__ == "__main__":
    run(main, Options())
