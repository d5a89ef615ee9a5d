"""The loop, on colours that tell the labels and the smallest network that timm has."""

import json
import multiprocessing
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from tiny_competition import people, write_train
from tiny_crops import write_crops
from tiny_training import FLAGS, write_data

from pipelines.age.specialist import AGE
from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared.crops import UNREADABLE, open_crops
from shared.fusion.predictions import read_held_out, read_predictions
from shared.labels import IMAGE_KINDS
from shared.manifest import load_training
from shared.messages import UserError
from shared.runs import read_runs
from shared.specialist import Specialist
from shared.tracking import Record, record
from shared.training import inference as ensemble
from shared.training import run as training_run
from shared.training.extra_data import NEVER_HELD_OUT
from shared.training.fit import FoldTraining
from shared.training.inference import PredictOptions, predict
from shared.training.options import TrainOptions
from shared.training.run import PLAIN_TRAINING, RunContext, labelled_crops, prepare, train
from shared.training.run_folder import Epoch, fingerprint
from shared.training.sampling import prepare_fold


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    """24 persons with crops, of whom every third is held out; outputs have to be named by the test."""
    folder = tmp_path_factory.mktemp("training")
    write_data(folder, 24, IMAGE_KINDS)
    tiny = {**FLAGS, "folds": 3, "epochs": 3, "lr": 3e-3, "drawn_masks": 0}
    return TrainOptions.of(data=folder / "data", crops=folder / "crops", **tiny)


@pytest.fixture
def here(options: TrainOptions, tmp_path: Path) -> TrainOptions:
    return options.with_values(outputs=tmp_path / "run")


def files_of(run: Path | None) -> dict[str, bytes]:
    """What a run leaves that must not depend on when, where and in how many tries it was made."""
    assert run is not None
    files = [*run.rglob("*.csv"), *run.rglob("*.safetensors")]
    return {str(file.relative_to(run)): file.read_bytes() for file in files if file.name != "history.csv"}


def test_visible_labels_are_learned(here: TrainOptions) -> None:
    train(GENDER, here.with_values(epochs=8))
    assert here.run.outputs is not None
    report = json.loads((here.run.outputs / "run.json").read_text())
    assert report["scores"]["held out"]["macro_f1"] > 0.9
    assert report["scores"]["held out"]["images"] == 8 * 7


@pytest.mark.parametrize("specialist", [MASK, GENDER, AGE], ids=lambda specialist: specialist.name)
def test_every_specialist_leaves_held_out_and_eval_predictions(here: TrainOptions, specialist: Specialist) -> None:
    train(specialist, here.with_values(epochs=1))
    assert here.run.outputs is not None
    oof = read_held_out(here.run.outputs / "oof.csv", specialist.classes)
    table, _ = labelled_crops(here.data)
    held_out = table[table["fold"] == 0].set_index("image")
    assert sorted(oof.index) == sorted(held_out.index)
    assert (oof["truth"] == pd.Series(specialist.truth(held_out), held_out.index)).all()
    assert len(read_predictions(here.run.outputs / "eval.csv", specialist.classes)) == 9


