"""Write files whole or not at all, compose CSV, find images, hold locks, and check before writing.

A file is written under a temporary name in its folder and then renamed, so a kill or a full disk never leaves half of
it. What killed processes left is removed by the next process that writes into the folder.
"""

import csv
import io
import os
import platform
import re
import stat
import tempfile
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.messages import UserError, counted, first_of

if TYPE_CHECKING:
    import pandas as pd

STALE = 3600
"""Seconds after which a temporary file of another machine counts as left by a killed process."""

UNENCODABLE = "backslashreplace"
"""Error handler for names that an encoding cannot express: they are written as escapes, such as `caf\\udce9.jpg`."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".heic", ".heif", ".bmp", ".gif", ".tif", ".tiff")
"""Suffixes, in lower case, of the files that count as images in a folder; `faces.image_io` decodes them."""

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_TEMPORARY = re.compile(r"\..+\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-\d+(\.[^.]*)?")

READY_MADE = Path(__file__).parent / "models" / "ready.zip"
"""The model that comes with face18; `shared.ready_model` makes it."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the suffix of `path`; its file becomes `path` at the end of the block.

    Missing folders are made. A symbolic link stays, and the file it points to is replaced. A device or a pipe is not
    replaced but written to. If the block raises, `path` stays as it was. Raises `UserError` if the disk refuses
    (read-only, full, a folder of that name).
    """
    try:
        if _is_special(path):
            with tempfile.TemporaryDirectory() as folder:
                temporary = Path(folder) / f"file{path.suffix}"
                yield temporary
                path.write_bytes(temporary.read_bytes())
        else:
            with _beside(Path(os.path.realpath(path))) as temporary:
                yield temporary
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be written ({reason}); an earlier file of this name is unchanged") from error


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    # Shortened, as the name of the file itself may be as long as the disk allows.
    temporary = path.with_name(f".{path.stem[:40]}.{_HOST}-{os.getpid()}-{threading.get_ident()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_remains(path.parent)
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):  # In a folder that cannot be written, the first error is the one to report.
            temporary.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """Whether the path names a device or a pipe."""
    with suppress(OSError):
        mode = path.stat().st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


@cache
def _remove_remains(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; once in the life of this process."""
    for file in folder.iterdir():
        match = _TEMPORARY.fullmatch(file.name)
        if match and _is_abandoned(file, match["host"], int(match["process"])):
            file.unlink(missing_ok=True)


def _is_abandoned(temporary: Path, host: str, process: int) -> bool:
    if host == _HOST:
        return not is_alive(process)
    with suppress(FileNotFoundError):
        return time.time() - temporary.stat().st_mtime > STALE
    return False


def is_alive(process: int) -> bool:
    """Whether a process with this id runs on this machine; True where the system cannot tell."""
    if os.name == "nt":
        return True  # There, os.kill would end the process.
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write_text(path: Path, content: str) -> None:
    """Write a text file in UTF-8, whole or not at all, as `replacing` does; raises `UserError` as that does."""
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8", errors=UNENCODABLE, newline="")


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write rows, the header first, as CSV in UTF-8; raises `UserError` as `replacing` does."""
    write_text(path, csv_text(rows))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    r"""Compose CSV with lines ending in \n; values with a comma, a quote or \n are quoted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def table_csv(table: "pd.DataFrame", **options: Any) -> str:
    """Compose the CSV of a table, quoted as in `csv_text`; `options` are those of `DataFrame.to_csv`."""
    return str(table.to_csv(lineterminator="\n", **options))


@dataclass(frozen=True)
class FoundImages:
    """The files in a folder and all folders below it."""

    images: list[Path]
    """Files with an image's suffix, sorted."""

    others: list[Path]
    """Files that are not read: another suffix, hidden with an image's suffix, or a broken link; sorted."""

    def remark(self) -> str:
        """A sentence about the files that are not read; "" if there are none."""
        names = first_of(file.name for file in self.others)
        return f"{counted(len(self.others), 'file')} not read as images: {names}" if self.others else ""


def find_images(folder: Path) -> FoundImages:
    """Find the images in a folder and all folders below it, linked ones included.

    Hidden files and the folders __MACOSX hold no images of the user: macOS leaves its own data there under the names of
    the images. Raises `UserError` if a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read ({error.strerror})")

    images, others, visited = [], [], set()
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(root)
        if real in visited:  # A link to a folder that has been read, perhaps to one above.
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        for name in names:
            file, is_image = Path(root, name), Path(name).suffix.lower() in IMAGE_SUFFIXES
            hidden = name.startswith(".") or "__MACOSX" in file.relative_to(folder).parts
            if is_image and not hidden and file.is_file():
                images.append(file)
            elif is_image or not hidden:
                others.append(file)
    return FoundImages(sorted(images), sorted(others))


@contextmanager
def lock(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on an existing file or folder until the end of the block or of the process.

    Raises `UserError` if another process holds it and `wait` is False. Systems and disks without locks hold nothing.
    """
    try:
        import fcntl
    except ImportError:  # Windows.
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise UserError(
                    f"{path} is in use by another process: wait until it ends, or name another folder"
                ) from None
        yield
    finally:
        os.close(descriptor)


def refuse_overwriting(outputs: Mapping[str, Path | Sequence[Path] | None], inputs: Iterable[Path]) -> None:
    """Raise `UserError` if an output, by the flag that names it, would overwrite an input.

    That is: both are the same file or folder (symbolic and hard links count), or the output exists and is inside an
    input folder.
    """
    sources = {Path(os.path.realpath(path)): path for path in inputs}
    identities = {identity: path for path in sources.values() if (identity := _identity(path))}
    for flag, named in outputs.items():
        for output in [named] if isinstance(named, Path) else named or ():
            target, identity = Path(os.path.realpath(output)), _identity(output)
            around = [target, *(target.parents if identity else ())]
            source = next(
                (sources[path] for path in around if path in sources), identities.get(identity) if identity else None
            )
            if source is not None:
                raise UserError(f"{flag} {output} would overwrite its input {source}: name another place")


def _identity(path: Path) -> tuple[int, int] | None:
    """What is the same for all hard links of a file; None if there is no such file."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None
