"""Search options by trial: `python -m pipelines.TASK.tune`.

Optuna proposes options (TPE), a normal training scores them, and a trial below the median of the others at the same
epoch is pruned. Several of these commands share a study; a stopped one continues when it is repeated. The best options
are written to best.toml for `python -m pipelines.TASK.train --config`.
"""

import errno
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import tracking
from shared.commands import as_toml
from shared.experiments.measure import SpecialistOf
from shared.experiments.options import TuneOptions, cache_key, label_options, refuse_several_processes
from shared.experiments.study import (
    OPTIONS,
    ask,
    finished,
    heartbeats,
    open_study,
    others_at_work,
    put_back,
    put_back_lost,
    sign,
    storage_errors_of,
)
from shared.files import write_text
from shared.manifest import split_folder
from shared.messages import UserError, counted, markdown_table
from shared.tracking import Record, is_recorded, origin, read_run_json, record, table_of
from shared.training.options import TrainOptions
from shared.training.run import RunContext, resolved_options, train
from shared.training.run_folder import Epoch

if TYPE_CHECKING:
    from optuna import Study, Trial

Space = Callable[["Trial"], Mapping[str, Any]]
"""Returns options and their values, as a trial suggests them."""

EFFORT = ("folds", "epochs", "size", "batch_size")
"""Options that best.toml leaves out, because a search may use less of them than the final training."""

FAILURES = 3
"""Consecutive failed trials that end the search."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""Error numbers of a disk that is full or must not be written."""

WAIT_SECONDS = 2
"""Between two looks at the trials of other workers."""

SHOWN = 10
"""Trials of the printed table."""


class _OutOfTimeError(Exception):
    """Raised between two epochs when --minutes are over; the training can be continued."""


def tune(specialist_of: SpecialistOf, space: Space, options: TuneOptions) -> None:
    """Run trials until there are enough or the time is over; print the best and write best.toml.

    Raises `UserError` if Optuna is not installed, the study is on another base or cannot be read and written, or
    trials cannot be trained.
    """
    refuse_several_processes("tune")
    tracking.check(options.train.run.track)
    split_folder(options.train.data.data, "train")  # Without data every trial would fail.
    name = specialist_of(options.train).name
    root = options.train.run.outputs or Path("outputs") / f"{name}-tuning"
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    base = {
        **options.train.identity(),
        "only_fold": options.train.run.only_fold,
        "data": str(options.train.data.data.absolute()),
        "extra": [str(folder.absolute()) for folder in options.train.data.extra],
        **label_options(options.train),
    }
    # A database holds several searches, a folder one.
    place, study_name = (root / "study.db", name) if options.storage is None else (options.storage, root.name)
    study = open_study(place, study_name, base, options.prune)
    with storage_errors_of(place):
        _Search(study, specialist_of, space, options, name, root, deadline).run()
        print(f"\n{summary(study)}\n")
    if (root / "best.toml").exists():
        print(f"python -m pipelines.{name}.train --config {root / 'best.toml'}   trains with the best")


def summary(study: "Study") -> str:
    """Return the best trials as a Markdown table."""
    trials = finished(study)
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    rows = []
    for trial in trials[:SHOWN]:
        params = [_short(trial.params.get(name)) for name in names]
        epochs = counted(len(trial.intermediate_values), "epoch")
        pruned = f"pruned after {epochs}" if trial.state.name == "PRUNED" else ""
        rows.append([str(trial.number), f"{trial.value:.4f}", *params, pruned])
    table = markdown_table(["trial", "macro F1", *names, ""], rows)
    return f"{counted(len(trials), 'trial')} finished, the best first\n\n{table}"


