"""Every benchmark can be run, says how, and backs a figure of the docs."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = " ".join(page.read_text(encoding="utf-8") for page in (*ROOT.glob("docs/*.md"), ROOT / "README.md"))
COMMANDS = sorted(
    file.stem for file in ROOT.glob("benchmarks/*.py") if "class Options" in file.read_text(encoding="utf-8")
)
sys.path.append(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_starts_says_how_it_is_run_and_is_quoted_in_the_docs(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")
    module.Options()
    assert f"python benchmarks/{name}.py" in module.__doc__
    assert f"benchmarks/{name}.py" in DOCS
