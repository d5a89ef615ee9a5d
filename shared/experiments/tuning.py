"""The study that workers of a tuning share: an SQLite file that Optuna keeps.

Options found by trial: where `python -m pipelines.TASK.tune` leads.

Optuna proposes (TPE), a training of the usual kind answers, and what falls behind the median of the others at the same
epoch is given up. Several of these commands at once work on one study; a stopped one is taken up by repeating it. The
best options land in best.toml, which `python -m pipelines.TASK.train --config` takes.
"""

import errno
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared import tracking
from shared.commands import as_toml
from shared.experiments.measure import SpecialistOf
from shared.experiments.options import TuneOptions, labels_of
from shared.files import write_text
from shared.messages import UserError, counted, markdown_table
from shared.tracking import Record, is_recorded, origin, read_run_json, record, table_of
from shared.training.fit import Epoch
from shared.training.options import TrainOptions
from shared.training.run import RunContext, resolved_options, train

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


Space = Callable[["Trial"], Mapping[str, Any]]
"""Options and their values, as a trial suggests them."""

EFFORT = ("folds", "epochs", "size", "batch_size")
"""What a tuning may have less of than the training that its best options are for."""

FAILURES = 3
"""So many trials in a row that cannot be trained are no bad luck."""

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""Of a disk: no room, too large, not to be written."""

SHOWN = 10


class _OutOfTimeError(Exception):
    """Between two epochs; what was trained is kept."""


@dataclass(frozen=True)
class _Worker:
    specialist_of: SpecialistOf
    space: Space
    options: TuneOptions
    name: str
    root: Path
    deadline: float
    """By `time.monotonic`."""

    def work(self, study: "Study") -> None:
        """Trial after trial, until there are enough of them or the time is up."""
        failures = 0
        self._write_best(study)  # It may be that the last trial was finished by a worker that was killed then.
        while len(finished(study)) < self.options.trials and time.monotonic() < self.deadline:
            trial = ask(study, self.options.train.optimisation.seed)
            try:
                self._try(study, trial)
                failures = 0
            except UserError as error:
                if _disk_refused(error):
                    _put_back_if_possible(study, trial)
                    raise
                study.tell(trial, state=_state("FAIL"))
                failures += 1
                if failures == FAILURES:
                    raise
                print(f"trial {trial.number} cannot be trained: {error}", flush=True)
            except _OutOfTimeError:
                put_back(study, trial)
            except BaseException:
                _put_back_if_possible(study, trial)
                raise
            self._write_best(study)

    def _try(self, study: "Study", trial: "Trial") -> None:
        from optuna import TrialPruned

        chosen = dict(self.space(trial))
        options = self.options.train.with_values(**chosen, predict_eval=False)
        options = options.with_values(outputs=self.root / f"trial-{_code(options)}")
        sign(trial, options.identity())
        print(f"\ntrial {trial.number}: {_listed(chosen)}", flush=True)
        started = time.perf_counter()
        purpose = RunContext("trial", table_of(self.root), lambda fold, epoch: self._after_epoch(trial, fold, epoch))
        try:
            train(self.specialist_of(options), options, purpose)
        except TrialPruned:
            self._give_up(study, trial, options, time.perf_counter() - started)
            return
        study.tell(trial, _score(options))

    def _after_epoch(self, trial: "Trial", fold: int, epoch: Epoch) -> None:
        from optuna import TrialPruned

        train = self.options.train
        place = fold if train.run.only_fold is None else 0
        trial.report(epoch.macro_f1, place * train.optimisation.epochs + epoch.epoch)
        last = (
            place == (train.data.folds - 1 if train.run.only_fold is None else 0)
            and epoch.epoch == train.optimisation.epochs - 1
        )
        if not last and trial.should_prune():
            raise TrialPruned
        if not last and time.monotonic() > self.deadline:
            raise _OutOfTimeError

    def _give_up(self, study: "Study", trial: "Trial", options: TrainOptions, seconds: float) -> None:
        """Recorded first: a trial that a kill leaves untold is given up again."""
        reported = study.trials[trial.number].intermediate_values
        scores = {"macro_f1": reported[max(reported)], "pruned_after": len(reported)}
        run = options.run.outputs or self.root
        told = resolved_options(self.specialist_of(options), options)
        data, recipe = origin([run])
        entry = Record("trial", self.name, run, seconds, scores, told, data, recipe, seed=options.optimisation.seed)
        if not is_recorded(entry, table_of(self.root)):
            record(entry, table_of(self.root), options.run.track)
        study.tell(trial, state=_state("PRUNED"))
        shutil.rmtree(run, ignore_errors=True)

    def _write_best(self, study: "Study") -> None:
        trials = [trial for trial in finished(study) if trial.state.name == "COMPLETE"]
        if not trials:
            return
        best, defaults = trials[0], self.options.train
        said = f"# {self.name}: best of {counted(len(finished(study)), 'trial')}, macro F1 {best.value:.4f} at\n"
        effort = ", ".join(f"{name} {defaults.values()[name]}" for name in (*EFFORT, "only_fold"))
        write_text(
            self.root / "best.toml", f"{said}# {effort}\n{as_toml(self._worth_saying(best.user_attrs[OPTIONS]))}"
        )

    def _worth_saying(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """What the space chose, and what else of the trial is not as trainings have it by themselves."""
        plain = type(self.options.train)().identity()
        base = self.options.train.identity()
        chosen = {name: value for name, value in found.items() if value != base.get(name)}
        told = {name: value for name, value in base.items() if value != plain.get(name) and name not in EFFORT}
        return {**told, **chosen}


def _disk_refused(error: UserError) -> bool:
    """Whether a file could not be written, which is no fault of the options that are tried."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in REFUSALS