def test_an_age_label_in_two_bands_is_learned_and_never_held_out(
    here: TrainOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = people(24)
    rows[0]["age"], rows[1]["age"] = "25-34", "unknown"
    table = load_training(write_train(tmp_path / "data/train", rows))
    write_crops(table.fillna({"age": 30}), tmp_path / "crops/train")
    here = here.with_values(data=tmp_path / "data", crops=tmp_path / "crops", only_fold=None, folds=2, balance=True)
    training = prepare(AGE, here, PLAIN_TRAINING)
    assert set(training.table["person"]) == {row["id"] for row in rows} - {rows[1]["id"]}
    assert "left out: 7 images" in capsys.readouterr().out
    of_person = (training.table["person"] == rows[0]["id"]).to_numpy()
    for fold in range(2):
        data = prepare_fold(AGE, here, training.table, training.crops, fold)
        assert len(data.held_out) + len(data.train) == len(training.table)
        targets = training.specialist.targets(training.table[of_person])
        assert targets.tolist() == [[25, 34, 0]] * 7
        shown = training.table[training.table["fold"] != fold].reset_index(drop=True)
        drawn = shown["person"].iloc[[draw.row for draw in data.sampler]]
        assert 0 < (drawn == rows[0]["id"]).sum() < 30  # 7 images, twice as often as the others at most.
    assert set(training.table["fold"][of_person]) == {NEVER_HELD_OUT}


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_fold_keeps_the_weights_of_its_last_epoch_or_of_its_best(here: TrainOptions, keep: str) -> None:
    # At a rate at which the score rises and falls.
    train(GENDER, here.with_values(keep=keep, tta="none", scheduler="none", lr=0.03, epochs=3))
    assert here.run.outputs is not None
    scores = pd.read_csv(here.run.outputs / "fold0/history.csv")["macro_f1"]
    assert scores.iloc[-1] < scores.max()
    report = json.loads((here.run.outputs / "run.json").read_text())
    assert report["scores"]["fold0"]["macro_f1"] == pytest.approx(scores.iloc[-1] if keep == "last" else scores.max())


def test_the_same_command_twice_gives_the_same_numbers(here: TrainOptions, tmp_path: Path) -> None:
    here = here.with_values(drawn_masks=0.5)
    other = here.with_values(outputs=tmp_path / "again", workers=1)
    train(AGE, here)
    train(AGE, other)
    assert files_of(here.run.outputs) == files_of(other.run.outputs)


def test_another_seed_gives_other_numbers_on_the_same_folds(here: TrainOptions, tmp_path: Path) -> None:
    here = here.with_values(epochs=1)
    other = here.with_values(outputs=tmp_path / "other", seed=1)
    train(GENDER, here)
    train(GENDER, other)
    first, second = files_of(here.run.outputs), files_of(other.run.outputs)
    assert first["fold0/weights.safetensors"] != second["fold0/weights.safetensors"]
    assert first["oof.csv"].splitlines()[1].split(b",")[:4] == second["oof.csv"].splitlines()[1].split(b",")[:4]


@pytest.mark.parametrize("scheduler", ["one-cycle", "plateau"])
def test_a_training_stopped_between_epochs_continues_to_the_same_result(
    here: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    masks = 0.5 if scheduler == "plateau" else 0.0
    whole = here.with_values(outputs=tmp_path / "whole", scheduler=scheduler, drawn_masks=masks)  # type: ignore[arg-type]
    train(GENDER, whole)

    stopped = whole.with_values(outputs=here.run.outputs)
    keep = FoldTraining._keep

    def keep_and_die(self: FoldTraining) -> None:
        keep(self)
        if len(self._history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(FoldTraining, "_keep", keep_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(GENDER, stopped)
    monkeypatch.setattr(FoldTraining, "_keep", keep)
    assert stopped.run.outputs is not None
    assert (stopped.run.outputs / "fold0/resume.pt").exists()
    train(GENDER, stopped)
    assert files_of(stopped.run.outputs) == files_of(whole.run.outputs)
    assert not (stopped.run.outputs / "fold0/resume.pt").exists()


def test_a_finished_fold_is_not_trained_again_and_other_options_are_refused(
    here: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(GENDER, here.with_values(epochs=1))
    before = files_of(here.run.outputs)
    with monkeypatch.context() as patch:
        patch.setattr(training_run, "FoldTraining", None)
        train(GENDER, here.with_values(epochs=1))
    with pytest.raises(UserError, match=r"--lr was 0.003, now 0.5.*--overwrite"):
        train(GENDER, here.with_values(epochs=1, lr=0.5))
    assert files_of(here.run.outputs) == before
    train(GENDER, here.with_values(epochs=1, lr=0.01, overwrite=True))
    assert files_of(here.run.outputs) != before


def test_a_loss_that_is_no_number_stops_with_a_word_on_what_to_change(here: TrainOptions) -> None:
    with pytest.raises(UserError, match=r"became (nan|inf).*lower --lr"):
        train(AGE, here.with_values(lr=1e30, scheduler="none"))


def test_a_person_in_two_folds_stops_the_training(here: TrainOptions) -> None:
    table, crops = labelled_crops(here.data)
    table.loc[0, "fold"] = (table.loc[0, "fold"] + 1) % 3
    with pytest.raises(UserError, match="two folds"):
        prepare_fold(GENDER, here, table, crops, 0)


def test_missing_eval_crops_are_told_before_anything_is_trained(here: TrainOptions, tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops/train").symlink_to(here.data.crops / "train")
    with pytest.raises(UserError, match=r"crops/eval"):
        train(GENDER, here.with_values(crops=tmp_path / "crops"))


def test_images_that_could_not_be_read_are_left_out_of_training(here: TrainOptions, tmp_path: Path) -> None:
    table = load_training(here.data.data / "train")
    write_crops(table, tmp_path / "crops/train")
    index = pd.read_csv(tmp_path / "crops/train/index.csv")
    index.loc[[0, 5], "found"] = UNREADABLE
    index.to_csv(tmp_path / "crops/train/index.csv", index=False)
    kept, crops = labelled_crops(here.with_values(crops=tmp_path / "crops").data)
    assert len(kept) == len(crops.index) == len(table) - 2


def test_persons_under_two_ids_are_held_out_together(here: TrainOptions, tmp_path: Path) -> None:
    alone, crops = labelled_crops(here.data)
    folds = alone.drop_duplicates("person").set_index("person")["fold"]
    one, other = folds.index[folds == 0][0], folds.index[folds == 1][0]
    file = tmp_path / "duplicates.csv"
    file.write_text(f"id,other\n{one},{other}\n")
    together, _ = labelled_crops(here.with_values(group_duplicates=file).data)
    assert set(together["fold"][together["person"].isin([one, other])]) == {folds[min(one, other)]}
    assert fingerprint(GENDER, together, crops) != fingerprint(GENDER, alone, crops)


def test_predict_gives_the_same_predictions_as_training_did(
    here: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "make_crops", lambda _, folder: open_crops(folder))
    monkeypatch.setattr(ensemble, "RECIPE", SimpleNamespace(id=open_crops(here.data.crops / "eval").recipe))
    train(AGE, here.with_values(tta="all", epochs=1))
    assert here.run.outputs is not None
    out = tmp_path / "eval.csv"
    predict(
        AGE,
        PredictOptions(here.data.data, here.data.crops, here.run.outputs, out, batch_size=8, device="cpu", workers=0),
    )
    assert out.read_bytes() == (here.run.outputs / "eval.csv").read_bytes()


def test_predict_without_a_trained_fold_says_what_trains_one(here: TrainOptions) -> None:
    with pytest.raises(UserError, match=r"pipelines.age.train"):
        predict(AGE, PredictOptions(here.data.data, here.data.crops, here.run.outputs))


@pytest.mark.parametrize(
    ("flag", "change"),
    [
        ("--folds", {"folds": 1}),
        ("--only-fold", {"only_fold": 5}),
        ("--epochs", {"epochs": 0}),
        ("--batch-size", {"batch_size": 1}),
        ("--lr", {"lr": float("nan")}),
        ("--dropout", {"dropout": 1.0}),
        ("--ema", {"ema": 1.0}),
        ("--drawn-masks", {"drawn_masks": 1.1}),
        ("--extra-draws", {"extra_draws": -1}),
        ("--seed", {"seed": -1}),
    ],
)
def test_a_value_out_of_range_names_its_flag(flag: str, change: dict[str, float]) -> None:
    with pytest.raises(UserError, match=flag):
        TrainOptions.of(**change)  # type: ignore[arg-type]


def test_the_processes_that_read_for_a_fold_end_with_it(here: TrainOptions) -> None:
    reading: dict[int, int] = {}

    def count(fold: int, epoch: Epoch) -> None:
        del epoch
        reading[fold] = len(new())

    def new() -> set[object]:
        return {*multiprocessing.active_children()} - before

    before = {*multiprocessing.active_children()}
    train(GENDER, here.with_values(only_fold=None, epochs=1, workers=1), RunContext(after_epoch=count))
    assert list(reading) == [0, 1, 2]
    assert reading[0] == reading[1] == reading[2] > 0
    assert not new()


def test_each_fold_and_each_training_leave_a_row_and_finished_ones_no_second(
    here: TrainOptions, tmp_path: Path
) -> None:
    options = here.with_values(folds=2, only_fold=None, epochs=1)
    train(GENDER, options.with_values(only_fold=1))
    train(GENDER, options)
    train(GENDER, options)
    rows = read_runs(tmp_path / "runs.csv")
    assert [*zip(rows["kind"], rows["fold"], strict=True)] == [
        ("fold", "1"),
        ("training", ""),
        ("fold", "0"),
        ("training", ""),
    ]
    last = rows.iloc[-1]
    report = json.loads((tmp_path / "run/run.json").read_text())
    assert last["scores"]["macro_f1"] == pytest.approx(report["scores"]["held out"]["macro_f1"], rel=1e-5)
    assert last["scores"]["images"] == 24 * 7
    assert (last["data"], last["recipe"], last["seed"]) == (report["data"], report["recipe"], "0")
    assert last["options"]["backbone"] == "test_efficientnet"
    # What was left out, with the value that took effect.
    assert last["options"]["window"] == [GENDER.window.side, GENDER.window.centre_x, GENDER.window.centre_y]
    assert last["options"]["fold_lr"] == options.optimisation.lr
    assert float(last["seconds"]) == pytest.approx(sum(report["seconds"].values()), abs=0.1)


@pytest.mark.parametrize("lost", [("fold", 0), ("training", None)])
def test_the_row_of_a_run_that_was_killed_just_before_it_is_added_by_the_next(
    here: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: tuple[str, int | None]
) -> None:
    options = here.with_values(folds=2, only_fold=None, epochs=1)

    def deadly(entry: Record, *_: object) -> None:
        if (entry.kind, entry.fold) == lost:
            raise KeyboardInterrupt
        record(entry)

    with monkeypatch.context() as patch:
        patch.setattr("shared.training.run.record", deadly)
        with pytest.raises(KeyboardInterrupt):
            train(GENDER, options)
    for _ in range(2):
        train(GENDER, options)
        rows = read_runs(tmp_path / "runs.csv").set_index(["kind", "fold"])
        assert sorted(rows.index) == [("fold", "0"), ("fold", "1"), ("training", "")]
    late = rows["memory_mib"]
    assert [*late.index[late == ""]] == [(lost[0], "" if lost[1] is None else str(lost[1]))]


@pytest.fixture(scope="module")
def jobs(options: TrainOptions, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run folder for each fold, trained by itself."""
    folders = [tmp_path_factory.mktemp("jobs") / f"job{fold}" for fold in range(3)]
    for fold, folder in enumerate(folders):
        train(GENDER, options.with_values(epochs=1, only_fold=fold, outputs=folder, predict_eval=False))
    return folders


def test_folds_that_were_trained_apart_join_to_the_run_of_one_machine(
    here: TrainOptions, jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_folds = here.with_values(epochs=1, only_fold=None)
    train(GENDER, all_folds)
    monkeypatch.setattr(FoldTraining, "run", None)  # Nothing is trained any more.
    joined = all_folds.with_values(outputs=tmp_path / "joined", join=tuple(jobs))
    train(GENDER, joined)
    train(GENDER, joined)
    assert files_of(tmp_path / "joined") == files_of(here.run.outputs)
    origins = json.loads((tmp_path / "joined/run.json").read_text())["joined"]
    assert origins == {
        str(fold): json.loads((job / "run.json").read_text())["provenance"] for fold, job in enumerate(jobs)
    }


def test_folds_that_do_not_belong_together_are_not_joined(here: TrainOptions, jobs: list[Path], tmp_path: Path) -> None:
    joined = here.with_values(epochs=1, only_fold=None, join=tuple(jobs))
    with pytest.raises(UserError, match=r"--join .*job0: it holds a run with other options .*--epochs was 1, now 2"):
        train(GENDER, joined.with_values(epochs=2))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: it holds no finished fold with its run.json"):
        train(GENDER, joined.with_values(outputs=tmp_path / "other", join=(tmp_path / "empty",)))
    other = shutil.copytree(jobs[1], tmp_path / "other-job1")
    (other / "fold1/oof.csv").write_text("other predictions")
    with pytest.raises(UserError, match=r"job1/fold1 and .*other-job1/fold1 are both fold 1"):
        train(GENDER, joined.with_values(outputs=tmp_path / "twice", join=(jobs[1], other)))
    assert not [*tmp_path.glob("twice/fold*")]
