"""What was run: a table of runs, the origin of a result, and MLflow.

`runs.csv` is beside the run folders (outputs/runs.csv for outputs/age) and has a row for each trained fold, training,
trial and fusion. Several processes may append at once. Options and scores are JSON within their cells, so commands with
different options and scores share a table. `python -m shared.runs` shows it.

`--track mlflow` also writes each row to a local MLflow store, an SQLite file beside runs.csv, and sends nothing
elsewhere:

    mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db
"""

import csv
import importlib.util
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
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.files import UNENCODABLE, csv_text, lock
from shared.messages import UserError

if TYPE_CHECKING:
    import pandas as pd

DATA_FOLDER = "data_folder"
"""Key of run.json: the absolute path of the folder that a run was trained on."""

RUN = "run.json"
"""File of a run folder with the options, data, crop recipe and scores of its training."""

TABLE, STORE = "runs.csv", "mlflow.db"

Tracker = Literal["none", "mlflow"]

MLFLOW_BATCH = 100
"""Most parameters that MLflow takes in one call."""

PACKAGES = ("torch", "torchvision", "timm", "facenet-pytorch", "albumentations", "accelerate", "pandas", "numpy")
"""Packages with versions that belong to the origin of a result."""


# The origin of a result


def provenance() -> dict[str, Any]:
    """Time (UTC), command line, git commit, whether the tree was dirty (None outside git), and versions, for JSON."""
    changes = _git("status", "--porcelain")
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
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


def read_run_json(run: Path) -> dict[str, Any]:
    """The content of a run folder's run.json; empty if it is missing or broken: predictions may come from elsewhere."""
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads((run / RUN).read_text(encoding="utf-8")))
    return {}


def origin(runs: Iterable[Path]) -> tuple[str, str]:
    """Data fingerprint and crop recipe of run folders by their run.json; all of them if they differ."""
    contents = [read_run_json(run) for run in runs]
    found = [dict.fromkeys(str(content[key]) for content in contents if key in content) for key in ("data", "recipe")]
    return " ".join(found[0]), " ".join(found[1])


def peak_memory() -> tuple[int | None, int | None]:
    """The most memory in MiB that this process or one of its children held, and that torch held on the first GPU.

    None where the system does not tell, or no GPU is used.
    """
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and torch.cuda.is_initialized()
    gpu = round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu and torch is not None else None
    try:
        import resource
    except ImportError:  # Windows.
        return None, gpu
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # Linux counts in KiB, macOS in bytes.
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10)), gpu


# The table of runs


@dataclass(frozen=True)
class Record:
    """A row, without what is added when it is written, such as time and commit."""

    kind: str
    """fold, training, fusion, trial or score."""
    task: str
    """The specialist; "together" for a fusion."""
    run: Path
    """The run folder, or the submission of a fusion."""
    seconds: float
    """Wall time."""
    scores: Mapping[str, float]
    """By name; leaderboards sort by `macro_f1`."""
    options: Mapping[str, Any]
    """All options, defaults included."""
    data: str = ""
    """Fingerprint of labels, images and folds."""
    recipe: str = ""
    """Id of the crop recipe."""
    fold: int | None = None
    seed: int | None = None
    late: bool = False
    """Whether another process did the work and was killed before it wrote the row; its memory is unknown."""


COLUMNS = (
    *("id", "time", "kind", "task", "run", "fold", "seed", "scores", "seconds", "memory_mib", "gpu_memory_mib"),
    *("commit", "dirty", "data", "recipe", "command", "options"),
)