@dataclass(frozen=True)
class _Search:
    study: "Study"
    specialist_of: SpecialistOf
    space: Space
    options: TuneOptions
    name: str
    root: Path
    deadline: float
    """By `time.monotonic`."""

    def run(self) -> None:
        """Run one trial after another."""
        from optuna.exceptions import UpdateFinishedTrialError

        failures = 0
        self._write_best()  # A worker may have been killed between its last trial and this file.
        while self._wait_for_work():
            trial = ask(self.study, self.options.train.optimisation.seed)
            try:
                with heartbeats(self.study, trial):
                    self._try(trial)
                failures = 0
            except UpdateFinishedTrialError:
                print(f"trial {trial.number} was given to another worker, because this one was silent", flush=True)
            except UserError as error:
                failures += 1
                if _is_disk_error(error):
                    self._put_back_if_possible(trial)
                    raise
                self._tell(trial, "FAIL")
                if failures == FAILURES:
                    raise
                print(f"trial {trial.number} cannot be trained: {error}", flush=True)
            except _OutOfTimeError:
                put_back(self.study, trial)
            except BaseException:
                self._put_back_if_possible(trial)
                raise
            self._write_best()

    def _wait_for_work(self) -> bool:
        """Return whether a trial is to be run; False if there are enough, or the time is over.

        While the last trials are at work elsewhere it waits: if their worker dies, this one takes them over.
        """
        while time.monotonic() < self.deadline:
            put_back_lost(self.study)
            missing = self.options.trials - len(finished(self.study))
            if missing <= 0:
                return False
            if others_at_work(self.study) < missing:
                return True
            time.sleep(WAIT_SECONDS)
        return False

    def _try(self, trial: "Trial") -> None:
        from optuna import TrialPruned

        chosen = dict(self.space(trial))
        options = self.options.train.with_values(**chosen, predict_eval=False)
        run = self.root / f"trial-{cache_key(options)}"
        options = options.with_values(outputs=run)
        sign(trial, options.identity())
        print(
            f"\ntrial {trial.number}: {' '.join(f'{key}={_short(value)}' for key, value in chosen.items())}", flush=True
        )
        started = time.perf_counter()
        context = RunContext("trial", table_of(self.root), lambda fold, epoch: self._after_epoch(trial, fold, epoch))
        try:
            train(self.specialist_of(options), options, context)
        except TrialPruned:
            self._prune(trial, options, run, time.perf_counter() - started)
        else:
            score = float(read_run_json(run)["scores"]["held out"]["macro_f1"])
            self.study.tell(trial, score, skip_if_finished=True)

    def _after_epoch(self, trial: "Trial", fold: int, epoch: Epoch) -> None:
        from optuna import TrialPruned

        train = self.options.train
        folds, epochs = train.data.folds if train.run.only_fold is None else 1, train.optimisation.epochs
        step = (fold if train.run.only_fold is None else 0) * epochs + epoch.epoch
        trial.report(epoch.macro_f1, step)
        if step == folds * epochs - 1:
            return
        if trial.should_prune():
            raise TrialPruned
        if time.monotonic() > self.deadline:
            raise _OutOfTimeError

    def _prune(self, trial: "Trial", options: TrainOptions, run: Path, seconds: float) -> None:
        """Record a pruned trial, then tell the study: a kill in between makes the trial run and be pruned again."""
        reported = self.study.trials[trial.number].intermediate_values
        scores = {"macro_f1": reported[max(reported)], "pruned_after": len(reported)}
        values = resolved_options(self.specialist_of(options), options)
        data, recipe = origin([run])
        seed = options.optimisation.seed
        entry = Record("trial", self.name, run, seconds, scores, values, data, recipe, seed=seed)
        if not is_recorded(entry, table_of(self.root)):
            record(entry, table_of(self.root), options.run.track)
        self._tell(trial, "PRUNED")
        shutil.rmtree(run, ignore_errors=True)

    def _tell(self, trial: "Trial", state: str) -> None:
        from optuna.trial import TrialState

        # Finished already if this worker was silent for so long that another one has taken over.
        self.study.tell(trial, state=TrialState[state], skip_if_finished=True)

    def _put_back_if_possible(self, trial: "Trial") -> None:
        """Put a trial back; if the study itself cannot be written, the next command does it."""
        with suppress(Exception):
            put_back(self.study, trial)

    def _write_best(self) -> None:
        trials = [trial for trial in finished(self.study) if trial.state.name == "COMPLETE"]
        if not trials:
            return
        best, values = trials[0], self.options.train.values()
        effort = ", ".join(f"{name} {values[name]}" for name in (*EFFORT, "only_fold"))
        count = counted(len(finished(self.study)), "trial")
        comment = f"# {self.name}: best of {count}, macro F1 {best.value:.4f} at\n# {effort}\n"
        write_text(self.root / "best.toml", comment + as_toml(self._options_to_keep(best.user_attrs[OPTIONS])))

    def _options_to_keep(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the space chose, and what else differs from the defaults of a training."""
        defaults = type(self.options.train)().identity()
        base = self.options.train.identity()
        given = {name: value for name, value in base.items() if value != defaults.get(name) and name not in EFFORT}
        return {**given, **{name: value for name, value in found.items() if value != base.get(name)}}


def _is_disk_error(error: UserError) -> bool:
    """Return whether a file could not be written, which is not the fault of the options."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in DISK_ERRORS


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
