"""Files that are there whole or not at all: written under a temporary name beside their place, then renamed."""

import os
import platform
import re
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from shared.messages import UserError

STALE = 3600
"""Seconds after which a temporary file of another machine is taken for that of a killed process."""

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_TEMPORARY = re.compile(r"\..+\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-\d+(\.[^.]*)?")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` (made if missing), with its suffix; it becomes `path` on leaving.

    Where the body raises, `path` stays as it was and the temporary file is removed.
    Raises `UserError` where the disk refuses (read-only, full, a folder of that name).
    """
    temporary = path.with_name(f".{path.stem}.{_HOST}-{os.getpid()}-{threading.get_ident()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_remains(path.parent.absolute())
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be written ({reason}); what was there before is untouched") from error
    finally:
        # An unwritable folder has no temporary file either; the error that matters is on its way.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write a file in UTF-8, whole or not at all; raises `UserError` as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


@cache
def _remove_remains(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; looked for once in the life of a process."""
    for file in folder.iterdir():
        match = _TEMPORARY.fullmatch(file.name)
        if match and _is_abandoned(file, match["host"], int(match["process"])):
            file.unlink(missing_ok=True)


def _is_abandoned(temporary: Path, host: str, process: int) -> bool:
    if host != _HOST:
        # Nobody here can tell whether that process lives.
        with suppress(FileNotFoundError):
            return time.time() - temporary.stat().st_mtime > STALE
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