def _put_back_if_possible(study: "Study", trial: "Trial") -> None:
    """What went wrong is to be told, even where the study is the trouble: then the next command puts the trial back."""
    with suppress(Exception):
        put_back(study, trial)


def tune(specialist_of: SpecialistOf, space: Space, options: TuneOptions) -> None:
    """Try options until there are enough trials or the time is up; prints the best, and writes best.toml.

    Raises `UserError` where Optuna is not installed, the study is one on another base or cannot be read and written, or
    trials cannot be trained.
    """
    tracking.check(options.train.run.track)
    name = specialist_of(options.train).name
    root = options.train.run.outputs or Path("outputs") / f"{name}-tuning"
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    base = {
        **options.train.identity(),
        "only_fold": options.train.run.only_fold,
        "data": str(options.train.data.data.absolute()),
        "extra": [str(folder.absolute()) for folder in options.train.data.extra],
        **labels_of(options.train),
    }
    file = root / "study.db"
    study = open_study(file, name, base, options.prune)
    with disk_errors_of(file):
        _Worker(specialist_of, space, options, name, root, deadline).work(study)
        print(f"\n{summary(study)}\n")
    if (root / "best.toml").exists():
        print(f"python -m pipelines.{name}.train --config {root / 'best.toml'}   trains with the best")


def summary(study: "Study") -> str:
    """The best trials as a Markdown table."""
    trials = finished(study)
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    rows = []
    for trial in trials[:SHOWN]:
        params = [_short(trial.params.get(name)) for name in names]
        pruned = (
            f"given up after {counted(len(trial.intermediate_values), 'epoch')}" if trial.state.name == "PRUNED" else ""
        )
        rows.append([str(trial.number), f"{trial.value:.4f}", *params, pruned])
    table = markdown_table(["trial", "macro F1", *names, ""], rows)
    return f"{counted(len(trials), 'trial')} finished, the best first\n\n{table}"


def _code(options: TrainOptions) -> str:
    return hashlib.sha256(json.dumps(options.identity(), sort_keys=True).encode()).hexdigest()[:8]


def _score(options: TrainOptions) -> float:
    return float(read_run_json(options.run.outputs or Path())["scores"]["held out"]["macro_f1"])


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _listed(chosen: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in chosen.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
