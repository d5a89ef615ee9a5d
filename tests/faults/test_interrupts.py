"""Ctrl-C: a sentence on how to go on, and nothing left behind; kill -9 of the main process ends the others too."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, Place, all_end, at_work, interrupt, loading, members, read_everything, start, wait_for
from drawn_faces import write_portraits
from tiny_competition import write_csv

from shared.crops import UNFINISHED
from shared.interrupts import STOPPED
from shared.training.fit import load_checkpoint

MANY = 10_000
"""Epochs: so many that no test comes too late for them."""


def test_ctrl_c_leaves_no_process_and_a_checkpoint_to_go_on_from(place: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(place.train(run, workers=1, epochs=MANY))
    wait_for((run / "fold0/resume.pt").exists, process)
    readers = set(members(process.pid)) - {process.pid}
    assert readers
    for reader in readers:
        os.kill(reader, signal.SIGINT)
    (run / "fold0/resume.pt").unlink()
    # The next one comes only where the readers went on, deaf to what was for the main process.
    wait_for((run / "fold0/resume.pt").exists, process)
    assert readers <= set(members(process.pid))
    assert interrupt(process)
    read_everything(run)
    state = load_checkpoint(run / "fold0/resume.pt")
    assert state is not None
    assert 0 < len(state["history"]) < MANY


def _is_deaf(process: int) -> bool:
    """Whether Ctrl-C is blocked or ignored there, as Linux tells; True of a process that is no more."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True
    masks = dict(line.split(":", 1) for line in status.splitlines())
    return bool((int(masks["SigBlk"], 16) | int(masks["SigIgn"], 16)) & 1 << signal.SIGINT - 1)


def test_processes_that_crop_are_deaf_to_ctrl_c_from_their_first_moment_on(tmp_path: Path) -> None:
    place, crops, deaf = Place(tmp_path), tmp_path / "crops", dict[int, bool]()
    names = write_portraits(place.portraits / "images")["image"]
    write_csv(place.portraits / "info.csv", ("ImageID", "ans"), [{"ImageID": name, "ans": 0} for name in names])
    process = start(place.crop(crops, workers=2))

    def first_chunk_is_done() -> bool:
        for member in set(members(process.pid)) - {process.pid}:
            deaf[member] = deaf.get(member, True) and _is_deaf(member)
        return any((crops / UNFINISHED).glob("*.csv"))

    wait_for(first_chunk_is_done, process)
    assert not _is_deaf(process.pid)
    assert interrupt(process)
    assert len(deaf) >= 2
    assert all(deaf.values())


@pytest.mark.parametrize("stage", ["train", "crop"])
def test_without_the_main_process_the_others_end(place: Place, tmp_path: Path, stage: str) -> None:
    if stage == "train":
        process, begun = start(place.train(tmp_path, workers=2, epochs=MANY)), tmp_path / "fold0/resume.pt"
    else:
        process, begun = start(place.crop(tmp_path, workers=2, images=place.folder / "data")), tmp_path / "eval"
    wait_for(begun.exists, process)
    assert len(members(process.pid)) > 1
    process.kill()
    # Until the last process has closed its end of the pipes.
    process.communicate(timeout=60)
    assert all_end(process.pid)


def test_ctrl_c_while_torch_is_loaded_says_how_to_go_on(place: Place, undisturbed: Path, tmp_path: Path) -> None:
    process = start(place.predict(undisturbed, tmp_path / "eval.csv"))
    wait_for(lambda: at_work(process), process)
    assert interrupt(process)


@pytest.mark.parametrize("module", ["pipelines.gender.predict", "combine.py", "shared/crop_faces.py", "shared.predict"])
def test_ctrl_c_while_a_command_is_loaded_says_how_to_go_on(module: str) -> None:
    process = start([module, "--help"] if module.endswith(".py") else ["-m", module, "--help"])
    wait_for(lambda: loading(process), process)
    assert interrupt(process)


BREAKING = """
import atexit, signal
from dataclasses import dataclass
from shared.commands import run

@dataclass(frozen=True)
class Options:
    "Of this test."

def main(options):
    {body}

run(main, Options(), [])
{after}
"""


@pytest.mark.parametrize(
    ("body", "after", "status"),
    [
        ("signal.raise_signal(signal.SIGINT)", "", 130),
        # As C++ may do where Python code that it calls is interrupted.
        ("try: signal.raise_signal(signal.SIGINT)\n    except KeyboardInterrupt: raise ImportError", "", 130),
        ("atexit.register(signal.raise_signal, signal.SIGINT); signal.raise_signal(signal.SIGINT)", "", 130),
        ("pass", "signal.raise_signal(signal.SIGINT)", 0),
        ("atexit.register(signal.raise_signal, signal.SIGINT)", "", 0),
    ],
    ids=["plain", "another exception", "twice", "after the end", "at the very end"],
)
def test_whatever_becomes_of_ctrl_c_the_exit_status_tells(body: str, after: str, status: int) -> None:
    code = BREAKING.format(body=body, after=after)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert done.stderr == (f"{STOPPED}\n" if status else "")
