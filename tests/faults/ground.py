"""Where faults are injected: every command run once in peace, and what came of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from commands import (
    Place,
    at_work,
    files_of,
    found_in,
    start,
    wait_for,
)
from scenes import add_portraits, build

from shared.tracking import read_runs


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
    seconds = {name: timed(command) for name, command in commands.items()}
    assert answers.read_bytes() == (run / "eval.csv").read_bytes()
    return Ground(place, run, crops_in(crops), submission.read_bytes(), found_in(study), seconds)


def timed(command: Sequence[str]) -> float:
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


def same_training(ground: Ground, run: Path) -> None:
    assert files_of(run) == files_of(ground.run)
    rows = read_runs(run.parent / "runs.csv")
    assert sorted(zip(rows["kind"], rows["fold"], strict=True)) == [("fold", "0"), ("fold", "1"), ("training", "")]
