"""Files of a bundle as bytes: from a zip archive, a folder, or run folders.

Nothing is ever unpacked to disk, only names that the bundle's own manifest gives are read, and none beyond its limit:
a bundle may come from a stranger.
"""

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.errors import UserError

MOST_FILES = 10_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


class Source(Protocol):
    """Where the files of a bundle are."""

    @property
    def path(self) -> Path:
        """For messages."""

    def holds(self, name: str) -> bool:
        """Whether there is such a file."""

    def read(self, name: str, limit: int) -> bytes:
        """Its content. Raises `UserError` where it is missing, broken or longer than `limit` bytes."""


def check_name(path: Path, name: str) -> str:
    """The name of a file within a bundle; raises `UserError` where it could lead elsewhere."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f"{path} names a file that no bundle may have ({str(name)[:80]!r}): it is broken or hostile")
    return name


@dataclass(frozen=True)
class Archive:
    """A zip archive."""

    path: Path

    def holds(self, name: str) -> bool:
        with self._opened() as archive:
            return name in archive.namelist()

    def read(self, name: str, limit: int) -> bytes:
        with self._opened() as archive:
            try:
                with archive.open(check_name(self.path, name)) as file:
                    return _limited(self.path, name, file.read(limit + 1), limit)
            except KeyError:
                raise UserError(f"{self.path} is no whole bundle: {name} is missing") from None
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
                raise UserError(f"{self.path} is broken: {name} cannot be read ({error})") from error

    def _opened(self) -> zipfile.ZipFile:
        try:
            archive = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UserError(f"{self.path} is no bundle: it cannot be read as a zip archive ({error})") from error
        if len(archive.infolist()) > MOST_FILES:
            raise UserError(f"{self.path} is no bundle of face18: it holds more than {MOST_FILES:,} files")
        return archive


@dataclass(frozen=True)
class Folder:
    """An unpacked bundle."""

    path: Path

    def holds(self, name: str) -> bool:
        return (self.path / check_name(self.path, name)).is_file()

    def read(self, name: str, limit: int) -> bytes:
        return _read_file(self.path / check_name(self.path, name), limit)


@dataclass(frozen=True)
class Files:
    """Files that lie anywhere, under names of a bundle."""

    path: Path
    files: Mapping[str, Path]

    def holds(self, name: str) -> bool:
        return name in self.files and self.files[name].is_file()

    def read(self, name: str, limit: int) -> bytes:
        return _read_file(self.files[name], limit)


def _read_file(file: Path, limit: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return _limited(file.parent, file.name, opened.read(limit + 1), limit)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error})") from error


def _limited(path: Path, name: str, content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise UserError(f"{path} is no bundle of face18: {name} is larger than {limit:,} bytes")
    return content
