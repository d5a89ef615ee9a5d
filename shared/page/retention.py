"""What the page keeps of its visitors' photographs, and for how long: files and crops are deleted by one clock.

Gradio deletes only the files that it remembers, and keeps for long what it received last, such as a frame of a camera.
So the page keeps analyses in a `TemporaryStore`, deletes old files by their age, and makes Gradio forget old visits.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gradio.state_holder import StateHolder

KEPT_SECONDS = 600.0
"""The longest that anything of a photograph is kept."""
INTERVAL = 20.0
"""Seconds from one deletion of old things to the next; they are deleted so much earlier that none is kept too long."""


class TemporaryStore:
    """Values under keys that cannot be guessed, for `seconds` each."""

    def __init__(self, seconds: float = KEPT_SECONDS - INTERVAL, clock: Callable[[], float] = time.monotonic):
        self._seconds = seconds
        self._clock = clock
        self._values: dict[str, tuple[float, Any]] = {}

    def add(self, value: Any) -> str:
        """Keep a value; return its key."""
        key = secrets.token_urlsafe(16)
        self._values[key] = (self._clock() + self._seconds, value)
        return key

    def get(self, key: str | None) -> Any:
        """Return a value, or None if the key is unknown or has expired."""
        until, value = self._values.get(key or "", (0.0, None))
        return value if self._clock() < until else None

    def delete_old(self) -> None:
        """Delete all values that have expired."""
        now = self._clock()
        self._values = {key: kept for key, kept in self._values.items() if now < kept[0]}


def delete_old_files(folder: Path, seconds: float) -> None:
    """Delete all files below a folder that were last written more than `seconds` ago."""
    oldest = time.time() - seconds
    for path in list(folder.rglob("*")):
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()


def forget_visits(visits: StateHolder, seconds: float) -> None:
    """Delete what Gradio keeps of visitors who have done nothing for `seconds`."""
    oldest = datetime.now() - timedelta(seconds=seconds)  # Gradio's clock has no time zone.
    for key, used in list(visits.time_last_used.items()):
        if used < oldest:
            visits.session_data.pop(key, None)
            visits.time_last_used.pop(key, None)


async def delete_regularly(folder: Path, store: TemporaryStore, visits: StateHolder) -> None:
    """Delete old files and values until cancelled."""
    while True:
        forget_visits(visits, KEPT_SECONDS - INTERVAL)
        await asyncio.to_thread(delete_old_files, folder, KEPT_SECONDS - INTERVAL)
        store.delete_old()
        await asyncio.sleep(INTERVAL)
