"""Files that are there whole or not at all: written under a temporary name beside their place, then renamed."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` (made if missing), with its suffix; it becomes `path` on leaving.

    Where the body raises, `path` stays as it was and the temporary file is removed.
    Raises `UserError` where the disk refuses (read-only, full, a folder of that name).
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
