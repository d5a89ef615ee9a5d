"""Options found by trial: a study that workers share, and what comes of it."""

import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import FixedTrial, TrialState
from tiny_crops import RECIPE as CROP_RECIPE
from tiny_training import FLAGS, write_data

from pipelines.age.options import DEFAULTS as AGE_DEFAULTS
from pipelines.age.tune import space as age_space
from pipelines.gender.specialist import GENDER
from pipelines.gender.tune import space as gender_space
from pipelines.mask.tune import space as mask_space
from shared.commands import parse
from shared.experiments.options import TuneOptions
from shared.experiments.study import ask, finished, open_study, put_back, running, sign
from shared.experiments.tuning import summary, tune
from shared.messages import UserError
from shared.tracking import read_runs
from shared.training.fit import FoldTraining
from shared.training.options import TrainOptions


def space(trial: Any) -> dict[str, Any]:
    return {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True), "balance": trial.suggest_categorical("b", [True])}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> TuneOptions:
    folder = tmp_path_factory.mktemp("tuning")
    write_data(folder)
    train = TrainOptions().with_values(data=folder / "data", crops=folder / "crops", **FLAGS)  # type: ignore[arg-type]
    return TuneOptions(train.with_values(epochs=2, outputs=folder / "outputs/gender-tuning"), trials=2)


def study_of(options: TuneOptions) -> optuna.Study:
    assert options.train.run.outputs is not None
    return optuna.load_study(study_name="gender", storage=f"sqlite:///{options.train.run.outputs / 'study.db'}")


def test_trials_are_on_record_and_the_best_options_train_by_their_file(options: TuneOptions) -> None:
    tune(lambda _: GENDER, space, options)
    assert options.train.run.outputs is not None
    study = study_of(options)
    rows = read_runs(options.train.run.outputs.parent / "runs.csv").query("kind == 'trial'")
    assert sorted(row["options"]["lr"] for _, row in rows.iterrows()) == sorted(t.params["lr"] for t in study.trials)
    best = options.train.run.outputs / "best.toml"
    taken = parse(TrainOptions(), ["--config", str(best)])
    assert taken.optimisation.lr == study.best_params["lr"]
    assert taken.sampling.balance is True
    assert taken.optimisation.label_smoothing == TrainOptions().optimisation.label_smoothing
    assert (taken.optimisation.epochs, taken.model.size) == (
        TrainOptions().optimisation.epochs,
        TrainOptions().model.size,
    )

    # A second call adds what is missing, and no more.
    tune(lambda _: GENDER, space, replace(options, trials=3))
    tune(lambda _: GENDER, space, replace(options, trials=3))
    assert len(finished(study_of(options))) == 3


def test_other_trials_do_not_join_a_study(tmp_path: Path) -> None:
    open_study(tmp_path / "study.db", "gender", {"size": 96}, prune=True)
    with pytest.raises(UserError, match=r"study.db holds trials .*--size was 96, now 112"):
        open_study(tmp_path / "study.db", "gender", {"size": 112}, prune=True)


def test_trials_on_other_labels_do_not_join_a_study(options: TuneOptions, tmp_path: Path) -> None:
    here = replace(options, train=options.train.with_values(outputs=tmp_path / "t"), minutes=1e-9)
    tune(lambda _: GENDER, space, here)
    tune(lambda _: GENDER, space, here)
    with pytest.raises(UserError, match="--skip-bad was None, now True"):
        tune(lambda _: GENDER, space, replace(here, train=here.train.with_values(skip_bad=True)))


def test_a_file_that_is_no_study_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database, but long enough to be taken for something else")
    with pytest.raises(UserError, match=r"study.db cannot be opened as a study"):
        open_study(tmp_path / "study.db", "gender", {}, prune=True)


def test_a_trial_that_falls_behind_is_pruned_and_its_folder_removed(
    options: TuneOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = replace(options, train=options.train.with_values(outputs=tmp_path / "outputs/t"), trials=1)
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda _: True)
    tune(lambda _: GENDER, space, here)
    trial = study_of(here).trials[0]
    assert trial.state == TrialState.PRUNED
    assert [*trial.intermediate_values] == [0]
    row = read_runs(tmp_path / "outputs/runs.csv").iloc[-1]
    assert (row["kind"], row["scores"]["pruned_after"]) == ("trial", 1)
    assert (len(row["data"]), row["recipe"]) == (16, CROP_RECIPE)
    assert not [*(tmp_path / "outputs/t").glob("trial-*")]
    assert "pruned after 1 epoch" in summary(study_of(here))


