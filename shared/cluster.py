"""Millions of images on a Dask cluster: `face18 crop-shards` and `face18 predict --cluster`.

Images come from folders, lists, tar shards (WebDataset's layout) and other addresses, and are split into parts. Each
part becomes a Parquet file; the manifest is written last.

    out/part-000000-1f2e3d4c.parquet    the rows of one part, whole or not at all
    out/_manifest.json                   all parts and the counts of their images

An address is a path or what fsspec knows: s3://bucket/photos, gs://bucket/00000.tar, memory://photos. Credentials come
from where the storage's own library looks for them (environment, configuration files), on every worker.

Dask distributes the parts, repeats them if a worker dies, and balances the load. Workers write the files themselves, so
`out` must be a place that all of them and the client reach. A part that is there is not made again: a stopped job
continues with the same command.
"""

import asyncio
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client, Future, Security, as_completed
from distributed.comm import connect
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from tqdm import tqdm

from shared.crops import COLUMN_TYPES, UNREADABLE, Row, as_table
from shared.faces.alignment import RECIPE, crop
from shared.faces.crop import assumed_eyes, crop_sources, decode_source, encode, unread_source
from shared.faces.workers import choose_device
from shared.files import IMAGE_SUFFIXES, READY_MADE, UNENCODABLE, find_images, replacing
from shared.messages import UserError, counted, first_of, listed
from shared.predictor import Photograph, Predictor
from shared.predictor.detect import FaceSelection
from shared.predictor.ensemble import Runtime
from shared.predictor.predictor import PHOTOGRAPHS_IN_MEMORY
from shared.predictor.results import COLUMNS, NO_FACE, as_rows

# Images, by their addresses.

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


# The job.

MANIFEST = "_manifest.json"
"""Readers of Parquet folders leave out names that begin with an underscore."""

CONNECT_SECONDS = 5
"""After which a scheduler counts as unreachable, and one without workers as unusable."""

RETRIES = 2
"""Times that a part is tried again after an exception, such as a storage that does not answer."""

SUBMITTED = 2000
"""Parts that the scheduler knows at a time; it takes about a kilobyte and the names of the images for each."""


class Job(Protocol):
    """What is done to each part. It is sent to the workers: small, and not an open file or a network."""

    @property
    def fingerprint(self) -> str:
        """What the rows depend on besides the images; part of the names of the files."""

    @property
    def schema(self) -> pa.Schema:
        """The columns; the first is the name of the image."""

    def rows(self, images: Iterable[SourceFile]) -> Iterator[Row]:
        """Yield at least one row for each image. Runs on a worker."""

    def failed(self, row: Row) -> bool:
        """Whether a row only says why there is no result."""


class Counts(NamedTuple):
    """Contents of a Parquet file."""

    rows: int
    images: int
    failed: int
    """Images without a result; their rows say why."""


def run_job(job: Job, sources: Sequence[str], out: str, cluster: str, part_size: int) -> Counts:
    """Process all images of the sources on the cluster, and write `out`; a progress bar counts the parts.

    Raises `UserError` if a source cannot be read, the scheduler cannot be reached, a worker has another version, or
    parts failed. Parts that were written are kept.
    """
    parts = split(sources, part_size)
    names = [part.file_name(job.fingerprint) for part in parts]
    out = absolute(out)
    if strange := sorted(_parts_there(out) - {*names}):
        raise UserError(
            f"--out {out} holds {counted(len(strange), 'part')} of other images, another model or other options "
            f"({first_of(strange)}): remove them, or name another folder"
        )
    with _connected(cluster) as client:
        done = _run_parts(client, job, parts, out)
    if missing := sorted({*names} - _parts_there(out)):
        raise UserError(f"workers wrote {first_of(missing)}, but not to the {out} that is seen here: name a shared one")
    total = Counts(*map(sum, zip(*done.values(), strict=True)))
    files = [{"file": name, **done[part.number]._asdict()} for name, part in zip(names, parts, strict=True)]
    about = {"face18": version("face18"), "fingerprint": job.fingerprint, **total._asdict(), "parts": files}
    _write(f"{out}/{MANIFEST}", json.dumps(about, indent=1).encode())
    return total


