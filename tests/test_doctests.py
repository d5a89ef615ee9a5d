"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [
    *(f"shared.fusion.{file.stem}" for file in sorted((ROOT / "shared" / "fusion").glob("*.py"))),
    "pipelines.age.years",
    "shared.messages",
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
