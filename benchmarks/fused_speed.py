"""Measure images per second of inference with batch norms, and with batch norms fused into convolutions.

    python benchmarks/fused_speed.py

Both take turns on random images with random weights. Ratios are medians over rounds, by wall time and by the CPU time
of all cores.
"""

import copy
import statistics
from dataclasses import dataclass

import torch
from machine import describe, in_turn, ratio

from shared.commands import run
from shared.training.model import Network, fuse_batch_norms
from shared.training.options import DEFAULT_BACKBONE


@dataclass(frozen=True)
class Options:
    """Measure inference with and without batch norms."""

    backbones: tuple[str, ...] = (DEFAULT_BACKBONE,)
    """timm models."""
    sizes: tuple[int, ...] = (96, 112, 160)
    """Input size of the network, pixels."""
    batch_size: int = 64
    """Images per step."""
    steps: int = 5
    """Steps of each variant in each round."""
    rounds: int = 5
    """Number of rounds."""
    threads: int = 1
    """Threads of torch."""


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    print(describe("timm"))
    print(f"{options.rounds} rounds of {options.steps} batches of {options.batch_size}, {options.threads} threads\n")
    print("backbone                size  variant  images/s  times plain  CPU ms/image  by CPU time")
    for backbone in options.backbones:
        for size in options.sizes:
            measure(backbone, size, options)


@torch.inference_mode()
def measure(backbone: str, size: int, options: Options) -> None:
    """Print a line for each variant."""
    plain = Network(backbone, 3, dropout=0.0, pretrained=False).eval()
    fused = copy.deepcopy(plain)
    fuse_batch_norms(fused, size)
    images = torch.randint(0, 256, (options.batch_size, size, size, 3), dtype=torch.uint8)

    def steps(network: Network) -> None:
        for _ in range(options.steps):
            network(images)

    measured = in_turn({"plain": lambda: steps(plain), "fused": lambda: steps(fused)}, options.rounds)
    count = options.steps * options.batch_size
    base = measured["plain"]
    for name, times in measured.items():
        speed = count / statistics.median(times.seconds)
        cpu = 1000 * statistics.median(times.cpu) / count
        shares = f"{ratio(base.seconds, times.seconds):>11.2f}  {cpu:>14.2f}  {ratio(base.cpu, times.cpu):>11.2f}"
        print(f"{backbone:<22}  {size:>4}  {name:<7}  {speed:>10.1f}  {shares}", flush=True)


if __name__ == "__main__":
    run(main, Options())
