"""Describe the machine and its versions, and time variants in turn."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import joblib
import torch


def describe(*packages: str) -> str:
    """Return cores, processor and versions on one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *packages))
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{joblib.cpu_count()} cores ({_processor()}){gpu}; python {platform.python_version()}, {versions}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and, if there is /proc, of its children."""
    children = [
        Path(f"/proc/{child}/stat") for file in Path("/proc/self/task").glob("*/children") for child in _words(file)
    ]
    ticks = sum(int(number) for stat in children for number in _words(stat)[13:15])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


@dataclass(frozen=True)
class Times:
    """Times of one variant, one per round."""

    seconds: list[float] = field(default_factory=list)
    """Wall time."""
    cpu: list[float] = field(default_factory=list)
    """CPU time of all cores, little affected by other jobs."""


def in_turn(variants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Time each variant in each round, after an uncounted round.

    Compare variants within a round (`ratio`): other jobs affect all variants of a round alike.
    """
    times: dict[str, Times] = {name: Times() for name in variants}
    for number in range(rounds + 1):
        for name, variant in variants.items():
            started, cpu = time.perf_counter(), cpu_seconds()
            variant()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                times[name].seconds.append(time.perf_counter() - started)
                times[name].cpu.append(cpu_seconds() - cpu)
    return times


def ratio(slower: list[float], faster: list[float]) -> float:
    """Return the median ratio over rounds."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))
