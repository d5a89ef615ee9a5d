"""The most memory that this process has held; and keeping it, which is quicker than asking for it again."""

import ctypes
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

MIB = 2**20


class Memory(NamedTuple):
    """In MiB; None where it cannot be told."""

    process: int | None
    """Of this process since `forget_peak`, or of one of its workers so far where that held more."""
    gpu: int | None
    """Allocated by torch on the first GPU; None where none is used."""


def peak_memory() -> Memory:
    """Asks torch only where it is loaded already."""
    return Memory(_resident(), _on_gpu())


def forget_peak() -> None:
    """Count from here on, where the system can (Linux; elsewhere the peak is that of the process from its start)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def keep_memory() -> None:
    """Have glibc keep freed memory for the next layer: handing it back costs page faults, a third of all time."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 32 << 20)
        mallopt(trim_threshold, 512 << 20)


def _resident() -> int | None:
    with suppress(ImportError):
        import resource

        own, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        # Linux counts in KiB, macOS in bytes.
        return round(max(_since_forgotten() or own, workers) / (MIB if sys.platform == "darwin" else 1024))
    return None


def _since_forgotten() -> int | None:
    """In KiB; None where the system does not tell."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return None


def _on_gpu() -> int | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return round(torch.cuda.max_memory_allocated() / MIB)
