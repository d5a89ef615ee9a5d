import gc
import os
import signal
import threading
from pathlib import Path

# The networks of the tests are so small that threads would only wait for each other, here and in every process started.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every process that they start.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hypothesis import settings
from tiny_competition import people, write_eval, write_train

settings.register_profile("quick", max_examples=30, deadline=None, derandomize=True)
settings.load_profile("quick")

LONGEST = (
    "test_kills",
    "test_training_processes",
    "test_page",
    "test_cluster",
    "test_disks",
    "test_onnx",
    "test_tuning_database",
    "test_own_data",
    "test_ready_model",
    "test_start_and_frozen",
)
"""Files that take longest. They are begun first, so that at the end no worker is left alone with one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


def pytest_collection_finish() -> None:
    """Keep what was imported out of garbage collection: each training collects, and would search it every time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let Python collect everything at its end, as always; nanobind would warn of leaks."""
    gc.unfreeze()


@pytest.fixture
def competition(tmp_path: Path) -> Path:
    """A competition folder: 12 persons x 7 images, 9 images to answer, and their truth in eval_solution.csv."""
    data = tmp_path / "data"
    write_train(data / "train", people(12))
    write_eval(data)
    return data
