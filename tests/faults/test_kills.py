"""kill -9 at any moment: the next run finishes, and its result is that of a run that nobody disturbed."""

import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
from commands import Place, crops_in, files_of, found_in, read_everything
from drawn_faces import write_portraits
from forks import fork, killed_after, killed_at_write, was_killed

import combine
from pipelines.gender.specialist import GENDER
from pipelines.gender.tune import space
from shared.crops import INDEX, open_crops
from shared.experiments.tuning import tune
from shared.faces import cache
from shared.faces.cache import update_crops
from shared.training.inference import predict
from shared.training.run import train

KILLS = 4
"""At random moments, of each command."""

STRIDE = 17
"""Of the writes of a training every so many-th is tried."""


def test_a_training_killed_again_and_again_ends_as_if_nothing_had_been(
    place: Place, timed_training: tuple[Path, float], tmp_path: Path, random: np.random.Generator
) -> None:
    undisturbed, seconds = timed_training
    run, kills = tmp_path / "run", 0
    while kills < KILLS:
        killed = killed_after(random.uniform(0, seconds), train, GENDER, place.options(run))
        kills += killed
        read_everything(run)
        if not killed:
            assert files_of(run) == files_of(undisturbed)
            shutil.rmtree(run)
    assert not was_killed(fork(train, GENDER, place.options(run)))
    assert files_of(run) == files_of(undisturbed)


def test_a_training_killed_at_each_of_its_writes_ends_as_if_nothing_had_been(
    place: Place, undisturbed: Path, tmp_path: Path
) -> None:
    run, number = tmp_path / "run", 1
    while killed_at_write(number, train, GENDER, place.options(run)):
        read_everything(run)
        # In a process of its own too, as it would be: each looks once for what others left behind.
        assert not was_killed(fork(train, GENDER, place.options(run)))
        assert files_of(run) == files_of(undisturbed), f"killed at write {number}"
        shutil.rmtree(run)
        number += STRIDE
    assert files_of(run) == files_of(undisturbed)
    assert number > 20


def test_a_prediction_killed_again_and_again_ends_as_if_nothing_had_been(
    place: Place, undisturbed: Path, tmp_path: Path, random: np.random.Generator
) -> None:
    out = tmp_path / "eval.csv"
    options = place.prediction(undisturbed, out)
    # In a process of its own, as all that follow: each looks once for what others left behind.
    child, started = fork(predict, GENDER, options), time.monotonic()
    assert not was_killed(child)
    whole, seconds, kills = out.read_bytes(), time.monotonic() - started, 0
    while kills < KILLS:
        out.unlink(missing_ok=True)
        killed = killed_after(random.uniform(0, seconds), predict, GENDER, options)
        kills += killed
        assert out.exists() or killed
        assert not out.exists() or out.read_bytes() == whole
    assert not was_killed(fork(predict, GENDER, options))
    assert out.read_bytes() == whole == (undisturbed / "eval.csv").read_bytes()
    assert not [*tmp_path.glob(".*")]


def test_a_search_killed_twice_finds_what_it_would_have_found(
    place: Place, tmp_path: Path, random: np.random.Generator
) -> None:
    started = time.monotonic()
    assert not was_killed(fork(_search, place, tmp_path / "whole/study"))
    seconds, whole = time.monotonic() - started, found_in(tmp_path / "whole/study")
    # In the first half and in what is then left, each of which has a trial.
    for begin, end in ((0.2, 0.5), (0.1, 0.3)):
        killed_after(random.uniform(begin * seconds, end * seconds), _search, place, tmp_path / "killed/study")
    assert not was_killed(fork(_search, place, tmp_path / "killed/study"))
    assert found_in(tmp_path / "killed/study") == whole


def _search(place: Place, study: Path) -> None:
    tune(lambda _: GENDER, space, place.tune_options(study))


def test_a_fusion_killed_at_each_of_its_writes_leaves_the_old_submission_or_the_new(
    place: Place, tmp_path: Path
) -> None:
    runs, out, number = place.folder / "runs", tmp_path / "submission.csv", 1
    options = combine.Options(out, place.folder / "data", (runs / "mask",), (runs / "gender",), (runs / "age",))
    combine.main(options)
    whole = out.read_bytes()
    out.write_text("the old one")
    while killed_at_write(number, combine.main, options):
        assert out.read_bytes() in (b"the old one", whole)
        number += 1
    assert out.read_bytes() == whole
    assert number > 1


def test_crops_killed_at_each_of_their_writes_end_as_if_nothing_had_been(place: Place, tmp_path: Path) -> None:
    files = sorted((place.folder / "data/eval/images").glob("*.jpg"))[:2]
    images = pd.DataFrame({"image": ["a.jpg", "b.jpg"], "path": [str(file) for file in files]})

    _crop(images, tmp_path / "whole")
    number = 1
    while killed_at_write(number, _crop, images, tmp_path / "out"):
        if (tmp_path / "out" / INDEX).exists():
            open_crops(tmp_path / "out").read("a.jpg")
        number += 1
    assert number > 2
    assert crops_in(tmp_path / "out") == crops_in(tmp_path / "whole")


def _crop(images: pd.DataFrame, out: Path) -> None:
    update_crops(images, out, workers=1, device="cpu", progress=False)


def test_crop_runs_at_once_do_no_harm(tmp_path: Path) -> None:
    images = write_portraits(tmp_path / "images")
    runs = [fork(_crop_in_twos, images, tmp_path / "shared") for _ in range(3)]
    runs.append(fork(_crop_in_twos, images, tmp_path / "alone"))
    assert not any(was_killed(run) for run in runs)
    assert crops_in(tmp_path / "shared") == crops_in(tmp_path / "alone")


def _crop_in_twos(images: pd.DataFrame, out: Path) -> None:
    cache.CHUNK = 2
    _crop(images, out)
