"""A disk that is full or cannot be written: a clear error, and what was there before is as it was."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import Place, files_of, read_everything
from drawn_faces import write_portraits
from forks import fork, was_killed
from optuna import load_study
from rooms import read_only, small_disk

import combine
from pipelines.gender.specialist import GENDER
from pipelines.gender.tune import space
from shared.crops import open_crops
from shared.experiments.tuning import tune
from shared.faces.cache import make_crops, update_crops
from shared.fusion.predictions import write_predictions
from shared.messages import UserError
from shared.training.inference import predict
from shared.training.run import train


def fusion(place: Place, out: Path) -> combine.Options:
    runs = place.folder / "runs"
    return combine.Options(out, place.folder / "data", (runs / "mask",), (runs / "gender",), (runs / "age",))


@pytest.mark.parametrize("room", [0, 100_000], ids=["run.json", "weights"])
def test_a_training_on_a_full_disk_says_so_and_goes_on_with_more_room(
    place: Place, undisturbed: Path, tmp_path: Path, room: int
) -> None:
    run = tmp_path / "run"
    with small_disk(tmp_path / "disk", max(room, 4096)) as disk:
        (disk / "ballast").write_bytes(b"0" * (4096 if room == 0 else 0))
        with pytest.raises(UserError, match=r"cannot be written .*(No space left|File too large)"):
            train(GENDER, place.options(disk / "run"))
        if (disk / "run").exists():
            read_everything(disk / "run")
            assert not [*(disk / "run").rglob(".*")]
            shutil.copytree(disk / "run", run)
    train(GENDER, place.options(run))
    assert files_of(run) == files_of(undisturbed)


def test_a_finished_fold_outlives_a_disk_that_fills_up(place: Place, undisturbed: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    train(GENDER, place.options(half).with_values(only_fold=0))
    before = files_of(half)
    # Room for the weights of one more fold, but not for its checkpoint.
    with small_disk(tmp_path / "disk", 1_200_000) as disk:
        shutil.copytree(half, disk / "run")
        with pytest.raises(UserError, match=r"fold1.* cannot be written"):
            train(GENDER, place.options(disk / "run"))
        assert before.items() <= files_of(disk / "run").items()
        shutil.copytree(disk / "run", tmp_path / "run")
    train(GENDER, place.options(tmp_path / "run"))
    assert files_of(tmp_path / "run") == files_of(undisturbed)


def test_crops_outlive_a_disk_that_fills_up(tmp_path: Path) -> None:
    images, out = write_portraits(tmp_path / "images"), tmp_path / "crops"
    update_crops(images[2:4], tmp_path / "whole", workers=1, device="cpu", progress=False)
    # Room for the crops of two images, but not of fourteen.
    with small_disk(tmp_path / "disk", 131_072) as disk:
        if not disk.is_mount():
            pytest.skip("no disk can be mounted here, and all crops are of about one size")
        update_crops(images[:2], disk / "crops", workers=1, device="cpu", progress=False)
        before = {path: path.read_bytes() for path in (disk / "crops").rglob("*") if path.is_file()}
        with pytest.raises(UserError, match=r"crops.* cannot be written .*(No space left|File too large)"):
            update_crops(images, disk / "crops", workers=1, device="cpu", progress=False)
        assert before.items() <= {path: path.read_bytes() for path in before}.items()
        open_crops(disk / "crops").read(images["image"][0])
        shutil.copytree(disk / "crops", out)
    made = update_crops(images[:4], out, workers=1, device="cpu", progress=False).crops
    assert (made.read(images["image"][2]) == open_crops(tmp_path / "whole").read(images["image"][2])).all()


def test_answers_outlive_a_full_disk(place: Place, undisturbed: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4096) as disk:
        out = disk / "eval.csv"
        out.write_text("the old ones".ljust(4096))
        with pytest.raises(UserError, match=r"eval.csv cannot be written"):
            write_predictions(out, pd.DataFrame({"image": [f"{number:0100}" for number in range(99)], "male": 1.0}))
        assert out.read_text().rstrip() == "the old ones"
        out.unlink()
        predict(GENDER, place.prediction(undisturbed, out))
        assert out.read_bytes() == (undisturbed / "eval.csv").read_bytes()


def test_a_folder_that_cannot_be_written_is_named(place: Place, undisturbed: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(undisturbed, old)
    before = files_of(old)
    with read_only(old):
        with pytest.raises(UserError, match=r"cannot be written \((Read-only|Permission)"):
            train(GENDER, place.options(old / "new"))
        with pytest.raises(UserError, match=r"eval.csv cannot be written \((Read-only|Permission)"):
            predict(GENDER, place.prediction(undisturbed, old / "eval.csv"))
        with pytest.raises(UserError, match=r"submission.csv cannot be written \((Read-only|Permission)"):
            combine.main(fusion(place, old / "submission.csv"))
        with pytest.raises(UserError, match=r"crops.* cannot be written \((Read-only|Permission)"):
            make_crops(write_portraits(tmp_path / "images")[:1], old / "crops", workers=1, device="cpu")
        with pytest.raises(UserError, match=r"--overwrite: .* cannot be emptied"):
            train(GENDER, place.options(old).with_values(overwrite=True, lr=0.5))
    assert files_of(old) == before


def _space_with(trouble: Callable[[], object]) -> Callable[[Any], dict[str, Any]]:
    """A search space that makes trouble when it has proposed."""

    def proposing(trial: Any) -> dict[str, Any]:
        proposed = dict(space(trial))
        trouble()
        return proposed

    return proposing


def _search_and_fill(place: Place, disk: Path, room: int, told: str) -> None:
    fill = _space_with(lambda: (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - room)))
    with pytest.raises(UserError, match=told):
        tune(lambda _: GENDER, fill, place.tune_options(disk / "study"))


@pytest.mark.parametrize(
    ("room", "told"),
    [
        (0, r"study\.db cannot be read or written any more \(.*full\)"),
        (65_536, r"fold0.* cannot be written \(No space left"),
    ],
    ids=["study", "weights"],
)
def test_a_search_on_a_disk_that_fills_up_says_so_and_goes_on_with_more_room(
    place: Place, tmp_path: Path, room: int, told: str
) -> None:
    study = tmp_path / "study"
    with small_disk(tmp_path / "disk", 500_000) as disk:
        if not disk.is_mount():
            pytest.skip("no disk can be mounted here, and a study is larger than what is written next")
        # In a process of its own: the trial of one that lives is left to it.
        assert not was_killed(fork(_search_and_fill, place, disk, room, told))
        shutil.copytree(disk / "study", study)
    tune(lambda _: GENDER, space, replace(place.tune_options(study), trials=1))
    stopped, again = load_study(study_name="gender", storage=f"sqlite:///{study / 'study.db'}").trials
    assert (stopped.state.name, again.state.name) == ("FAIL", "COMPLETE")
    assert stopped.params == again.params


def test_a_search_whose_folder_can_no_longer_be_written_says_so(place: Place, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    with ExitStack() as stack:
        protected = _space_with(lambda: stack.enter_context(read_only(study)))
        with pytest.raises(UserError, match=r"study\.db cannot be read or written any more \("):
            tune(lambda _: GENDER, protected, place.tune_options(study))
        with pytest.raises(UserError, match=r"study\.db cannot be opened as a study \([^\n]*\)$"):
            tune(lambda _: GENDER, space, place.tune_options(study))


def test_a_search_that_another_program_locks_says_so(place: Place, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "study.db")) as other:
        locked = _space_with(lambda: other.execute("begin exclusive"))
        with pytest.raises(UserError, match=r"study\.db cannot be read or written any more \(database is locked\)"):
            tune(lambda _: GENDER, locked, place.tune_options(tmp_path))
