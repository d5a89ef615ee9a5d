"""The files of a bundle, in a zip archive or a folder; read with limits, because a bundle may come from a stranger.

Nothing is unpickled or unpacked to disk. A file is read only under a plain name and up to a limit of bytes.
"""

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.messages import UserError

MANIFEST = "face18.json"
MAX_MANIFEST = 4 << 20
MAX_WEIGHTS = 2 << 30
"""Bytes of one network."""
MAX_COMPRESSION = 10
"""Largest ratio of a file's size to its size in the archive. Weights hardly compress: a file with a higher ratio may be
made to fill the memory."""
MAX_FILES = 10_000

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


class BundleSource(Protocol):
    """The files of a bundle."""

    @property
    def path(self) -> Path:
        """Where they come from, for messages."""

    def holds(self, name: str) -> bool:
        """Return whether there is a file of this name."""

    def size(self, name: str) -> int:
        """Return the bytes of a file; raises `UserError` if it is missing."""

    def read(self, name: str, limit: int) -> bytes:
        """Return a file's content; raises `UserError` if it is missing, broken or longer than `limit` bytes."""


@dataclass(frozen=True)
class Archive:
    """A bundle in a zip archive."""

    path: Path

    def holds(self, name: str) -> bool:
        with self._open() as archive:
            return name in archive.namelist()

    def size(self, name: str) -> int:
        with self._open() as archive:
            return self._entry(archive, name).file_size

    def read(self, name: str, limit: int) -> bytes:
        with self._open() as archive:
            entry = self._entry(archive, name)
            _limit(self.path, name, entry.file_size, limit)
            if entry.file_size > max(MAX_MANIFEST, MAX_COMPRESSION * entry.compress_size):
                raise UserError(f"{self.path} is no bundle of face18: {name} is compressed beyond all reason")
            try:
                return archive.read(entry)
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
                raise UserError(f"{self.path} is broken: {name} cannot be read ({error})") from error

    def _entry(self, archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
        try:
            return archive.getinfo(checked_name(self.path, name))
        except KeyError:
            raise UserError(f"{self.path} is no whole bundle: {name} is missing") from None

    def _open(self) -> zipfile.ZipFile:
        try:
            archive = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UserError(f"{self.path} is no bundle: it cannot be read as a zip archive ({error})") from error
        if len(archive.infolist()) > MAX_FILES:
            raise UserError(f"{self.path} is no bundle of face18: it holds more than {MAX_FILES:,} files")
        return archive


@dataclass(frozen=True)
class Folder:
    """A bundle in a folder, or files of run folders under the names that they have in a bundle."""

    path: Path
    files: Mapping[str, Path] | None = None
    """The file of each name; None if they are below `path` under their own names."""

    def holds(self, name: str) -> bool:
        return self._file(name).is_file()

    def size(self, name: str) -> int:
        if not self.holds(name):
            raise UserError(f"{self.path} is no whole bundle: {name} is missing")
        return self._file(name).stat().st_size

    def read(self, name: str, limit: int) -> bytes:
        file = self._file(name)
        try:
            _limit(self.path, name, file.stat().st_size, limit)
            return file.read_bytes()
        except OSError as error:
            raise UserError(f"{file} cannot be read ({error.strerror or error})") from error

    def _file(self, name: str) -> Path:
        below = self.path / checked_name(self.path, name)
        return below if self.files is None else self.files.get(name, below)


def checked_name(path: Path, name: str) -> str:
    """Return the name of a file in a bundle; raises `UserError` if it could lead out of the bundle."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f"{path} names a file that no bundle may have ({str(name)[:80]!r}): it is broken or hostile")
    return name


def _limit(path: Path, name: str, size: int, limit: int) -> None:
    if size > limit:
        raise UserError(f"{path} is no bundle of face18: {name} is larger than {limit:,} bytes")


def open_source(path: Path) -> BundleSource:
    """Return the files of a bundle, which is a folder or a zip archive."""
    return Folder(path) if path.is_dir() else Archive(path)
