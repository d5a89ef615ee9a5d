"""What the README tells people to type must work."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import combine
from pipelines.age.options import AgeOptions
from shared import bundle, check, crop_faces, predict, runs, serve
from shared.commands import parse
from shared.experiments.options import AblateOptions, TuneOptions
from shared.page import __main__ as page
from shared.training.inference import PredictOptions
from shared.training.options import TrainOptions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"```\n(.*?)```", README, flags=re.DOTALL)).splitlines()
COMMANDS = sorted(
    {line for line in BLOCKS if line.startswith("python ")} | set(re.findall(r"`(python [^`]+)`", README))
)
OPTIONS: dict[str, Any] = {
    "shared/crop_faces.py": crop_faces.Options(),
    "shared.check": check.Options(),
    "shared.runs": runs.Options(),
    "shared.predict": predict.Options(),
    "shared.bundle": bundle.Options(),
    "shared.page": page.Options(),
    "shared.serve": serve.Options(),
    "pipelines.mask.train": TrainOptions(),
    "pipelines.gender.train": TrainOptions(),
    "pipelines.age.train": AgeOptions(),
    "pipelines.age.predict": PredictOptions(),
    "pipelines.age.ablate": AblateOptions(AgeOptions()),
    "pipelines.age.tune": TuneOptions(AgeOptions()),
    "combine.py": combine.Options(),
}


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_exists_and_takes_its_options(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, *words = shlex.split(command.replace("\n", " "))
    program, *flags = words[1:] if words[0] == "-m" else words
    assert (ROOT / program).is_file() if program.endswith(".py") else find_spec(program), f"{program} is not there"
    monkeypatch.chdir(tmp_path)
    for config in [Path(word) for word in flags if word.endswith(".toml")]:
        config.parent.mkdir(parents=True)
        config.write_text("")
    if program in OPTIONS:
        parse(OPTIONS[program], flags)


def test_files_that_the_readme_links_to_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_make_targets_of_the_readme_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
