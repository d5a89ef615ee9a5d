"""The Optuna study that the workers of a search share: an SQLite file, or a PostgreSQL database for several machines.

A trial that is stopped is *put back*: it fails, and its parameters are enqueued again, so that its training continues.
A killed worker cannot do that. One of this machine is known by its process id; in a database, a worker that has sent no
heartbeat for `GRACE` seconds counts as dead, and another one puts its trial back.
"""

import os
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.files import is_alive
from shared.messages import UserError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

BASE, WORKER, OPTIONS = "base", "worker", "options"
"""User attributes: what all trials share; the process of a trial; the options that the search space made of it."""

HEARTBEAT, GRACE = 30, 120
"""Seconds between the heartbeats of a worker, and without one until it counts as dead; of databases alone."""

CONNECT_SECONDS = 10
"""Seconds until a database that does not answer is an error."""

OPENING = 18
"""Number of the lock that one worker at a time holds while it creates or opens the study in a database."""


def open_study(place: Path | str, name: str, base: Mapping[str, Any], prune: bool) -> "Study":
    """Open or create a study in an SQLite file or a PostgreSQL database, and put back the trials of dead workers.

    Raises `UserError` if Optuna or psycopg is not installed, the place cannot be opened, or it holds trials on another
    base.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("tuning needs optuna, which is not installed: pip install 'face18[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5) if prune else optuna.pruners.NopPruner()
    with _opened(place):
        study = optuna.create_study(
            storage=_storage(place), study_name=name, direction="maximize", load_if_exists=True, pruner=pruner
        )
        with storage_errors_of(place):
            _claim(study, place, base)
            put_back_lost(study)
    return study


@contextmanager
def _opened(place: Path | str) -> Iterator[None]:
    """Turn every error of opening a study into a `UserError`; workers that open the same database take turns."""
    from sqlalchemy import create_engine, text

    try:
        if isinstance(place, Path):
            place.parent.mkdir(parents=True, exist_ok=True)
            yield
            return
        with create_engine(place, **_connections()).begin() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({OPENING})"))
            yield
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'face18[postgres]'") from None
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{place} cannot be opened as a study ({type(error).__name__}: {_reason(error)})") from error


def _storage(place: Path | str) -> Any:
    """Return what Optuna takes as storage."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage

    if isinstance(place, Path):
        return f"sqlite:///{place.absolute()}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # Heartbeats, since 2.9.
        return RDBStorage(
            place,
            _connections(),
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=_enqueue_again,
        )


def _connections() -> dict[str, Any]:
    """Return how SQLAlchemy connects: anew each time, because hours may be between two, and with a limit of time."""
    from sqlalchemy.pool import NullPool

    return {"connect_args": {"connect_timeout": CONNECT_SECONDS}, "poolclass": NullPool}


def heartbeats(study: "Study", trial: "Trial") -> AbstractContextManager[None]:
    """Send heartbeats for a trial until the end of the block if the study is in a database."""
    # `Study.optimize` sends them by this function; trials that are asked for have no public one.
    from optuna.storages._heartbeat import get_heartbeat_thread

    return get_heartbeat_thread(trial._trial_id, study._storage)  # type: ignore[return-value]


@contextmanager
def storage_errors_of(place: Path | str) -> Iterator[None]:
    """Turn the errors of a full, read-only or locked disk, or of a database, into a `UserError` that names it."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        file = isinstance(place, Path)
        remedy = "free disk space, or remove what locks or protects it, and" if file else "when it is back,"
        raise UserError(
            f"{place} cannot be read or written any more ({_reason(error)}): {remedy} run the same command again"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the message of the database, without the statements and addresses that the libraries above it add."""
    cause = error.__cause__ or error
    return " ".join(str(getattr(cause, "orig", None) or cause).split())


