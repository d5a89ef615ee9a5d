"""Measure cropping and prediction on a Dask cluster of one and of two worker processes of this machine.

    python benchmarks/cluster_speed.py --images 400 --predicted 80 --rounds 3

The images are drawn portraits, repeated, in a folder. Workers have one thread each and have loaded the networks
before. In each round one and two workers take turns; medians over rounds are printed. CPU time is that of the
workers, and differs little when other programs use the machine.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import samples
from distributed import Client, LocalCluster
from machine import describe

from shared.cluster import CropJob, Job, Part, PredictJob, run_job
from shared.commands import run
from shared.messages import UserError, markdown_table
from shared.predictor import Predictor

WORKERS = (1, 2)


@dataclass(frozen=True)
class Options:
    """Measure jobs on one and two workers."""

    images: int = 400
    """Images to crop."""
    predicted: int = 80
    """Images to predict, with the ready-made model."""
    part_size: int = 20
    """Images in a part."""
    rounds: int = 3
    """Number of rounds."""

    def __post_init__(self) -> None:
        if min(self.images, self.predicted, self.part_size, self.rounds) < 1:
            raise UserError("--images, --predicted, --part-size and --rounds must be at least 1")


def main(options: Options) -> None:
    print(describe("dask"), flush=True)
    jobs: dict[str, tuple[Job, int]] = {
        "crop": (CropJob(), options.images),
        "predict": (PredictJob(None, Predictor.load(device="cpu").fingerprint, device="cpu"), options.predicted),
    }
    table = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        portraits = samples.evaluation(samples.draw(folder / "drawn", 6, 6))
        for name, (job, count) in jobs.items():
            samples.repeated(portraits, count, folder / name)
            took = measure(job, folder / name / "images", folder, options)
            for workers in WORKERS:
                rate = statistics.median(count / seconds for seconds, _ in took[workers])
                cpu = statistics.median(1000 * cpu / count for _, cpu in took[workers])
                table.append([name, workers, f"{rate:.1f}", f"{cpu:.0f} ms"])
            gain = statistics.median(one / two for (one, _), (two, _) in zip(took[1], took[2], strict=True))
            table[-1].append(f"{gain:.2f}")
            table[-2].append("1")
    print(markdown_table(["job", "workers", "images a second", "worker CPU an image", "times as fast"], table))


def measure(job: Job, images: Path, folder: Path, options: Options) -> dict[int, list[tuple[float, float]]]:
    """Return the wall and CPU seconds of each round, by number of workers."""
    took: dict[int, list[tuple[float, float]]] = {workers: [] for workers in WORKERS}
    for number in range(options.rounds):
        for workers in WORKERS:
            with (
                LocalCluster(workers, threads_per_worker=1, dashboard_address=None) as cluster,
                Client(cluster) as client,
            ):
                place = f"{folder}/{type(job).__name__}-{number}-{workers}"
                client.run(warm, job, Part(0, (str(next(images.iterdir())),)))
                before, started = cpu_seconds(client), time.perf_counter()
                run_job(job, [str(images)], place, cluster.scheduler_address, options.part_size)
                took[workers].append((time.perf_counter() - started, cpu_seconds(client) - before))
                print(type(job).__name__, workers, *took[workers][-1], flush=True)
    return took


def warm(job: Job, part: Part) -> None:
    """Make a worker load its networks."""
    for _ in job.rows(part.read()):
        pass


def cpu_seconds(client: Client) -> float:
    """Return the CPU seconds of all workers so far."""
    used: dict[str, float] = client.run(time.process_time)
    return sum(used.values())


if __name__ == "__main__":
    run(main, Options())
