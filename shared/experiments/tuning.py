"""Options found by trial: where `python -m pipelines.TASK.tune` leads.

Optuna proposes (TPE), a training of the usual kind answers, and what falls behind the median of the others at the same
epoch is given up. Several of these commands at once work on one study; a stopped one is taken up by repeating it. The
best options land in best.toml, which `python -m pipelines.TASK.train --config` takes.
"""

import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import tracking
from shared.answers.files import RUN
from shared.atomic import write_text
from shared.configuration import as_toml
from shared.errors import UserError
from shared.experiments.measuring import SpecialistOf
from shared.experiments.options import TuneOptions, labels_of
from shared.experiments.study import OPTIONS, ask, disk_errors_of, finished, open_study, put_back, sign
from shared.records import Record, is_recorded, origin, record, table_of
from shared.training.adjusted import resolved
from shared.training.fold import Epoch
from shared.training.options import TrainOptions
from shared.training.purpose import Purpose
from shared.training.run import train
from shared.wording import counted, markdown_table

if TYPE_CHECKING:
    from optuna import Study, Trial

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
            trial = ask(study, self.options.train.seed)
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
        options = replace(self.options.train, **chosen, answer_eval=False)
        options = replace(options, outputs=self.root / f"trial-{_code(options)}")
        sign(trial, options.identity())
        print(f"\ntrial {trial.number}: {_listed(chosen)}", flush=True)
        started = time.perf_counter()
        purpose = Purpose("trial", table_of(self.root), lambda fold, epoch: self._after_epoch(trial, fold, epoch))
        try:
            train(self.specialist_of(options), options, purpose)
        except TrialPruned:
            self._give_up(study, trial, options, time.perf_counter() - started)
            return
        study.tell(trial, _score(options))

    def _after_epoch(self, trial: "Trial", fold: int, epoch: Epoch) -> None:
        from optuna import TrialPruned

        train = self.options.train
        place = fold if train.only_fold is None else 0
        trial.report(epoch.macro_f1, place * train.epochs + epoch.epoch)
        last = place == (train.folds - 1 if train.only_fold is None else 0) and epoch.epoch == train.epochs - 1
        if not last and trial.should_prune():
            raise TrialPruned
        if not last and time.monotonic() > self.deadline:
            raise _OutOfTimeError

    def _give_up(self, study: "Study", trial: "Trial", options: TrainOptions, seconds: float) -> None:
        """Recorded first: a trial that a kill leaves untold is given up again."""
        reported = study.trials[trial.number].intermediate_values
        scores = {"macro_f1": reported[max(reported)], "pruned_after": len(reported)}
        run = options.outputs or self.root
        told = resolved(self.specialist_of(options), options)
        data, recipe = origin([run])
        entry = Record("trial", self.name, run, seconds, scores, told, data, recipe, seed=options.seed)
        if not is_recorded(entry, table_of(self.root)):
            record(entry, table_of(self.root), options.track)
        study.tell(trial, state=_state("PRUNED"))
        shutil.rmtree(run, ignore_errors=True)

    def _write_best(self, study: "Study") -> None:
        trials = [trial for trial in finished(study) if trial.state.name == "COMPLETE"]
        if not trials:
            return
        best, defaults = trials[0], self.options.train
        said = f"# {self.name}: best of {counted(len(finished(study)), 'trial')}, macro F1 {best.value:.4f} at\n"
        effort = ", ".join(f"{name} {getattr(defaults, name)}" for name in (*EFFORT, "only_fold"))
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
    tracking.check(options.train.track)
    name = specialist_of(options.train).name
    root = options.train.outputs or Path("outputs") / f"{name}-tuning"
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    base = {
        **options.train.identity(),
        "only_fold": options.train.only_fold,
        "data": str(options.train.data.absolute()),
        "extra": [str(folder.absolute()) for folder in options.train.extra],
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
    report = json.loads(((options.outputs or Path()) / RUN).read_text(encoding="utf-8"))
    return float(report["scores"]["held out"]["macro_f1"])


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _listed(chosen: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in chosen.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
