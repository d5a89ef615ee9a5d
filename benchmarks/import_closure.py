"""Print how many of our modules each main command imports, directly or through others.

    python benchmarks/import_closure.py

Imports inside functions count too; those for the type checker alone do not. `tests/test_imports.py` holds the limits.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = ("pipelines.age.train", "shared.crop_faces", "combine", "shared.predict")


def file_of(module: str) -> Path | None:
    """File of one of our modules or packages; None for a name that is neither."""
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def imports(module: str) -> frozenset[str]:
    """Names that a module of ours imports, modules or things in modules."""
    return frozenset(_imports(module))


def _imports(module: str) -> Iterator[str]:
    file = file_of(module)
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))] if file else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            waiting += ast.iter_child_nodes(node)


def closure(module: str) -> set[str]:
    """All of our modules that a module imports, directly or through others, itself included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and file_of(name):
            seen.add(name)
            waiting += imports(name)
    return seen


def code_lines(module: str) -> int:
    """Lines of a module's file."""
    file = file_of(module)
    return len(file.read_text(encoding="utf-8").splitlines()) if file else 0


if __name__ == "__main__":
    for command in COMMANDS:
        modules = sorted(module for module in closure(command) if code_lines(module) > 1)
        print(f"{command}: {len(modules)} modules, {sum(map(code_lines, modules)):,} lines")
        print("  " + " ".join(modules))
