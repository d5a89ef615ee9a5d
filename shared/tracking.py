"""Rows of the table of runs in a local MLflow store too, for its own page: `--track mlflow`.

    mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db

The store is one SQLite file beside runs.csv. Nothing is sent anywhere: MLflow's telemetry is switched off.
"""

import contextlib
import importlib.util
import json
import logging
import math
import os
import sqlite3
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from shared.errors import UserError

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
    params = [Param(name, _text(value)) for name, value in json.loads(row["options"]).items()]
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


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextlib.contextmanager
def _quiet() -> Any:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
