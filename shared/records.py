"""One plain table of everything that was run: a row for each trained fold, training, trial and fusion.

It is `runs.csv` beside the run folders: outputs/runs.csv for outputs/age, and /big/runs.csv for --outputs /big/lr3.
Several processes may append at once. Options and scores are JSON within their cell, so that commands with options and
scores of their own share a table. `python -m shared.runs` reads it.
"""

import csv
import io
import json
import math
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from shared.answers.files import RUN
from shared.errors import UserError
from shared.memory import Memory, peak_memory
from shared.provenance import provenance
from shared.tracking import STORE, Tracker, send

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
    """Fingerprint of labels, pictures and folds."""
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


def origin(runs: Iterable[Path]) -> tuple[str, str]:
    """Data fingerprint and crop recipe of run folders, as run.json has them; all of them where they differ."""
    told = []
    for run in runs:
        # Predictions may come from elsewhere, without a run.json that could be read.
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads((run / RUN).read_text(encoding="utf-8"))
            told.append((str(content["data"]), str(content["recipe"])))
    return " ".join(dict.fromkeys(data for data, _ in told)), " ".join(dict.fromkeys(recipe for _, recipe in told))


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
