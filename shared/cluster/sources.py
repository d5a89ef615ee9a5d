"""Images from folders, lists, tar shards (WebDataset's layout) and other addresses, split into parts.

An address is a path or what fsspec knows: s3://bucket/photos, gs://bucket/00000.tar, memory://photos. Credentials come
from where the storage's own library looks for them (environment, configuration files), on every worker.
"""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from shared.files import IMAGE_SUFFIXES, find_images
from shared.messages import UserError, counted

SHARD, LIST = ".tar", ".txt"

AT_ONCE = 64
"""Image files that are fetched together."""

END_OF_ARCHIVE = 1024
"""Bytes of zeros at the end of a tar archive (POSIX pax)."""


@dataclass(frozen=True)
class SourceFile:
    """The content of an image file, or the reason why there is none."""

    name: str
    """Its address; in a shard that of the shard, a slash and its name there."""
    content: bytes
    problem: str = ""


@dataclass(frozen=True)
class Part:
    """Images that are processed together by one task: a shard, or several files."""

    number: int
    addresses: tuple[str, ...]

    def file_name(self, fingerprint: str) -> str:
        """Return the name of its Parquet file, which depends on the addresses and on what is made of them."""
        text = "\n".join([fingerprint, *self.addresses]).encode(errors="surrogateescape")
        return f"part-{self.number:06d}-{hashlib.blake2b(text, digest_size=4).hexdigest()}.parquet"

    def read(self) -> Iterator[SourceFile]:
        """Yield the images. One that is missing, and what is missing of a broken shard, is yielded with its problem.

        Raises what the storage raises if it refuses or cannot be reached: that says nothing about an image.
        """
        if _is_shard(self.addresses[0]):
            yield from _read_shard(self.addresses[0])
        else:
            for at in range(0, len(self.addresses), AT_ONCE):
                yield from _read_files(self.addresses[at : at + AT_ONCE])


def split(sources: Iterable[str], size: int) -> list[Part]:
    """Find the images that sources name and split them into parts: each shard, and every `size` image files.

    Raises `UserError` if a source cannot be read or holds no image.
    """
    found: dict[str, None] = {}
    for source in sources:
        try:
            addresses = _find(source)
        except Exception as error:  # Each storage has exceptions of its own, such as botocore's NoCredentialsError.
            raise UserError(f"{source} cannot be read: {str(error) or type(error).__name__}") from error
        if not addresses:
            raise UserError(f"{source} names no image ({', '.join(IMAGE_SUFFIXES)}) and no shard ({SHARD})")
        found |= dict.fromkeys(addresses)
    shards = [(address,) for address in found if _is_shard(address)]
    files = [address for address in found if not _is_shard(address)]
    chunks = [tuple(files[at : at + size]) for at in range(0, len(files), size)]
    return [Part(number, addresses) for number, addresses in enumerate([*shards, *chunks])]


def absolute(address: str, folder: str | None = None) -> str:
    """Return an address for every worker: a path is absolute, below `folder` or the current one."""
    if _protocol(address):
        return address
    return f"{folder}/{address}" if folder and not Path(address).is_absolute() else str(Path(address).absolute())


def open_address(address: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address and the path there."""
    fs, path = url_to_fs(address) if _protocol(address) else (LocalFileSystem(), address)
    return fs, path


def _protocol(address: str) -> str:
    """The part before "://"; "" for a path."""
    return address.partition("://")[0] if "://" in address else ""


def _find(source: str) -> list[str]:
    address = absolute(source)
    fs, path = open_address(address)
    if address.endswith(LIST):
        lines = fs.cat_file(path).decode("utf-8-sig").splitlines()
        return [absolute(line.strip(), address.rpartition("/")[0]) for line in lines if line.strip()]
    if fs.isfile(path):
        return [address]
    if not fs.exists(path):
        found = fs.glob(path)
        if not found:
            raise FileNotFoundError("no such file or folder, and nothing matches it as a pattern")
    elif isinstance(fs, LocalFileSystem):
        inside = find_images(Path(path))
        found = map(str, [*inside.images, *(file for file in inside.others if _is_shard(file.name))])
    else:
        found = fs.find(path)
    local = isinstance(fs, LocalFileSystem)
    return [
        file if local else fs.unstrip_protocol(file) for file in sorted(found) if _is_shard(file) or _is_image(file)
    ]


def _is_shard(name: str) -> bool:
    return name.lower().endswith(SHARD)


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _read_files(addresses: Iterable[str]) -> Iterator[SourceFile]:
    for _, group in groupby(addresses, _protocol):
        several = list(group)
        fs = open_address(several[0])[0]
        # By ranges, as `cat` takes brackets in names for patterns. Remote files are fetched at the same time.
        contents = fs.cat_ranges([fs._strip_protocol(each) for each in several], None, None, on_error="return")
        for address, content in zip(several, contents, strict=True):
            yield SourceFile(address, content) if isinstance(content, bytes) else _unread(address, content, fs)


def _unread(address: str, error: Any, fs: AbstractFileSystem) -> SourceFile:
    about_file = isinstance(error, OSError) and isinstance(fs, LocalFileSystem)
    if about_file or isinstance(error, FileNotFoundError):
        return SourceFile(address, b"", (error.strerror or "no such file").lower())
    raise error


def _read_shard(address: str) -> Iterator[SourceFile]:
    fs, path = open_address(address)
    number = 0
    try:
        with fs.open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if _is_image(member.name) else None
                if content is not None:
                    yield SourceFile(f"{address}/{member.name}", content.read())
                    number += 1
        # tarfile takes an archive that was cut between two files for a whole one.
        if fs.tail(path, END_OF_ARCHIVE).strip(b"\0"):
            raise tarfile.ReadError("no end-of-archive mark")
    except FileNotFoundError:
        yield SourceFile(address, b"", "no such file")
    except tarfile.TarError as error:
        yield SourceFile(address, b"", f"the shard is cut short or broken after {counted(number, 'image')}: {error}")