def _claim(study: "Study", place: Path | str, base: Mapping[str, Any]) -> None:
    found = study.user_attrs.get(BASE)
    if found is None:
        study.set_user_attr(BASE, dict(base))
        return
    changes = [
        f"--{key.replace('_', '-')} was {found.get(key)}, now {base.get(key)}"
        for key in {**found, **base}
        if found.get(key) != base.get(key)
    ]
    if changes:
        raise UserError(
            f"{place} holds trials that are not comparable with these ({'; '.join(changes)}): "
            "name another folder with --outputs, or remove the study"
        )


def running(study: "Study") -> "list[FrozenTrial]":
    """Return the trials that are running, or were when their worker was killed."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"]


def finished(study: "Study") -> "list[FrozenTrial]":
    """Return completed and pruned trials: completed ones first, the best first."""
    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED")]
    return sorted(done, key=lambda trial: (trial.state.name == "PRUNED", -(trial.value or 0.0)))


def ask(study: "Study", seed: int) -> "Trial":
    """Return a trial that was put back (see `put_back`), or a new one, and mark it as run by this process.

    Its options are not suggested yet. A proposal depends only on the seed, the number of earlier proposals and their
    scores, so a search that is stopped and started again proposes the same trials as one that runs through.
    """
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Heartbeat of storage")  # `heartbeats` sends them.
        trial = study.ask()
    trial.set_user_attr(WORKER, _this_worker())
    earlier = study.get_trials(deepcopy=False)[: trial.number]
    # Workers of several machines ask at the same moment: there, each trial has a seed of its own.
    proposals = len(earlier) if has_heartbeats(study) else sum(map(_is_proposal, earlier))
    study.sampler = TPESampler(seed=int(np.random.SeedSequence((seed, proposals)).generate_state(1)[0]))
    return trial


def _is_proposal(trial: "FrozenTrial") -> bool:
    """Return whether a trial is a proposal of its own: not a repetition, and not killed before it was complete."""
    at_work = trial.state.name == "RUNNING" and WORKER in trial.user_attrs
    return (at_work or OPTIONS in trial.user_attrs) and "fixed_params" not in trial.system_attrs


def sign(trial: "Trial", options: Mapping[str, Any]) -> None:
    """Store which process runs a trial, and with which options."""
    trial.set_user_attr(WORKER, _this_worker())
    trial.set_user_attr(OPTIONS, dict(options))


def _this_worker() -> str:
    return f"{platform.node()} {os.getpid()}"


def put_back(study: "Study", trial: "FrozenTrial | Trial") -> None:
    """Fail a trial and enqueue its parameters, unless another worker has done so already."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    known = study.get_trials(deepcopy=False)[trial.number]
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        if study.get_trials(deepcopy=False)[trial.number].state == TrialState.FAIL:
            return
        raise
    _enqueue_again(study, known)


def _enqueue_again(study: "Study", trial: "FrozenTrial") -> None:
    params = trial.params if OPTIONS in trial.user_attrs else trial.system_attrs.get("fixed_params")
    if params is not None:
        study.enqueue_trial(params)


def put_back_lost(study: "Study") -> None:
    """Put back the trials of workers that no longer run."""
    import optuna

    if has_heartbeats(study):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
        return
    for trial in running(study):
        host, process = _worker_of(trial)
        if host == platform.node() and not is_alive(process):
            put_back(study, trial)


def others_at_work(study: "Study") -> int:
    """Return the number of trials at work; in a file, those of this machine, since others may be dead."""
    signed = [trial for trial in running(study) if OPTIONS in trial.user_attrs]
    return sum(has_heartbeats(study) or _worker_of(trial)[0] == platform.node() for trial in signed)


def has_heartbeats(study: "Study") -> bool:
    """Return whether the study is in a database, where workers send heartbeats."""
    from optuna.storages._heartbeat import is_heartbeat_enabled

    return is_heartbeat_enabled(study._storage)


def _worker_of(trial: "FrozenTrial") -> tuple[str, int]:
    """Return machine and process id of the worker of a trial; "" and 0 if it has not signed yet."""
    host, _, process = trial.user_attrs.get(WORKER, "").rpartition(" ")
    return (host, int(process)) if process.isdigit() else ("", 0)