@contextmanager
def _connected(cluster: str) -> Iterator[Client]:
    """Connect to the scheduler, and check its workers."""
    try:
        asyncio.run(asyncio.wait_for(_greet(cluster), CONNECT_SECONDS))
        client = Client(cluster, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--cluster {cluster}: no Dask scheduler answers there ({str(error) or 'it is silent'}). "
            "`dask scheduler` starts one and prints its address, such as tcp://127.0.0.1:8786"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise UserError(f"--cluster {cluster} has no workers: start some with `dask worker {cluster}`") from None
        found: Any = client.get_versions(packages=["face18"])
        refuse_other_versions(found["client"], found["workers"])
        yield client


async def _greet(cluster: str) -> None:
    """Exchange greetings with a scheduler: `Client` would wait for ever for another service that is silent."""
    comm = await connect(cluster, timeout=CONNECT_SECONDS, **Security().get_connection_args("client"))
    await comm.close()


def refuse_other_versions(client: Mapping[str, Any], workers: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `UserError` if a worker has another face18 or another minor version of Python than the client."""
    own = _versions(client)
    others = [f"{address}: {theirs}" for address, each in workers.items() if (theirs := _versions(each)) != own]
    if others:
        raise UserError(f"workers differ from the client, which has {own}. Install the same there:\n{listed(others)}")


def _versions(about: Mapping[str, Any]) -> str:
    python = ".".join(about["host"]["python"].split(".")[:2])
    return f"Python {python}, face18 {about['packages']['face18'] or 'not installed'}"


def _run_parts(client: Client, job: Job, parts: Sequence[Part], out: str) -> dict[int, Counts]:
    """Have workers write the parts; return what each holds, by number."""
    keys = {f"{out}/{part.file_name(job.fingerprint)}": part for part in parts}

    def submit(key: str) -> Future:
        return client.submit(write_part, job, keys[key], out, key=key, retries=RETRIES)

    done: dict[int, Counts] = {}
    failures: list[str] = []
    waiting = iter(keys)
    running = as_completed(map(submit, islice(waiting, SUBMITTED)))
    for future in tqdm(running, total=len(parts), unit=" parts", desc=out):
        part = keys[future.key]
        if future.status == "finished":
            done[part.number] = future.result()
        elif future.status == "error":
            failures.append(f"part {part.number} ({part.addresses[0]}): {_reason(future.exception())}")
        else:
            raise UserError(f"the scheduler was lost after {counted(len(done), 'part')}: repeat the command to go on")
        if failures and not done:
            break  # Most likely all of them would fail.
        running.update(map(submit, islice(waiting, 1)))
    if failures:
        raise UserError(
            f"{counted(len(failures), 'part')} of {len(parts):,} failed; {len(done):,} are in {out} and are kept. "
            f"Repeat the command to try again:\n{listed(failures)}"
        )
    return done


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def write_part(job: Job, part: Part, out: str) -> Counts:
    """Write the Parquet file of a part, unless it is there; return what it holds. Runs on a worker."""
    address = f"{out}/{part.file_name(job.fingerprint)}"
    fs, path = open_address(address)
    if not fs.exists(path):
        key = job.schema.names[0]
        rows = [{**row, key: row[key].encode(errors=UNENCODABLE).decode()} for row in job.rows(part.read())]
        counts = {"images": len({row[key] for row in rows}), "failed": sum(map(job.failed, rows))}
        schema = job.schema.with_metadata({name: str(count) for name, count in counts.items()})
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema), buffer, compression="zstd")
        _write(address, buffer.getvalue())
    with fs.open(path, "rb") as file:
        metadata = pq.read_metadata(file)
    return Counts(metadata.num_rows, *(int(metadata.metadata[name]) for name in (b"images", b"failed")))


def _write(address: str, content: bytes) -> None:
    """Write a file whole or not at all; object stores do so by themselves."""
    fs, path = open_address(address)
    if isinstance(fs, LocalFileSystem):
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(content)
    else:
        fs.pipe_file(path, content)


def _parts_there(out: str) -> set[str]:
    """Names of the Parquet files in the folder `out`, which need not exist."""
    fs, path = open_address(out)
    fs.invalidate_cache()
    names = {file.rpartition("/")[2] for file in fs.ls(path, detail=False)} if fs.isdir(path) else set()
    return {name for name in names if name.startswith("part-") and name.endswith(".parquet")}


# Predictions.

_TYPES = {
    **dict.fromkeys(("source", "mask", "gender", "band", "problem", "remarks", "model", "trained_on"), pa.string()),
    **dict.fromkeys(("face", "class", "turned"), pa.int64()),
    **dict.fromkeys(("main", "age_open_above"), pa.bool_()),
}
"""Types of columns; all others are float32."""

_NOT_HERE = ("drawn", "seconds", "track")
"""Columns of annotated copies and of videos."""


@dataclass(frozen=True)
class PredictJob:
    """Predict for every face; the columns are those of the CSV of `face18 predict`."""

    model: Path | None
    """On every worker; None for the ready-made model."""
    predictor: str
    """Fingerprint of the model, which workers compare with theirs."""
    faces: FaceSelection = "all"
    runtime: Runtime = "torch"
    device: str = "auto"
    batch_size: int = 64

    @property
    def fingerprint(self) -> str:
        return f"{self.predictor} {self.faces}"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(name, _TYPES.get(name, pa.float32())) for name in COLUMNS if name not in _NOT_HERE])

    def rows(self, images: Iterable[SourceFile]) -> Iterator[Row]:
        predictor = load_once(self.model or READY_MADE, self.runtime, self.device, self.batch_size)
        if predictor.fingerprint != self.predictor:
            raise UserError(f"a worker has another model at {self.model or READY_MADE} than the client")
        for values in as_rows(_predict(predictor, images, self.faces)):
            yield dict(zip(COLUMNS, values, strict=True))

    def failed(self, row: Row) -> bool:
        return row["problem"] not in (None, NO_FACE)


_LOADING = threading.Lock()
_load = cache(Predictor.load)


def load_once(model: Path, runtime: Runtime, device: str, batch_size: int) -> Predictor:
    """Return the predictor of this process: a worker loads it with its first part, also if it has several threads."""
    with _LOADING:
        return _load(model, runtime, device, batch_size)


def _predict(predictor: Predictor, images: Iterable[SourceFile], faces: FaceSelection) -> Iterator[Photograph]:
    waiting = iter(images)
    while files := [*islice(waiting, PHOTOGRAPHS_IN_MEMORY)]:
        for file, photograph in zip(files, predictor([file.content for file in files], faces), strict=True):
            yield replace(photograph, source=file.name, problem=file.problem or photograph.problem)


# Crops.


@dataclass(frozen=True)
class CropJob:
    """Cut out the face of each portrait; the columns are those of index.csv, and `crop`, a JPEG."""

    fingerprint: str = RECIPE.id

    @property
    def schema(self) -> pa.Schema:
        types = {"str": pa.string(), "Int64": pa.int64(), "float64": pa.float64()}
        columns = [(name, types[kind]) for name, kind in COLUMN_TYPES.items() if name not in ("file", "mtime_ns")]
        return pa.schema([*columns, ("crop", pa.binary())])

    def rows(self, images: Iterable[SourceFile]) -> Iterator[Row]:
        from shared.faces.mtcnn_nets import load_detector

        if RECIPE.id != self.fingerprint:
            raise UserError(f"a worker makes crops of recipe {RECIPE.id}, the client of {self.fingerprint}")
        with _LOADING:
            detector = load_detector(choose_device("auto"))
        sources = (
            unread_source(file.name, file.problem) if file.problem else decode_source(file.name, file.content)
            for file in images
        )
        for source, row, pixels in crop_sources(sources, detector):
            if source.image is not None and pixels is None:
                eyes = assumed_eyes(as_table([]), as_table([row])).iloc[0]
                row, pixels = {**row, **eyes}, crop(source.image, eyes.to_numpy(float).reshape(2, 2))
            yield row if pixels is None else {**row, "crop": encode(pixels).tobytes()}

    def failed(self, row: Row) -> bool:
        return bool(row["found"] == UNREADABLE)