def test_a_trial_that_is_interrupted_is_put_back_and_goes_on(
    options: TuneOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = replace(options, train=options.train.with_values(outputs=tmp_path / "outputs/t"), trials=1)

    trained, train_epoch = 0, FoldTraining.train_epoch

    def count(training: FoldTraining, bar: Any) -> float:
        nonlocal trained
        trained += 1
        return train_epoch(training, bar)

    monkeypatch.setattr(FoldTraining, "train_epoch", count)

    def interrupt(_: optuna.Trial) -> bool:
        raise KeyboardInterrupt

    prune = optuna.Trial.should_prune
    monkeypatch.setattr(optuna.Trial, "should_prune", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tune(lambda _: GENDER, space, here)
    monkeypatch.setattr(optuna.Trial, "should_prune", prune)
    assert [*(tmp_path / "outputs/t").glob("trial-*/fold0/resume.pt")]
    tune(lambda _: GENDER, space, here)
    stopped, again = study_of(here).trials
    assert (stopped.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert stopped.params == again.params
    assert [*again.intermediate_values] == [0, 1]
    assert trained == 2, "the first epoch was trained twice"


def test_ctrl_c_stays_ctrl_c_where_the_study_can_no_longer_be_written(
    options: TuneOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StorageInternalError

    def interrupted(_: optuna.Trial) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr("shared.experiments.tuning.put_back", refused)
    with pytest.raises(KeyboardInterrupt):
        tune(lambda _: GENDER, interrupted, replace(options, train=options.train.with_values(outputs=tmp_path / "t")))


def test_the_trial_of_a_killed_worker_is_put_back(tmp_path: Path) -> None:
    study = open_study(tmp_path / "study.db", "gender", {}, prune=True)
    trial = study.ask()
    lr = trial.suggest_float("lr", 0.0, 1.0)
    sign(trial, {})
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    assert len(running(open_study(tmp_path / "study.db", "gender", {}, prune=True))) == 1, "its worker is alive"
    worker = f"{trial.user_attrs['worker'].rpartition(' ')[0]} {gone.stdout.strip()}"
    trial.set_user_attr("worker", worker)
    again = open_study(tmp_path / "study.db", "gender", {}, prune=True)
    assert not running(again)
    assert again.ask().suggest_float("lr", 0.0, 1.0) == lr


def test_a_trial_that_two_workers_put_back_is_tried_once(tmp_path: Path) -> None:
    study = open_study(tmp_path / "study.db", "gender", {}, prune=True)
    trial = study.ask()
    lr = trial.suggest_float("lr", 0.0, 1.0)
    sign(trial, {})
    for _ in range(2):
        put_back(study, trial)
    assert [each.state.name for each in study.get_trials()] == ["FAIL", "WAITING"]
    assert study.ask().suggest_float("lr", 0.0, 1.0) == lr


def test_a_worker_killed_at_any_moment_changes_no_proposal(tmp_path: Path) -> None:
    undisturbed = open_study(tmp_path / "undisturbed.db", "gender", {}, prune=True)
    wanted = []
    for number in range(4):
        trial = ask(undisturbed, seed=3)
        wanted.append(trial.suggest_float("lr", 0.0, 1.0))
        sign(trial, {})
        undisturbed.tell(trial, number)
    assert len(set(wanted)) == 4
    study, found = open_study(tmp_path / "study.db", "gender", {}, prune=True), []
    for number in range(4):
        for kill in ("as soon as it was asked for", "before all was proposed", "at work"):
            trial = ask(study, seed=3)
            if kill != "as soon as it was asked for":
                assert trial.suggest_float("lr", 0.0, 1.0) == wanted[number]
            if kill == "at work":
                sign(trial, {})
            put_back(study, trial)
        trial = ask(study, seed=3)
        found.append(trial.suggest_float("lr", 0.0, 1.0))
        sign(trial, {})
        study.tell(trial, number)
    assert found == wanted


def test_a_worker_waits_for_the_last_trial_of_another_one_and_takes_over_what_it_leaves(
    options: TuneOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = replace(options, train=options.train.with_values(outputs=tmp_path / "t"), trials=1)
    tune(lambda _: GENDER, space, replace(here, minutes=1e-9))
    other = study_of(here).ask()
    lr = other.suggest_float("lr", 1e-4, 1e-2, log=True)
    sign(other, {})

    def dies(_: float) -> None:
        other.set_user_attr("worker", f"{platform.node()} {gone.strip()}")

    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout
    monkeypatch.setattr("shared.experiments.tuning.time.sleep", dies)
    tune(lambda _: GENDER, space, here)
    assert [(trial.state.name, trial.params["lr"]) for trial in study_of(here).trials] == [
        ("FAIL", lr),
        ("COMPLETE", lr),
    ]


def test_several_processes_are_refused(options: TuneOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="without torchrun"):
        tune(lambda _: GENDER, space, options)


@pytest.mark.parametrize(
    ("space_of", "defaults", "side"),
    [(mask_space, TrainOptions(), 0.7), (gender_space, TrainOptions(), 1.0), (age_space, AGE_DEFAULTS, 0.8)],
)
def test_a_search_space_suggests_options_that_there_are(space_of: Any, defaults: TrainOptions, side: float) -> None:
    numbers = {"lr": 1e-3, "weight_decay": 0.01, "dropout": 0.1, "label_smoothing": 0.1}
    choices = {"mixup": 0.2, "balance": True, "ema": 0.99, "scheduler": "cosine"}
    chosen = space_of(FixedTrial({"side": side, **numbers, **choices}))
    assert defaults.with_values(**chosen).model.window[0] == side  # type: ignore[index]
