"""One tiny competition with crops for all faults, and the runs that nothing disturbed to compare with."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import Place
from tiny_competition import people, write_eval, write_train
from tiny_crops import write_crops
from tiny_runs import write_runs

from pipelines.gender.specialist import GENDER
from shared.crops import INDEX
from shared.faces.alignment import RECIPE
from shared.manifest import load_evaluation, load_training
from shared.training.run import train


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """12 persons and 9 images to answer, their crops, and the runs of three specialists."""
    folder = tmp_path_factory.mktemp("faults")
    write_train(folder / "data/train", people(12))
    write_eval(folder / "data")
    labelled = load_training(folder / "data/train")
    write_current_crops(labelled, labelled, folder / "crops/train")
    write_current_crops(load_evaluation(folder / "data/eval"), labelled, folder / "crops/eval")
    write_runs(folder / "data", folder / "runs")
    return Place(folder)


def write_current_crops(images: pd.DataFrame, like: pd.DataFrame, out: Path) -> None:
    """Crops coloured after the labels of `like`, which the crop stage takes for its own and up to date."""
    write_crops(like.head(len(images)).assign(image=images["image"].to_numpy()), out)
    sources = [Path(path) for path in images["path"]]
    index = pd.read_csv(out / INDEX, dtype={"image": str}).assign(
        recipe=RECIPE.id,
        size=[source.stat().st_size for source in sources],
        mtime_ns=[source.stat().st_mtime_ns for source in sources],
    )
    index.to_csv(out / INDEX, index=False)


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
