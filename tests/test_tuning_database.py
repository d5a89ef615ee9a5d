"""Workers that share a study in a real PostgreSQL, started by the test."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from sqlalchemy.pool import NullPool
from tiny_training import FLAGS, write_data

from shared.experiments.options import TuneOptions
from shared.experiments.study import finished, open_study
from shared.messages import UserError

ROOT = Path(__file__).parents[1]
SECRET = "not-to-be-printed"

WORKER = """
import runpy
from shared.experiments import study
study.HEARTBEAT, study.GRACE = 1, 4
runpy.run_module("pipelines.gender.tune", run_name="__main__", alter_sys=True)
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of an empty database, without its password."""
    found = [*map(str, Path("/usr/lib/postgresql").glob("*/bin")), *os.environ["PATH"].split(os.pathsep)]
    programs = [shutil.which(name, path=os.pathsep.join(found)) for name in ("initdb", "pg_ctl")]
    if None in programs:
        pytest.skip("PostgreSQL is not installed")
    initdb, pg_ctl = map(str, programs)
    # PostgreSQL refuses to run as root, and its user cannot enter the folders of pytest.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret"
        secret.write_text(SECRET)
        if user:
            for path in (Path(folder), secret):
                shutil.chown(path, user)
        port, files = free_port(), f"{folder}/files"
        start = ["--username=face18", f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync"]
        subprocess.run([initdb, f"--pgdata={files}", *start], check=True, user=user, cwd=folder, capture_output=True)
        settings = f"-c fsync=off -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        server = [pg_ctl, f"--pgdata={files}", f"--log={folder}/log", "--wait", "-o", settings]
        subprocess.run([*server, "start"], check=True, user=user, cwd=folder)
        try:
            yield f"postgresql+psycopg://face18@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*server, "--mode=immediate", "stop"], check=True, user=user, cwd=folder)


def test_two_workers_finish_every_trial_once_although_one_is_killed(database: str, tmp_path: Path) -> None:
    write_data(tmp_path)
    flags = {**FLAGS, "epochs": 2, "trials": 3, "data": tmp_path / "data", "crops": tmp_path / "crops"}
    words = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    place = words.index("--pretrained")
    words[place : place + 2] = ["--no-pretrained", "--storage", database]

    def start(machine: str) -> "subprocess.Popen[str]":
        # Each in a folder of its own, as on machines that share nothing but the database.
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, *words, "--outputs", str(tmp_path / machine / "search")],
            cwd=ROOT,
            env={**os.environ, "PGPASSWORD": SECRET},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    killed, other = start("a"), start("b")
    while not [*tmp_path.glob("a/search/trial-*/fold0/resume.pt")]:
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    printed, _ = other.communicate(timeout=300)
    assert other.returncode == 0, printed
    assert SECRET not in printed
    assert "Warning" not in printed
    storage = RDBStorage(database.replace("@", f":{SECRET}@"), {"poolclass": NullPool})
    trials = optuna.load_study(study_name="search", storage=storage).trials
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED", "FAIL"}
    done = [trial.params for trial in trials if trial.state.name != "FAIL"]
    assert len(done) == 3
    assert len({str(params) for params in done}) == 3, "a trial ran twice"
    (lost,) = [trial.params for trial in trials if trial.state.name == "FAIL"]
    assert lost in done


def test_a_wrong_password_is_not_printed(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "a wrong secret")
    with pytest.raises(UserError, match=r'password authentication failed for user "face18"') as refusal:
        open_study(database, "search", {}, prune=True)
    assert "a wrong secret" not in str(refusal.value)


def test_a_study_in_a_database_refuses_other_options(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert finished(open_study(database, "other", {"size": 96}, prune=True)) == []
    with pytest.raises(UserError, match=r"postgres holds trials .*--size was 96, now 112"):
        open_study(database, "other", {"size": 112}, prune=True)


def test_a_database_that_is_not_there_is_named_at_once() -> None:
    address = f"postgresql+psycopg://face18@127.0.0.1:{free_port()}/face18"
    with pytest.raises(UserError, match=r"face18@127.0.0.1:\d+/face18 cannot be opened as a study .*refused"):
        open_study(address, "search", {}, prune=True)


@pytest.mark.parametrize(
    "address",
    ["postgresql+psycopg://me:hidden@host/db", "postgresql+psycopg://me:h/i#d@host/db", "mysql://me:hidden@host/db"],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UserError, match="PGPASSWORD") as refusal:
        TuneOptions(storage=address)
    assert "h/i" not in str(refusal.value)
    assert "hidden" not in str(refusal.value)


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"must begin with postgresql\+psycopg://, and sqlite:///study.db does not"):
        TuneOptions(storage="sqlite:///study.db")
