"""The study that workers of a tuning share: an SQLite file that Optuna keeps."""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import UserError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

BASE, WORKER, OPTIONS = "base", "worker", "options"
"""User attributes: what all trials have in common; who runs a trial; the options that the space made of it."""


def open_study(file: Path, name: str, base: Mapping[str, Any], prune: bool) -> "Study":
    """The study in a file, begun where there is none; trials of workers that are no more are put back.

    Raises `UserError` where Optuna is not installed, the file cannot be opened, or holds trials on another base.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("tuning needs optuna, which is not installed: pip install 'face18[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5) if prune else optuna.pruners.NopPruner()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=f"sqlite:///{file.absolute()}",
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=pruner,
        )
    except Exception as error:
        raise UserError(f"{file} cannot be opened as a study ({type(error).__name__}: {_reason(error)})") from error
    with disk_errors_of(file):
        _claim(study, file, base)
        for trial in running(study):
            if _is_gone(trial.user_attrs.get(WORKER, "")):
                put_back(study, trial)
    return study


@contextmanager
def disk_errors_of(file: Path) -> Iterator[None]:
    """Around whatever reads and writes a study: where its disk refuses, a `UserError` that names the file.

    Full, read-only and locked files come from Optuna as one exception that speaks of invalid data.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise UserError(
            f"{file} cannot be read or written any more ({_reason(error)}): make room, or free it from what locks or "
            "protects it, and the same command goes on"
        ) from error


def _reason(error: BaseException) -> str:
    """That of SQLite, in one line; above it each library says what it makes of it, with statements and addresses."""
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", None) or cause)


def _claim(study: "Study", file: Path, base: Mapping[str, Any]) -> None:
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
            f"{file} holds trials that are not comparable with these ({'; '.join(changes)}): "
            "keep it and name another folder with --outputs, or remove it"
        )


def running(study: "Study") -> "list[FrozenTrial]":
    """Trials that are at work, or were when their worker was killed."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"]


def finished(study: "Study") -> "list[FrozenTrial]":
    """Trials with a score, and those that were given up early; the best first."""
    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED")]
    return sorted(done, key=lambda trial: (trial.state.name == "PRUNED", -(trial.value or 0.0)))


def ask(study: "Study", seed: int) -> "Trial":
    """A trial that was put back, or else a new one.

    What is proposed depends on the seed, on how many proposals there were, and on their scores alone: so a search that
    was stopped, however often, goes on to the same trials.
    """
    from optuna.samplers import TPESampler

    trial = study.ask()
    trial.set_user_attr(WORKER, _myself())
    proposals = sum(_is_proposal(other) for other in study.get_trials(deepcopy=False)[: trial.number])
    study.sampler = TPESampler(seed=int(np.random.SeedSequence((seed, proposals)).generate_state(1)[0]))
    return trial


def _is_proposal(trial: "FrozenTrial") -> bool:
    """Whether it is not one that was put back, and its worker was not killed before all of it was proposed."""
    at_work = trial.state.name == "RUNNING" and WORKER in trial.user_attrs
    return (at_work or OPTIONS in trial.user_attrs) and "fixed_params" not in trial.system_attrs


def sign(trial: "Trial", options: Mapping[str, Any]) -> None:
    """Say who runs a trial, and with which options."""
    trial.set_user_attr(WORKER, _myself())
    trial.set_user_attr(OPTIONS, dict(options))


def _myself() -> str:
    return f"{platform.node()} {os.getpid()}"


def put_back(study: "Study", trial: "FrozenTrial | Trial") -> None:
    """Give up a trial, and have its parameters tried again: its training goes on where it stopped.

    Nothing is done where another worker has put it back already.
    """
    from optuna.exceptions import UpdateFinishedTrialError

    known = study.get_trials(deepcopy=False)[trial.number]
    try:
        study.tell(trial.number, state=_fail())
    except (ValueError, UpdateFinishedTrialError):
        if study.get_trials(deepcopy=False)[trial.number].state == _fail():
            return
        raise
    params = known.params if OPTIONS in known.user_attrs else known.system_attrs.get("fixed_params")
    if params is not None:
        study.enqueue_trial(params)


def _fail() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


def _is_gone(worker: str) -> bool:
    """Whether a worker on this machine is no more; of those on others nobody here can tell."""
    host, _, process = worker.rpartition(" ")
    if host != platform.node() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
