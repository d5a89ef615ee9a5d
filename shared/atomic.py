"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path

from shared.errors import UserError


def write_bytes(path: Path, content: bytes) -> None:
    """Write to a temporary name in the same folder and rename; a reader, or a kill, never meets half a file.

    Raises `UserError` where the folder cannot be written or the disk is full; an older file then stays as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.write(content)
        _open_to_others(temporary)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); what was there before is untouched") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, content.encode())


def _open_to_others(path: str) -> None:
    """Temporary files are private to their owner; results are as readable as the umask allows."""
    mask = os.umask(0)
    os.umask(mask)
    Path(path).chmod(0o666 & ~mask)
