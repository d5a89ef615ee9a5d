"""Files whole or not at all, and nothing left of processes that were killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared import files as atomic
from shared.files import replacing, write_text
from shared.messages import UserError


def remains(path: Path, host: str, process: int) -> Path:
    """A temporary file of that process for `path`."""
    file = path.with_name(f".{path.stem}.{host}-{process}-1{path.suffix}")
    file.write_text("half")
    return file


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_file_stays_as_it_was_when_writing_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_text(path, "old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]
    assert path.read_text() == "old"


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv/b").mkdir(parents=True)
    with pytest.raises(UserError, match=r"a.csv cannot be written"):
        write_text(tmp_path / "a.csv", "new")


def test_what_a_killed_process_left_is_removed_but_not_what_a_living_one_writes(tmp_path: Path, dead: int) -> None:
    path = tmp_path / "a.csv"
    left, written = remains(path, atomic._HOST, dead), remains(path, atomic._HOST, os.getpid())
    write_text(path, "new")
    assert not left.exists()
    assert written.exists()


def test_what_another_machine_writes_is_removed_only_when_it_is_stale(tmp_path: Path, dead: int) -> None:
    path = tmp_path / "a.csv"
    fresh, stale = remains(path, "00000000", dead), remains(tmp_path / "b.csv", "00000000", dead)
    before = time.time() - atomic.STALE - 1
    os.utime(stale, (before, before))
    write_text(path, "new")
    assert fresh.exists()
    assert not stale.exists()


def test_hidden_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").touch()
    (tmp_path / ".env.2024-01-01.txt").touch()
    write_text(tmp_path / "a.csv", "new")
    assert len(list(tmp_path.iterdir())) == 3
