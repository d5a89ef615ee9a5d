"""Nothing of a photograph is kept longer than the page promises."""

import asyncio
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

from gradio.state_holder import StateHolder

from shared.page.retention import (
    INTERVAL,
    KEPT_SECONDS,
    TemporaryStore,
    delete_old_files,
    delete_regularly,
    forget_visits,
)


def write(path: Path, age: float) -> Path:
    """A file that was written `age` seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a photograph")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_value_is_deleted_when_its_time_is_over() -> None:
    now = 0.0
    store = TemporaryStore(10, lambda: now)
    key, other = store.add(b"one"), store.add(b"two")
    assert key != other
    assert store.get(key) == b"one"
    now = 10.0
    assert store.get(key) is None
    later = store.add(b"three")
    store.delete_old()
    assert store._values.keys() == {later}
    assert store.get(None) is None


def test_old_files_are_deleted_and_new_ones_kept(tmp_path: Path) -> None:
    old, new = write(tmp_path / "a" / "b" / "old.png", 601), write(tmp_path / "a" / "new.png", 1)
    delete_old_files(tmp_path, 600)
    assert not old.exists()
    assert new.exists()


def test_visits_without_an_event_are_forgotten() -> None:
    visits = StateHolder()
    for name, age in (("old", 601), ("new", 1)):
        visits.session_data[name] = SimpleNamespace()
        visits.time_last_used[name] = datetime.now() - timedelta(seconds=age)
    forget_visits(visits, 600)
    assert visits.session_data.keys() == visits.time_last_used.keys() == {"new"}


def test_between_two_deletions_nothing_becomes_older_than_promised(tmp_path: Path) -> None:
    path = write(tmp_path / "upload.png", KEPT_SECONDS - INTERVAL + 1)

    async def run() -> None:
        task = asyncio.create_task(delete_regularly(tmp_path, TemporaryStore(), StateHolder()))
        while path.exists():
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(run(), 30))
