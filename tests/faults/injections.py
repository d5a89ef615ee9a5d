"""Faults to inject at random, again and again: each call injects some and checks that nothing came of them."""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from commands import (
    Place,
    at_work,
    files_of,
    finish,
    found_in,
    interrupt_at_random,
    kill_at_random,
    members,
    read_everything,
    start,
    wait_for,
)
from drawn_faces import files
from forks import fork, killed_after, killed_at_write, was_killed
from numpy.random import Generator
from readers import PICTURES, try_pictures, try_tables
from rooms import small_disk
from scenes import add_portraits, build

from pipelines.gender.specialist import GENDER
from shared.crops import BOX, INDEX, LANDMARKS, CropSet, open_crops
from shared.errors import UserError
from shared.runs import read_runs
from shared.training.run import train

WRITES = 30
"""About so many of a training; a number beyond the last disturbs nothing."""

BATCH = 500
"""Files that are tried in one process."""


@dataclass(frozen=True)
class Ground:
    """Where faults are injected, and what must come out in spite of them."""

    place: Place
    run: Path
    """Of a training that nothing disturbed."""
    crops: dict[str, bytes]
    """Of the portraits."""
    submission: bytes
    found: dict[str, object]
    """By a search."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each command works when nothing disturbs it."""


def prepare(folder: Path) -> Ground:
    """Run every command once in peace."""
    place = build(folder)
    add_portraits(place)
    run, crops, submission, answers = (folder / name for name in ("run", "cut", "submission.csv", "answers.csv"))
    study = folder / "search/study"
    commands = {
        "crop": place.crop(crops),
        "train": place.train(run),
        "predict": place.predict(run, answers),
        "tune": place.tune(study),
        "combine": place.combine(submission),
    }
    seconds = {name: _time(command) for name, command in commands.items()}
    assert answers.read_bytes() == (run / "eval.csv").read_bytes()
    return Ground(place, run, crops_in(crops), submission.read_bytes(), found_in(study), seconds)


def _time(command: Sequence[str]) -> float:
    """Seconds from where it gets to work to its end, or, where it never loads torch, from its start."""
    process = start(command)
    began = time.monotonic()
    wait_for(lambda: at_work(process), process)
    began = time.monotonic() if process.poll() is None else began
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return time.monotonic() - began


def crops_in(out: Path) -> dict[str, bytes]:
    """All files of a finished crop set by name, without what killed runs left, which goes after an hour."""
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not path.name.startswith(".")}


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
    ground.seconds[name] = _time(command)
    return kills


def _same_training(ground: Ground, run: Path) -> None:
    assert files_of(run) == files_of(ground.run)
    rows = read_runs(run.parent / "runs.csv")
    assert sorted(zip(rows["kind"], rows["fold"], strict=True)) == [("fold", "0"), ("fold", "1"), ("training", "")]


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
    _same_training(ground, run)
    return kills


def kill_train_at_a_write(ground: Ground, folder: Path, random: Generator) -> int:
    run, kills = folder / "run", 0
    for _ in range(random.integers(1, 4)):
        number = int(random.integers(1, WRITES))
        kills += killed_at_write(number, train, GENDER, ground.place.options(run))
        read_everything(run)
    assert not was_killed(fork(train, GENDER, ground.place.options(run)))
    _same_training(ground, run)
    return kills


def kill_train_at_a_moment(ground: Ground, folder: Path, random: Generator) -> int:
    """Without the start of a process, which is most of what the others kill."""
    run, kills = folder / "run", 0
    for _ in range(random.integers(1, 4)):
        seconds = random.uniform(0, ground.seconds["train"])
        kills += killed_after(seconds, train, GENDER, ground.place.options(run))
        read_everything(run)
    assert not was_killed(fork(train, GENDER, ground.place.options(run)))
    _same_training(ground, run)
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
    _same_training(ground, run)
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
    _same_training(ground, folder / "run")
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


def crop_at_once(ground: Ground, folder: Path, random: Generator) -> int:
    """Two or four runs in one folder, one of them killed now and then."""
    out = folder / "crops"
    runs = [start(ground.place.crop(out)) for _ in range(2 * random.integers(1, 3))]
    victim = runs.pop() if random.random() < 0.5 else None
    if victim is not None:
        wait_for(lambda: at_work(victim), victim)
        time.sleep(random.uniform(0, ground.seconds["crop"]))
        victim.kill()
        victim.communicate()
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 0, errors
    finish(ground.place.crop(out))
    assert crops_in(out) == ground.crops
    return len(runs) + (victim is not None)