def table_of(run: Path) -> Path:
    """The table of a run folder or file: the one beside it."""
    return run.absolute().parent / TABLE


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a table in their order: text, but `options` and `scores` are dicts and `command` is a list.

    Lines that a killed process left unfinished are skipped. Raises `UserError` if there is no such table.
    """
    try:
        # Line by line: an open quote in an unfinished line must not swallow the lines below it.
        lines = [values for line in path.read_text(encoding="utf-8").split("\n") for values in csv.reader([line])]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: training and combine.py begin it; --table FILE reads another") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no table of runs: {error}") from error
    rows = []
    for values in lines:
        if len(values) == len(COLUMNS):
            row: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
            with suppress(ValueError):  # Of the header.
                rows.append({**row, **{name: json.loads(row[name]) for name in ("scores", "command", "options")}})
    return rows


def read_runs(path: Path) -> "pd.DataFrame":
    """The rows of a table (see `read_rows`) as a frame; raises `UserError` if there are none."""
    import pandas as pd  # Commands parse their options before they load it.

    rows = read_rows(path)
    if not rows:
        raise UserError(f"{path} has no run: training and combine.py add rows to it")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def record(entry: Record, table: Path | None = None, tracker: Tracker = "none") -> None:
    """Append a row to `table`, or to the one beside `entry.run`; also send it to the tracker.

    Results of hours must not be lost because of a row, so failures are only printed to stderr.
    """
    table = table or table_of(entry.run)
    try:
        row = append(table, entry)
        if tracker == "mlflow":
            _send_to_mlflow(row, table.with_name(STORE))
    except UserError as error:
        print(f"warning: this run is not on record: {error}", file=sys.stderr)


def is_recorded(entry: Record, table: Path | None = None) -> bool:
    """Return whether a table has a row of the same kind, task, run folder, fold, data and scores.

    `table` is the one beside `entry.run` when left out. A table that is missing or cannot be read has no such row.
    """
    try:
        rows = read_rows(table or table_of(entry.run))
    except UserError:
        return False
    wanted: dict[str, Any] = {name: _text(getattr(entry, name)) for name in ("kind", "task", "fold", "data")}
    wanted["scores"] = _rounded(entry.scores)
    # The run folder is beside the table, whichever path a command used for it.
    return any(
        all(row[name] == value for name, value in wanted.items()) and Path(row["run"]).name == entry.run.absolute().name
        for row in rows
    )


def append(table: Path, entry: Record) -> dict[str, str]:
    """Append a row and return it. Raises `UserError` if the file cannot be written or is another table."""
    row = _row(entry)
    try:
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("ab") as file, lock(table, wait=True):
            # One write to a file opened for appending: rows stay whole even without locks.
            os.write(file.fileno(), _start(table) + _line(row[name] for name in COLUMNS))
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{table} cannot be written ({error.strerror or error})") from error
    return row


def _start(table: Path) -> bytes:
    """Bytes before the next row: the header, or the end of a line that a killed process left unfinished."""
    found = table.read_bytes()
    if not found:
        return _line(COLUMNS)
    if not found.startswith(_line(COLUMNS)):
        raise UserError(f"{table} has other columns than this version writes: move it away, a new one is begun")
    return b"" if found.endswith(b"\n") else b"\n"


def _row(entry: Record) -> dict[str, str]:
    """All columns of a row, as text."""
    source = provenance()
    process, gpu = (None, None) if entry.late else peak_memory()
    return {
        "id": secrets.token_hex(4),
        "seconds": f"{entry.seconds:.1f}",
        "memory_mib": _text(process),
        "gpu_memory_mib": _text(gpu),
        "command": _json(source["command"]),
        **{name: _text(source[name]) for name in ("time", "commit", "dirty")},
        **{name: _text(getattr(entry, name)) for name in ("kind", "task", "run", "fold", "seed", "data", "recipe")},
        "scores": _json(_rounded(entry.scores)),
        "options": _json(entry.options),
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _rounded(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Six digits; None for infinite numbers and NaN, which JSON does not have."""
    return {name: float(f"{score:.6g}") if math.isfinite(score) else None for name, score in scores.items()}


def _json(content: object) -> str:
    return json.dumps(content, default=str)


def _line(values: Iterable[str]) -> bytes:
    """A row is one line: a line break within a value, as in a strange path, becomes a blank."""
    return csv_text([[" ".join(value.splitlines()) for value in values]]).encode(errors=UNENCODABLE)


# MLflow


def check(tracker: Tracker) -> None:
    """Raise `UserError` if the tracker is not installed; called before hours are spent."""
    if tracker == "mlflow" and importlib.util.find_spec("mlflow") is None:
        raise UserError("--track mlflow needs mlflow, which is not installed: pip install 'face18[track]'")


def _send_to_mlflow(row: Mapping[str, str], store: Path) -> None:
    """Add a row as a finished run of the experiment with the name of its task.

    Scores, seconds and memory become metrics, options parameters, all else tags. Raises `UserError` if MLflow is not
    installed or its store cannot be used.
    """
    check("mlflow")
    try:
        # MLflow would try for minutes to open a file that is no database.
        with closing(sqlite3.connect(store)) as database:
            database.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        raise UserError(f"{store} refuses a run ({error}): move it away, a new one is begun") from error
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # On first use it logs every table that it creates.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _add_run(row, store)
    except Exception as error:
        raise UserError(f"{store} refuses a run ({type(error).__name__}: {error})") from error
    finally:
        logging.disable(before)


def _add_run(row: Mapping[str, str], store: Path) -> None:
    # MLflow reads these when it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{store.absolute()}")
    if client.get_experiment_by_name(row["task"]) is None:
        # Another process may be quicker. Nothing is put into the folder, but MLflow wants one.
        with suppress(Exception):
            client.create_experiment(row["task"], (store.parent / "mlflow-files").absolute().as_uri())
    experiment: Any = client.get_experiment_by_name(row["task"])
    run = client.create_run(experiment.experiment_id, run_name=f"{row['id']} {Path(row['run']).name}")
    id_, now = run.info.run_id, run.info.start_time
    numbers = {**json.loads(row["scores"]), **{name: row[name] for name in ("seconds", "memory_mib", "gpu_memory_mib")}}
    metrics = [Metric(name, float(value), now, 0) for name, value in numbers.items() if value not in (None, "")]
    options = json.loads(row["options"]).items()
    params = [Param(name, value if isinstance(value, str) else json.dumps(value)) for name, value in options]
    tags = {name: value for name, value in row.items() if name not in ("scores", "options") and value}
    client.log_batch(id_, metrics=metrics, tags=[RunTag(f"face18.{name}", value) for name, value in tags.items()])
    for start in range(0, len(params), MLFLOW_BATCH):
        client.log_batch(id_, params=params[start : start + MLFLOW_BATCH])
    client.set_terminated(id_)
