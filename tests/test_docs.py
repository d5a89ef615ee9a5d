"""What README and docs say holds: commands, links, examples, quoted messages and benchmarks; what is installed."""

import ast
import doctest
import importlib
import re
import shlex
import sys
import tomllib
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from pipelines.age.options import AgeOptions
from shared.commands import parse
from shared.experiments.options import AblateOptions, TuneOptions
from shared.training.inference import PredictOptions
from shared.training.options import TrainOptions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"```\n(.*?)```", README, flags=re.DOTALL)).splitlines()
README_COMMANDS = sorted(
    {line for line in BLOCKS if line.startswith("python ")} | set(re.findall(r"`(python [^`]+)`", README))
)
OPTIONS: dict[str, Any] = {
    "pipelines.mask.train": TrainOptions(),
    "pipelines.gender.train": TrainOptions(),
    "pipelines.age.train": AgeOptions(),
    "pipelines.age.predict": PredictOptions(),
    "pipelines.age.ablate": AblateOptions(AgeOptions()),
    "pipelines.age.tune": TuneOptions(AgeOptions()),
}
"""Of the commands that have no class `Options` of their own."""


def test_there_are_commands_to_check() -> None:
    assert len(README_COMMANDS) >= 6


@pytest.mark.parametrize("command", README_COMMANDS)
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
    module = {"shared.page": "shared.page.__main__"}.get(program, program.removesuffix(".py").replace("/", "."))
    parse(OPTIONS.get(program) or importlib.import_module(module).Options(), flags)


def test_files_that_the_readme_links_to_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_make_targets_of_the_readme_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def parts(readme: str) -> dict[str, list[str]]:
    """What a translation leaves as it is: code without comments, commands, links, and levels of headings."""
    code = re.findall(r"```\n(.*?)```", readme, flags=re.DOTALL)
    text = re.sub(r"```\n.*?```", "", readme, flags=re.DOTALL)
    return {
        "code": [re.sub(r" +# .*", "", block) for block in code],
        "commands": sorted(set(re.findall(r"`((?:python|make|face18) [^`]+)`", text))),
        "links": [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("README")],
        "headings": re.findall(r"^#+ ", text, flags=re.MULTILINE),
    }


def test_the_korean_readme_names_the_same_commands_and_pages() -> None:
    korean = (ROOT / "README.ko.md").read_text(encoding="utf-8")
    assert parts(korean) == parts(README)
    assert "(README.ko.md)" in README.splitlines()[2]
    assert "(README.md)" in korean.splitlines()[2]


MODULES = [
    *(f"shared.fusion.{file.stem}" for file in sorted((ROOT / "shared" / "fusion").glob("*.py"))),
    "pipelines.age.years",
    "shared.messages",
    "shared.page.results",
    "shared.page.texts",
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


DOCS = " ".join(page.read_text(encoding="utf-8") for page in (*ROOT.glob("docs/*.md"), ROOT / "README.md"))
BENCHMARKS = sorted(
    file.stem for file in ROOT.glob("benchmarks/*.py") if "class Options" in file.read_text(encoding="utf-8")
)
sys.path.append(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_starts_says_how_it_is_run_and_is_quoted_in_the_docs(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")
    module.Options()
    assert f"python benchmarks/{name}.py" in module.__doc__
    assert f"benchmarks/{name}.py" in DOCS


PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^### `(.+)`$", PAGE, flags=re.MULTILINE)
QUOTED = [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", PAGE) if "…" in text]


def text_of(node: ast.AST) -> str | None:
    """A string of the sources, `…` where something is filled in; strings joined by + as one."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


@cache
def messages() -> str:
    sources = [ROOT / "combine.py", *(ROOT / "shared").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    found = [text_of(node) for path in sources for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return "\n\n".join(text for text in found if text)


@pytest.mark.parametrize("quoted", sorted({*HEADINGS, *QUOTED}))
def test_a_quoted_message_is_one_that_the_sources_give(quoted: str) -> None:
    # What stands for a name may be put together from several parts, and the doc's … may stand for one of them.
    pattern = ".{0,60}?".join(map(re.escape, quoted.split("…")))
    assert re.search(pattern, messages()), quoted


def test_no_message_is_explained_twice() -> None:
    assert len(set(HEADINGS)) == len(HEADINGS) > 40


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_every_package_of_ours_is_named_in_pyproject() -> None:
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for top in ("shared", "pipelines")
        for file in (ROOT / top).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_the_lock_holds_names_versions_and_hashes_and_no_address() -> None:
    assert "://" not in LOCK
    for pinned in LOCK.replace("\\\n", " ").splitlines():
        assert re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", pinned), pinned[:80]


def test_what_is_installed_is_what_the_ranges_allow() -> None:
    for line in PROJECT["project"]["dependencies"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(version(requirement.name)), line


def test_the_lock_pins_every_direct_dependency() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", LOCK, flags=re.MULTILINE))
    assert {Requirement(line).name for line in PROJECT["project"]["dependencies"]} <= pinned
