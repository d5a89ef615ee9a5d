"""One tiny competition with crops for all faults, and the runs that nothing disturbed to compare with."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Place
from scenes import build

from pipelines.gender.specialist import GENDER
from shared.training.run import train


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """As many as the commands below are given: sums of floats depend on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """12 persons and 9 images to answer, their crops, and the runs of three specialists."""
    return build(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def timed_training(place: Place) -> tuple[Path, float]:
    """The run folder of a training that nothing disturbed, and the seconds that it took."""
    run, started = place.folder / "undisturbed", time.monotonic()
    train(GENDER, place.options(run))
    return run, time.monotonic() - started


@pytest.fixture
def undisturbed(timed_training: tuple[Path, float]) -> Path:
    """The run folder of a training that nothing disturbed."""
    return timed_training[0]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)
