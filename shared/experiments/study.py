"""The study that workers of a tuning share: an SQLite file that Optuna keeps."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        raise UserError(f"{file} cannot be opened as a study ({type(error).__name__}: {error})") from error
    _claim(study, file, base)
    for trial in running(study):
        if _is_gone(trial.user_attrs.get(WORKER, "")):
            put_back(study, trial)
    return study


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


def sign(trial: "Trial", options: Mapping[str, Any]) -> None:
    """Say who runs a trial, and with which options."""
    trial.set_user_attr(WORKER, f"{platform.node()} {os.getpid()}")
    trial.set_user_attr(OPTIONS, dict(options))


def put_back(study: "Study", trial: "FrozenTrial | Trial") -> None:
    """Give up a trial, and have its parameters tried again: its training goes on where it stopped."""
    study.tell(trial.number, state=_fail())
    study.enqueue_trial(trial.params)


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
