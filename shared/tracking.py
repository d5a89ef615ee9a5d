"""The most memory that this process has held; and keeping it, which is quicker than asking for it again.

Where a result came from: command, code, versions and machine, as plain values for a JSON file.

Rows of the table of runs in a local MLflow store too, for its own page: `--track mlflow`.

    mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db

The store is one SQLite file beside runs.csv. Nothing is sent anywhere: MLflow's telemetry is switched off.

One plain table of everything that was run: a row for each trained fold, training, trial and fusion.

It is `runs.csv` beside the run folders: outputs/runs.csv for outputs/age, and /big/runs.csv for --outputs /big/lr3.
Several processes may append at once. Options and scores are JSON within their cell, so that commands with options and
scores of their own share a table. `python -m shared.runs` reads it.
"""

import contextlib
import csv
import ctypes
import importlib.util
import io
import json
import logging
import math
import os
import platform
import secrets
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from shared.messages import UserError

RUN = "run.json"
"""File of a run folder: options, data, code version, scores and seconds of the training."""

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


_PACKAGES = ("torch", "torchvision", "timm", "facenet-pytorch", "albumentations", "accelerate", "pandas", "numpy")


def provenance() -> dict[str, Any]:
    """Time (UTC, ISO 8601), command line, git commit and whether the tree was dirty (None outside git), versions."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if (changes := _git("status", "--porcelain")) is None else bool(changes),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


Tracker = Literal["none", "mlflow"]

STORE = "mlflow.db"

_PARAMS = 100
"""MLflow takes so many parameters at once."""


def check(tracker: Tracker) -> None:
    """Before hours are spent: raises `UserError` where the tracker is not installed."""
    if tracker == "mlflow" and importlib.util.find_spec("mlflow") is None:
        raise UserError("--track mlflow needs mlflow, which is not installed: pip install 'face18[track]'")


def send(row: Mapping[str, str], store: Path) -> None:
    """A row of runs.csv as a finished run of the experiment that is called like its task.

    Scores, seconds and memory become metrics, options parameters, all else tags.
    Raises `UserError` where MLflow is not installed or its store refuses.
    """
    check("mlflow")
    _refuse_unusable(store)
    try:
        # Whatever it warns of is for its developers, and on the first call it tells of every table it makes.
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            _send(row, store)
    except Exception as error:
        raise UserError(f"{store} refuses a run ({type(error).__name__}: {error})") from error


def _refuse_unusable(store: Path) -> None:
    """MLflow would try for minutes to open what is no database."""
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(store)) as database:
            database.execute("PRAGMA schema_version").fetchone()
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"{store} refuses a run ({error}): move it away, a new one is begun") from error


def _send(row: Mapping[str, str], store: Path) -> None:
    # Before the import, which reads them.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{store.absolute()}")
    run = client.create_run(_experiment(client, row["task"], store), run_name=f"{row['id']} {Path(row['run']).name}")
    now = run.info.start_time
    metrics = [Metric(name, value, now, 0) for name, value in _metrics(row).items()]
    client.log_batch(run.info.run_id, metrics=metrics)
    params = [Param(name, _param_text(value)) for name, value in json.loads(row["options"]).items()]
    for start in range(0, len(params), _PARAMS):
        client.log_batch(run.info.run_id, params=params[start : start + _PARAMS])
    tags = {name: value for name, value in row.items() if name not in ("scores", "options") and value}
    client.log_batch(run.info.run_id, tags=[RunTag(f"face18.{name}", value) for name, value in tags.items()])
    client.set_terminated(run.info.run_id)


def _experiment(client: Any, name: str, store: Path) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        with contextlib.suppress(Exception):
            # Another process may be quicker. Nothing is put there, but MLflow wants a place for files.
            client.create_experiment(name, artifact_location=(store.parent / "mlflow-files").absolute().as_uri())
        found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def _metrics(row: Mapping[str, str]) -> dict[str, float]:
    numbers = {**json.loads(row["scores"]), **{name: row[name] for name in ("seconds", "memory_mib", "gpu_memory_mib")}}
    metrics = {name: float(value) for name, value in numbers.items() if value not in (None, "")}
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _param_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextlib.contextmanager
def _quiet() -> Any:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


TABLE = "runs.csv"


@dataclass(frozen=True)
class Record:
    """What a row tells; time, commit and the like are added when it is written."""

    kind: str
    """fold, training, fusion, trial or score."""
    task: str
    """The specialist; "together" for a fusion."""
    run: Path
    """The run folder, or the submission of a fusion."""
    seconds: float
    """By the clock."""
    scores: Mapping[str, float]
    """By name; `macro_f1` is what leaderboards sort by."""
    options: Mapping[str, Any]
    """Resolved: those left out on the command line too."""
    data: str = ""
    """Fingerprint of labels, images and folds."""
    recipe: str = ""
    """Of the crops."""
    fold: int | None = None
    seed: int | None = None
    late: bool = False
    """Written in the place of a process that was killed before it could: how much memory that held nobody knows."""


@dataclass(frozen=True)
class _Row:
    """The columns, in their order; all text."""

    id: str
    time: str
    kind: str
    task: str
    run: str
    fold: str
    seed: str
    scores: str
    seconds: str
    memory_mib: str
    gpu_memory_mib: str
    commit: str
    dirty: str
    data: str
    recipe: str
    command: str
    options: str


COLUMNS = tuple(column.name for column in fields(_Row))


def table_of(run: Path) -> Path:
    """The table that tells of a run folder (or file): the one beside it."""
    return run.absolute().parent / TABLE


def read_run_json(run: Path) -> dict[str, Any]:
    """Return the content of a run folder's run.json.

    Empty if the file is missing or broken: predictions may come from elsewhere, without it.
    """
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads((run / RUN).read_text(encoding="utf-8")))
    return {}


def origin(runs: Iterable[Path]) -> tuple[str, str]:
    """Data fingerprint and crop recipe of run folders, as run.json has them; all of them where they differ."""
    contents = [read_run_json(run) for run in runs]
    found = [dict.fromkeys(str(content[key]) for content in contents if key in content) for key in ("data", "recipe")]
    return " ".join(found[0]), " ".join(found[1])


def record(entry: Record, table: Path | None = None, tracker: Tracker = "none") -> None:
    """Append a row to `table`, or to the one beside `entry.run`; send it to the tracker, whose store lies there too.

    Results of hours must not be lost for want of a row: a disk that refuses is told on stderr, and that is all.
    """
    row, table = _row(entry), table or table_of(entry.run)
    try:
        _append(table, row)
        if tracker != "none":
            send(asdict(row), table.with_name(STORE))
    except UserError as error:
        print(f"warning: this run is not on record: {error}", file=sys.stderr)


def is_recorded(entry: Record, table: Path | None = None) -> bool:
    """Whether `table`, or the one beside `entry.run`, has a row with these scores of this run folder on this data."""
    try:
        lines = (table or table_of(entry.run)).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return False
    wanted = {name: value for name, value in _told(entry).items() if name not in ("run", "seed", "options", "recipe")}
    # Line by line, as in `shared.runs`: a line that was cut short must not swallow those below it.
    for line in lines:
        for values in csv.reader([line]):
            row = dict(zip(COLUMNS, values, strict=False))
            # A run folder lies beside the table, whatever path a command gave it.
            if wanted.items() <= row.items() and Path(row["run"]).name == entry.run.absolute().name:
                return True
    return False


def append(table: Path, entry: Record) -> str:
    """Append a row, and return its id. Raises `UserError` where the file cannot be written or is another table."""
    row = _row(entry)
    _append(table, row)
    return row.id


def _append(table: Path, row: _Row) -> None:
    try:
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("a+b") as file, _locked(file.fileno()):
            # One write to a file opened for appending: rows stay whole even where locks are not to be had.
            os.write(file.fileno(), _start(table) + _line(asdict(row).values()))
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{table} cannot be written ({error.strerror or error})") from error


def _start(table: Path) -> bytes:
    """What has to come before the next row: the header, or the end of a line that a killed process left open."""
    found = table.read_bytes()
    if not found:
        return _line(COLUMNS)
    if not found.startswith(_line(COLUMNS)):
        raise UserError(f"{table} has other columns than this version writes: move it away, a new one is begun")
    return b"" if found.endswith(b"\n") else b"\n"


def _row(entry: Record) -> _Row:
    origin, memory = provenance(), Memory(None, None) if entry.late else peak_memory()
    return _Row(
        id=secrets.token_hex(4),
        time=origin["time"],
        seconds=f"{entry.seconds:.1f}",
        memory_mib=_text(memory.process),
        gpu_memory_mib=_text(memory.gpu),
        commit=_text(origin["commit"]),
        dirty=_text(origin["dirty"]),
        command=_json(origin["command"]),
        **_told(entry),
    )


def _told(entry: Record) -> dict[str, str]:
    """The columns that the entry itself fills."""
    return {
        "kind": entry.kind,
        "task": entry.task,
        "run": str(entry.run),
        "fold": _text(entry.fold),
        "seed": _text(entry.seed),
        "scores": _json({name: _digits(score) for name, score in entry.scores.items()}),
        "data": entry.data,
        "recipe": entry.recipe,
        "options": _json(entry.options),
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _digits(score: float) -> float | None:
    """Six digits; None for what JSON has no number for."""
    return float(f"{score:.6g}") if math.isfinite(score) else None


def _json(content: object) -> str:
    return json.dumps(content, default=str)


def _line(values: Iterable[str]) -> bytes:
    """A record is one line: a line break within a value, as in a strange path, becomes a blank."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(" ".join(value.splitlines()) for value in values)
    return text.getvalue().encode()


@contextmanager
def _locked(file: int) -> Iterator[None]:
    """Alone with an open file, where the system and its disk know of locks; they end with the file."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    yield
