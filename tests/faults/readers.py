"""What must be read well or refused clearly, whatever it holds; each call tries `count` spoilt files."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
from commands import Place
from hostile import spoilt_table
from numpy.random import Generator

from shared.crops import read_index
from shared.faces.image_io import UnusableImageError, decode
from shared.fusion.predictions import read_held_out, read_predictions
from shared.label_fixes import read_solution
from shared.labels import GENDERS
from shared.manifest import load_evaluation, load_training
from shared.messages import UserError

PATIENCE = 60
"""Seconds for one file; beyond, it hangs."""


@contextmanager
def in_time(seconds: int) -> Iterator[None]:
    """Raises `TimeoutError` in the main thread where the body takes longer.

    Not before a decoder that is at it has returned: one that never does is for `forks.was_killed`.
    """

    def ring(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def try_images(spoil: Callable[[Generator], bytes], count: int, random: Generator) -> int:
    """Each gives pixels or a reason; how many gave a reason."""
    refused = 0
    for _ in range(count):
        data = spoil(random)
        try:
            with in_time(PATIENCE):
                image = decode(data)
        except UnusableImageError:
            refused += 1
        else:
            assert image.pixels.dtype == np.uint8
            assert image.pixels.shape[2:] == (3,)
    return refused


def tables(place: Place, folder: Path) -> dict[str, tuple[bytes, Callable[[bytes], pd.DataFrame]]]:
    """Every table that a command reads: its bytes, and a reader of other bytes in its place."""
    copy = folder / "table.csv"

    def by(read: Callable[[Path], pd.DataFrame]) -> Callable[[bytes], pd.DataFrame]:
        def reader(content: bytes) -> pd.DataFrame:
            copy.write_bytes(content)
            return read(copy)

        return reader

    def within(split: str, name: str, load: Callable[[Path], pd.DataFrame]) -> Callable[[bytes], pd.DataFrame]:
        (folder / split).mkdir()
        (folder / split / "images").symlink_to(place.folder / "data" / split / "images")

        def reader(content: bytes) -> pd.DataFrame:
            (folder / split / name).write_bytes(content)
            return load(folder / split)

        return reader

    rejected = folder / "rejected.csv"
    train, asked = place.folder / "data/train/train.csv", place.folder / "data/eval/info.csv"
    run = place.folder / "runs/gender"
    files: dict[str, tuple[Path, Callable[[bytes], pd.DataFrame]]] = {
        "train.csv": (train, within("train", "train.csv", load_training)),
        "info.csv": (asked, within("eval", "info.csv", lambda place: load_evaluation(place, True, rejected))),
        "oof.csv": (run / "oof.csv", by(lambda file: read_held_out(file, GENDERS))),
        "eval.csv": (run / "eval.csv", by(lambda file: read_predictions(file, GENDERS))),
        "eval_solution.csv": (place.folder / "data/eval_solution.csv", by(read_solution)),
        "index.csv": (place.folder / "crops/eval/index.csv", by(read_index)),
    }
    return {name: (file.read_bytes(), reader) for name, (file, reader) in files.items()}


def try_tables(place: Place, folder: Path, count: int, random: Generator) -> int:
    """Each of `count` spoilt tables gives rows or a `UserError`; how many gave an error."""
    refused, known = 0, list(tables(place, folder).values())
    for number in range(count):
        content, read = known[number % len(known)]
        spoilt = spoilt_table(content, random)
        try:
            with in_time(PATIENCE):
                table = read(spoilt)
            assert len(table) > 0
        except UserError:
            refused += 1
        except Exception as error:
            with suppress(OSError):
                (folder / "culprit.csv").write_bytes(spoilt)
            raise AssertionError(f"{type(error).__name__} on {spoilt!r}") from error
    return refused
