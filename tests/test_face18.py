"""The one command: it has everything, starts at once, and says what it does not know."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import face18

ROOT = Path(__file__).parents[1]


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, ROOT / "face18.py", *words], capture_output=True, text=True, check=False, cwd=ROOT
    )


def is_command(file: Path) -> bool:
    return '\nif __name__ == "__main__":\n' in file.read_text(encoding="utf-8")


def test_every_module_that_can_be_started_is_a_subcommand_and_the_other_way_round() -> None:
    files = [*ROOT.glob("shared/*.py"), *ROOT.glob("pipelines/*/*.py"), ROOT / "combine.py"]
    startable = {".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files if is_command(f)}
    startable |= {f"shared.{file.parent.name}" for file in ROOT.glob("shared/*/__main__.py")}
    assert {command.module for command in face18.COMMANDS} == startable


def test_no_command_hides_another() -> None:
    assert all(face18.find(command.words.split()) == command for command in face18.COMMANDS)


def test_help_lists_the_commands_and_loads_nothing_but_python_itself() -> None:
    code = "import sys; before = set(sys.modules); import face18; sys.argv = ['face18', '--help']; face18.main(); "
    code += "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    *listed, loaded = done.stdout.splitlines()
    assert any(line.split()[:2] == ["train", "age"] for line in listed)
    ours = {"face18", "shared", "pipelines"}
    assert set(loaded.split()) - ours <= sys.stdlib_module_names


def test_a_subcommand_takes_the_options_of_its_module_and_gives_its_exit_status(tmp_path: Path) -> None:
    assert "face18 runs" in run("runs", "--help").stdout
    done = run("runs", "--table", str(tmp_path / "gone.csv"))
    assert done.returncode == 2
    assert "gone.csv is missing" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["predcit", "a.jpg"], "did you mean predict or predict-eval?"),
        (["trian", "age"], "did you mean train age"),
        (["train"], "face18 train needs one of: mask, gender, age"),
        (["train", "ages"], "face18 train needs one of: mask, gender, age"),
        (["xyzzy"], "has no command 'xyzzy'"),
        (["--verbose"], "has no command '--verbose'"),
    ],
)
def test_an_unknown_command_is_refused_with_what_may_have_been_meant(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["face18", *words])
    with pytest.raises(SystemExit) as stopped:
        face18.main()
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert run("--version").stdout == f"face18 {project['project']['version']}\n"


def test_a_folder_of_the_user_named_shared_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/__init__.py").write_text("raise SystemExit('the user's own folder')")
    environment = {**os.environ, "PYTHONPATH": f"{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "face18", "runs"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "outputs/runs.csv is missing" in done.stderr
