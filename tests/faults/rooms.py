"""Folders on disks that are full, or cannot be written."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _unmount(folder: Path) -> None:
    """Its place is free at once; the disk itself stays for as long as a library holds a file of it open."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    except OSError:
        return False


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """The folder as a disk of `size` bytes, or, where this user may not mount one, with files of `size` at most."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0 and _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        try:
            yield folder
        finally:
            _unmount(folder)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """The folder as this user may not write it; skips the test where root may not mount it so."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        try:
            yield folder
        finally:
            folder.chmod(0o755)
        return
    if not _mount("--bind", str(folder), str(folder)):
        pytest.skip("root may write everywhere, and no folder can be mounted read-only here")
    try:
        if not _mount("-o", "remount,ro,bind", str(folder)):
            pytest.skip("root may write everywhere, and no folder can be mounted read-only here")
        yield folder
    finally:
        _unmount(folder)
