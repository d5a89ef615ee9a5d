"""What a fresh clone installs."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
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
