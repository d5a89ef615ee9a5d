"""The Optuna study that the workers of a search share: one SQLite file.

A trial that is stopped is *put back*: it fails, and its parameters are enqueued again, so that its training continues.
"""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


def open_study(file: Path, name: str, base: Mapping[str, Any], prune: bool) -> "Study":
    """Open or create a study, and put back the trials of workers that no longer run.

    Raises `UserError` if Optuna is not installed, the file cannot be opened, or it holds trials on another base.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("tuning needs optuna, which is not installed: pip install 'face18[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5) if prune else optuna.pruners.NopPruner()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        storage = f"sqlite:///{file.absolute()}"
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True, pruner=pruner
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
    """Turn the errors of a full, read-only or locked disk into a `UserError` that names the study's file."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise UserError(
            f"{file} cannot be read or written any more ({_reason(error)}): free disk space, or remove what locks or "
            "protects it, and run the same command again"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the message of SQLite, without the statements and addresses that the libraries above it add."""
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
            "name another folder with --outputs, or remove it"
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

    trial = study.ask()
    trial.set_user_attr(WORKER, _this_worker())
    proposals = sum(_is_proposal(other) for other in study.get_trials(deepcopy=False)[: trial.number])
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
    params = known.params if OPTIONS in known.user_attrs else known.system_attrs.get("fixed_params")
    if params is not None:
        study.enqueue_trial(params)


def _is_gone(worker: str) -> bool:
    """Return whether a worker of this machine has ended; those of other machines are taken to be alive."""
    host, _, process = worker.rpartition(" ")
    return host == platform.node() and process.isdigit() and not is_alive(int(process))
