"""Ctrl-C, and the sudden death of the main process: no reader is left behind."""

import os
import signal
from pathlib import Path

import pytest
from commands import KILLS, Place, files_of, members, start, wait_for

from pipelines.gender.specialist import GENDER
from shared.training.run import train


@pytest.mark.skipif(KILLS < 20, reason="where the signal falls depends on how busy the machine is; part of make soak")
def test_ctrl_c_leaves_no_process_and_says_how_to_go_on(place: Place, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(place.train(run, workers=1))
    wait_for((run / "fold0/resume.pt").exists, process)
    # Everybody gets it, as a terminal does.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "The same command goes on" in errors
    assert "Traceback" not in errors
    assert members(process.pid) == []
    train(GENDER, place.options(run))
    assert files_of(run) == files_of(undisturbed)


@pytest.mark.skipif(KILLS < 20, reason="waits for torch's readers, which look every five seconds; part of make soak")
def test_readers_do_not_outlive_a_training_that_was_killed(place: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(place.train(run, workers=2))
    wait_for((run / "fold0/resume.pt").exists, process)
    assert len(members(process.pid)) > 1
    process.kill()
    # Until the last process has closed its end of the pipes.
    process.communicate(timeout=60)
    assert members(process.pid) == []
