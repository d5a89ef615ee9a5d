"""What a measurement was made on."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import joblib


def describe(packages: Sequence[str]) -> str:
    """Processor, cores, load and versions, on two lines."""
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{_processor()}, {joblib.cpu_count()} cores{load}\nPython {platform.python_version()}, {versions}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
