"""Commands that are stopped at random, by kill -9 or Ctrl-C, and what must come of it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from commands import (
    at_work,
    finish,
    found_in,
    interrupt_at_random,
    kill_at_random,
    members,
    read_everything,
    start,
    wait_for,
)
from forks import fork, killed_after, killed_at_write, was_killed
from ground import Ground, crops_in, same_training, timed
from numpy.random import Generator

from pipelines.gender.specialist import GENDER
from shared.crops import INDEX, open_crops
from shared.training.run import train

WRITES = 30
"""About so many of a training; a number beyond the last disturbs nothing."""


def _kill_again_and_again(
    ground: Ground, name: str, command: Sequence[str], random: Generator, check: Callable[[], None]
) -> int:
    """Kill the command up to three times, then let it finish; how often it was killed."""
    kills = 0
    for _ in range(random.integers(1, 4)):
        kills += kill_at_random(
            command, lambda process: name == "combine" or at_work(process), ground.seconds[name], random
        )
        check()
    # A machine is not always equally busy: a kill should fall before the end, but anywhere before it.
    ground.seconds[name] = timed(command)
    return kills


def kill_crop(ground: Ground, folder: Path, random: Generator) -> int:
    out = folder / "crops"

    def check() -> None:
        if (out / INDEX).exists():
            open_crops(out)

    kills = _kill_again_and_again(ground, "crop", ground.place.crop(out), random, check)
    assert crops_in(out) == ground.crops
    return kills


def kill_train(ground: Ground, folder: Path, random: Generator) -> int:
    run = folder / "run"
    command = ground.place.train(run, workers=int(random.integers(2)))
    kills = _kill_again_and_again(ground, "train", command, random, lambda: read_everything(run))
    same_training(ground, run)
    return kills


def kill_train_at_a_write(ground: Ground, folder: Path, random: Generator) -> int:
    run, kills = folder / "run", 0
    for _ in range(random.integers(1, 4)):
        number = int(random.integers(1, WRITES))
        kills += killed_at_write(number, train, GENDER, ground.place.options(run))
        read_everything(run)
    assert not was_killed(fork(train, GENDER, ground.place.options(run)))
    same_training(ground, run)
    return kills


def kill_train_at_a_moment(ground: Ground, folder: Path, random: Generator) -> int:
    """Without the start of a process, which is most of what the others kill."""
    run, kills = folder / "run", 0
    for _ in range(random.integers(1, 4)):
        seconds = random.uniform(0, ground.seconds["train"])
        kills += killed_after(seconds, train, GENDER, ground.place.options(run))
        read_everything(run)
    assert not was_killed(fork(train, GENDER, ground.place.options(run)))
    same_training(ground, run)
    return kills


def kill_predict(ground: Ground, folder: Path, random: Generator) -> int:
    out = folder / "eval.csv"
    command = ground.place.predict(ground.run, out)

    def check() -> None:
        assert not out.exists() or out.read_bytes() == (ground.run / "eval.csv").read_bytes()

    kills = _kill_again_and_again(ground, "predict", command, random, check)
    assert out.exists()
    check()
    return kills


def kill_tune(ground: Ground, folder: Path, random: Generator) -> int:
    study = folder / "study"

    def check() -> None:
        for run in study.glob("trial-*"):
            read_everything(run)

    kills = _kill_again_and_again(ground, "tune", ground.place.tune(study), random, check)
    assert found_in(study) == ground.found
    return kills


def kill_combine(ground: Ground, folder: Path, random: Generator) -> int:
    out = folder / "submission.csv"
    out.write_bytes(b"the old one")

    def check() -> None:
        assert out.read_bytes() in (b"the old one", ground.submission)

    kills = _kill_again_and_again(ground, "combine", ground.place.combine(out), random, check)
    assert out.read_bytes() == ground.submission
    return kills


def interrupt_crop(ground: Ground, folder: Path, random: Generator) -> int:
    command = ground.place.crop(folder / "crops", workers=int(random.integers(1, 3)))
    interrupted = interrupt_at_random(command, ground.seconds["crop"], random)
    finish(command)
    assert crops_in(folder / "crops") == ground.crops
    return interrupted


def interrupt_train(ground: Ground, folder: Path, random: Generator) -> int:
    run = folder / "run"
    command = ground.place.train(run, workers=int(random.integers(3)))
    interrupted = interrupt_at_random(command, ground.seconds["train"], random)
    finish(command)
    same_training(ground, run)
    return interrupted


def orphan_readers(ground: Ground, folder: Path, random: Generator) -> int:
    """kill -9 of the main process alone: its readers, which look every five seconds, end too."""
    process = start(ground.place.train(folder / "run", workers=2))
    wait_for(lambda: at_work(process), process)
    time.sleep(random.uniform(0, ground.seconds["train"]))
    process.kill()
    # Until the last process has closed its end of the pipes.
    process.communicate(timeout=300)
    assert not members(process.pid)
    finish(ground.place.train(folder / "run"))
    same_training(ground, folder / "run")
    return 1


def interrupt_predict(ground: Ground, folder: Path, random: Generator) -> int:
    out = folder / "eval.csv"
    command = ground.place.predict(ground.run, out, workers=int(random.integers(2)))
    interrupted = interrupt_at_random(command, ground.seconds["predict"], random)
    finish(command)
    assert out.read_bytes() == (ground.run / "eval.csv").read_bytes()
    return interrupted


def interrupt_tune(ground: Ground, folder: Path, random: Generator) -> int:
    study = folder / "study"
    interrupted = interrupt_at_random(ground.place.tune(study), ground.seconds["tune"], random)
    finish(ground.place.tune(study))
    assert found_in(study) == ground.found
    return interrupted


def interrupt_combine(ground: Ground, folder: Path, random: Generator) -> int:
    out = folder / "submission.csv"
    interrupted = interrupt_at_random(ground.place.combine(out), ground.seconds["combine"], random)
    finish(ground.place.combine(out))
    assert out.read_bytes() == ground.submission
    return interrupted
