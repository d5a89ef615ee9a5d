"""Commands as processes: without data, and with output to any terminal, pipe and disk.

test_own_data.py runs the commands of a whole competition, from crops to the submission.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.commands import run

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", ["shared/crop_faces.py", "combine.py"])
def test_without_data_a_command_says_where_to_get_some(command: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, ROOT / command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "face18 sample" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("lines", [1, 100_000], ids=["few lines", "many"])
def test_a_reader_that_has_gone_is_no_fault(lines: int, tmp_path: Path) -> None:
    script = tmp_path / "talk.py"
    script.write_text(TALK, encoding="utf-8")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, script, "--lines", str(lines)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


TALK = r"""
import os
from dataclasses import dataclass
from shared.commands import run
from shared.messages import UserError

@dataclass(frozen=True)
class Options:
    "Print a name."

    lines: int = 1
    fails: bool = False

def main(options):
    for _ in range(options.lines):
        print("caf\u00e9 \ud55c\uae00", os.fsdecode(b"\xe9.jpg"))
    if options.fails:
        raise UserError("no caf\u00e9")

run(main, Options())
"""


@pytest.mark.parametrize(
    ("encoding", "words", "status"),
    [
        ("ascii", [], 0),
        ("ascii", ["--help"], 0),
        ("ascii", ["--fails"], 2),
        ("cp1252", [], 0),
        ("cp949", [], 0),
        ("utf-8", [], 0),
    ],
)
def test_any_name_is_printed_on_any_terminal(encoding: str, words: list[str], status: int, tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(TALK, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "talk.py"), *words]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr
    if not words:
        printed = done.stdout.decode(encoding)
        assert ("\u00e9" in printed) == (encoding in ("cp1252", "utf-8"))
        assert ("\ud55c\uae00" in printed) == (encoding in ("cp949", "utf-8"))
        assert r"\udce9.jpg" in printed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
@pytest.mark.parametrize("words", [[], ["--lines", "100000"]], ids=["few", "many"])
def test_a_full_disk_behind_standard_output_is_an_error(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(TALK, encoding="utf-8")
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, str(tmp_path / "talk.py"), *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: the output cannot be written (No space left on device)\n"


def test_a_broken_pipe_elsewhere_is_told() -> None:
    @dataclass(frozen=True)
    class Options:
        """None."""

    def main(_: Options) -> None:
        raise BrokenPipeError("a worker has gone")

    with pytest.raises(BrokenPipeError, match="a worker"):
        run(main, Options(), [])


@pytest.mark.parametrize(("own", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_wait_without_spinning_unless_the_user_says_otherwise(
    own: dict[str, str], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "talk.py").write_text(TALK + "print(os.environ['OMP_WAIT_POLICY'])", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | own
    command = [sys.executable, str(tmp_path / "talk.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == expected
