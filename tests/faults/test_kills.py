"""kill -9 at any moment: the next run finishes, and its result is that of a run that nobody disturbed."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import KILLS, Place, files_of, finish, kill_at_random, read_everything

from pipelines.gender.specialist import GENDER
from shared.training.run import train

SEED = int(os.environ.get("FACE18_SEED", "0"))

STRIDE = 1 if KILLS >= 20 else 9
"""Every write of a training, or some of them."""


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(SEED)


def test_a_training_killed_again_and_again_ends_as_if_nothing_had_been(
    place: Place, undisturbed: Path, tmp_path: Path, random: np.random.Generator
) -> None:
    run, kills = tmp_path / "run", 0
    while kills < KILLS:
        killed = kill_at_random(place.train(run), (run / "run.json").exists, 2.0, random)
        kills += killed
        read_everything(run)
        if not killed:
            assert files_of(run) == files_of(undisturbed)
            shutil.rmtree(run)
    finish(place.train(run))
    assert files_of(run) == files_of(undisturbed)


def test_a_prediction_killed_again_and_again_ends_as_if_nothing_had_been(
    place: Place, undisturbed: Path, tmp_path: Path, random: np.random.Generator
) -> None:
    out, kills = tmp_path / "eval.csv", 0
    while kills < KILLS:
        kills += kill_at_random(place.predict(undisturbed, out), lambda: True, 6.0, random)
    finish(place.predict(undisturbed, out))
    assert out.read_bytes() == (undisturbed / "eval.csv").read_bytes()


def test_a_fusion_killed_again_and_again_leaves_the_old_submission_or_the_new(
    place: Place, tmp_path: Path, random: np.random.Generator
) -> None:
    whole, out, kills = tmp_path / "whole.csv", tmp_path / "submission.csv", 0
    finish(place.combine(whole))
    out.write_text("the old one")
    while kills < KILLS:
        kills += kill_at_random(place.combine(out), lambda: True, 1.5, random)
        assert out.read_bytes() in (b"the old one", whole.read_bytes())
    finish(place.combine(out))
    assert out.read_bytes() == whole.read_bytes()


def killed_at_write(number: int, work: Callable[[], None]) -> bool:
    """Do the work in a copy of this process that is killed just before it renames or removes a file for the n-th time.

    Whether it was; False when it had ended before.
    """
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)
    calls = 0

    def deadly(method: Callable[..., object]) -> Callable[..., object]:
        def wrapper(self: Path, *args: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(self, *args, **options)

        return wrapper

    status = 1
    try:
        for name in ("replace", "unlink", "rename", "write_text", "write_bytes"):
            setattr(Path, name, deadly(getattr(Path, name)))
        work()
        status = 0
    finally:
        os._exit(status)


def test_a_training_killed_at_each_of_its_writes_ends_as_if_nothing_had_been(
    place: Place, undisturbed: Path, tmp_path: Path
) -> None:
    run, number = tmp_path / "run", 1
    while killed_at_write(number, lambda: train(GENDER, place.options(run))):
        read_everything(run)
        # In a process of its own too, as it would be: each looks once for what others left behind.
        assert not killed_at_write(0, lambda: train(GENDER, place.options(run)))
        assert files_of(run) == files_of(undisturbed), f"killed at write {number}"
        shutil.rmtree(run)
        number += STRIDE
    assert files_of(run) == files_of(undisturbed)
    assert number > 20