def change_pictures(ground: Ground, folder: Path, random: Generator) -> int:
    """Pictures vanish, are cut or replaced while they are cropped: the next run's crops are those of what is there."""
    portraits = folder / "portraits"
    shutil.copytree(ground.place.portraits, portraits)
    paths = sorted((portraits / "images").rglob("*.jpg"))
    process = start(ground.place.crop(folder / "crops", pictures=portraits))
    wait_for(lambda: at_work(process), process)
    changes = int(random.integers(1, 6))
    for _ in range(changes):
        time.sleep(random.uniform(0, ground.seconds["crop"] / changes))
        _change(paths[random.integers(len(paths))], random)
    _, errors = process.communicate()
    # A picture of the list that is gone when a command starts is a fault of the data; while it runs it is a grey crop.
    assert process.returncode == 0 or "error:" in errors, errors
    assert "Traceback" not in errors, errors
    for path in paths:
        if not path.exists():
            path.write_bytes(files()[0])
    finish(ground.place.crop(folder / "crops", pictures=portraits))
    finish(ground.place.crop(folder / "anew", pictures=portraits))
    _same_crops(open_crops(folder / "crops"), open_crops(folder / "anew"))
    return changes


def _same_crops(one: CropSet, other: CropSet) -> None:
    """But for hundredths of a pixel: which pictures go through the nets together decides the last digits."""
    for column in ("file", "found", "faces", "fingerprint", "size", "mtime_ns", "problem"):
        assert one.index[column].equals(other.index[column]), column
    places = [*BOX, *LANDMARKS]
    np.testing.assert_allclose(one.index[places].astype(float), other.index[places].astype(float), atol=0.2)
    for picture in one.index.index:
        assert np.abs(one.read(picture).astype(float) - other.read(picture)).mean() < 1, picture


def _change(path: Path, random: Generator) -> None:
    match random.integers(3):
        case 0:
            path.unlink(missing_ok=True)
        case 1:
            path.write_bytes(files()[random.integers(len(files()))])
        case 2:
            path.write_bytes(files()[0][: random.integers(len(files()[0]))])


def fill_disk(ground: Ground, folder: Path, random: Generator) -> int:
    """A disk of any size up to what a training needs: a clear error, and it goes on with more room."""
    full = False
    with small_disk(folder / "disk", int(random.integers(4096, 2_000_000))) as disk:
        try:
            train(GENDER, ground.place.options(disk / "run"))
        except UserError as error:
            full = "cannot be written" in str(error)
            if not full:
                raise
        if (disk / "run").exists():
            read_everything(disk / "run")
            shutil.copytree(disk / "run", folder / "run")
    train(GENDER, ground.place.options(folder / "run"))
    assert files_of(folder / "run") == files_of(ground.run)
    return full


def cut_file(ground: Ground, folder: Path, random: Generator) -> int:
    """A file of a run cut short by other hands is refused by its name; removed as told, the run ends as it should."""
    run = folder / "run"
    shutil.copytree(ground.run, run)
    name = ("fold0/weights.safetensors", "fold0/oof.csv", "fold0/history.csv", "run.json")[random.integers(4)]
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[: random.integers(len(whole))])
    with suppress(UserError):
        train(GENDER, ground.place.options(run))
        raise AssertionError(f"{name} was taken, cut to {(run / name).stat().st_size} of {len(whole)} bytes")
    shutil.rmtree(run if name == "run.json" else run / "fold0")
    train(GENDER, ground.place.options(run))
    assert files_of(run) == files_of(ground.run)
    return 1


def spoil_pictures(ground: Ground, folder: Path, random: Generator) -> int:
    del ground, folder
    for spoil in PICTURES.values():
        assert not was_killed(fork(try_pictures, spoil, BATCH, random))
        random.random()
    return BATCH * len(PICTURES)


def spoil_tables(ground: Ground, folder: Path, random: Generator) -> int:
    try_tables(ground.place, folder, BATCH, random)
    return BATCH


Injection = Callable[[Ground, Path, Generator], int]

INJECTIONS: dict[str, Injection] = {
    "kill -9, crop": kill_crop,
    "kill -9, train": kill_train,
    "kill -9, train, before a write": kill_train_at_a_write,
    "kill -9, train, any moment": kill_train_at_a_moment,
    "kill -9, predict": kill_predict,
    "kill -9, tune": kill_tune,
    "kill -9, combine": kill_combine,
    "kill -9, main process of train": orphan_readers,
    "Ctrl-C, crop": interrupt_crop,
    "Ctrl-C, train": interrupt_train,
    "Ctrl-C, predict": interrupt_predict,
    "Ctrl-C, tune": interrupt_tune,
    "Ctrl-C, combine": interrupt_combine,
    "two or four crop runs at once": crop_at_once,
    "pictures change while cropped": change_pictures,
    "full disk, train": fill_disk,
    "file of a run cut short": cut_file,
    "spoilt picture files": spoil_pictures,
    "spoilt tables": spoil_tables,
}
