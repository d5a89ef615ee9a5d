"""Files whole or not at all, and nothing left of processes that were killed."""

import csv
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from shared import files as atomic
from shared.files import csv_text, find_images, lock, refuse_overwriting, replacing, table_csv, write_csv, write_text
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


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real/a.csv", tmp_path / "a.csv"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    link.unlink()
    link.symlink_to(tmp_path / "real/b.csv")  # Of a file that does not exist yet.
    write_text(link, "new")
    assert (tmp_path / "real/b.csv").read_text() == "new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "new")
    reader.join(10)
    assert got == ["new"]
    assert pipe.is_fifo()


HOSTILE = ["a,b", 'say "x"', "two\nlines", "", "plain"]


def test_csv_with_line_breaks_in_values_is_read_back_as_written(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [HOSTILE, HOSTILE])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [HOSTILE, HOSTILE]
    assert csv_text([["a", "b"]]) == "a,b\n"
    frame = pd.DataFrame({"name": HOSTILE, "number": range(len(HOSTILE))})
    text = table_csv(frame, index=False)
    assert [row[0] for row in csv.reader(io.StringIO(text, newline=""))] == ["name", *HOSTILE]


def test_a_name_that_is_no_utf_8_is_written_as_an_escape(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [[os.fsdecode(b"caf\xe9.jpg")]])
    assert (tmp_path / "a.csv").read_bytes() == rb"caf\udce9.jpg" + b"\n"


def test_a_lock_admits_one_process_at_a_time(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from shared.files import lock\nwith lock(Path({str(tmp_path)!r})): print('in')"
    with lock(tmp_path):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "is in use by another process" in done.stderr
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "in\n"


def test_an_output_that_is_an_input_is_refused_under_any_name(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "a.jpg").write_text("a")
    (tmp_path / "link").symlink_to(photographs)
    os.link(photographs / "a.jpg", tmp_path / "hard.jpg")
    for output in (photographs, tmp_path / "link", tmp_path / "link/a.jpg"):
        with pytest.raises(UserError, match=r"--out .* would overwrite its input"):
            refuse_overwriting({"--out": output}, [photographs])
    for output in (tmp_path / "hard.jpg", tmp_path / "x/../photographs/a.jpg"):
        with pytest.raises(UserError, match="--draw"):
            refuse_overwriting({"--draw": output}, [photographs / "a.jpg"])
    refuse_overwriting({"--out": photographs / "new.csv", "--draw": None}, [photographs])


def test_images_are_found_in_linked_folders_too_and_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in").mkdir()
    for name in ("elsewhere/b.WEBP", "in/a.jpg", "in/.hidden.jpg", "in/.DS_Store", "in/notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/gone.png").symlink_to(tmp_path / "nowhere")
    found = find_images(tmp_path / "in")
    assert [file.relative_to(tmp_path / "in").as_posix() for file in found.images] == ["a.jpg", "linked/b.WEBP"]
    assert found.remark() == "3 files not read as images: .hidden.jpg, gone.png, notes.txt"
