"""Who may import whom: the rules of docs/architecture.md, read off the sources."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("shared", "pipelines", "combine")
HEAVY = ("torch", "torchvision", "timm", "accelerate", "albumentations", "sklearn", "scipy", "matplotlib", "cv2")
SOURCES = sorted([*ROOT.glob("shared/**/*.py"), *ROOT.glob("pipelines/**/*.py"), ROOT / "combine.py"])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_of(path): path for path in SOURCES}


def imports(path: Path, at_load: bool = False) -> set[str]:
    """The dotted names that a file imports; those on loading it alone, or also those inside functions."""
    found = set()
    for node in _walk(ast.parse(path.read_text(encoding="utf-8")), at_load):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: say where from"
            assert node.module
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _walk(node: ast.AST, at_load: bool) -> Iterator[ast.AST]:
    """All nodes below; when `at_load`, without functions and what is for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        unseen = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not (at_load and (later or unseen)):
            yield child
            yield from _walk(child, at_load)


def loaded_with(module: str) -> set[str]:
    """Our modules and foreign packages that loading a module of ours loads, packages on the way included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parents = {name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)}
        if name not in seen:
            seen.add(name)
            waiting += parents | (imports(MODULES[name], at_load=True) if name in MODULES else set())
    return seen


def test_the_readers_see_modules_and_imports() -> None:
    assert {"combine", "shared.labels", "shared.competition"} <= MODULES.keys()
    assert "matplotlib.figure" in imports(ROOT / "shared" / "scores" / "figures.py")
    assert "matplotlib.figure" not in imports(ROOT / "shared" / "scores" / "figures.py", at_load=True)
    assert {"shared.tables", "shared.competition", "pandas"} <= loaded_with("combine")


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("pipelines.")])
def test_a_pipeline_imports_no_other_pipeline(module: str) -> None:
    own = ".".join(module.split(".")[:2])
    for name in imports(MODULES[module]):
        assert name.split(".")[0] != "pipelines" or f"{name}.".startswith(f"{own}."), f"{module} imports {name}"
        assert name.split(".")[0] != "combine", f"{module} imports {name}"


def test_shared_imports_neither_pipelines_nor_combine() -> None:
    for module, path in MODULES.items():
        if module.split(".")[0] == "shared":
            above = {name for name in imports(path) if name.split(".")[0] in ("pipelines", "combine")}
            assert not above, f"{module} imports {above}"


def test_labels_import_nothing_of_ours() -> None:
    assert not [name for name in imports(MODULES["shared.labels"]) if name.split(".")[0] in OURS]


def test_combine_and_what_it_imports_load_nothing_heavy() -> None:
    assert not {name.split(".")[0] for name in loaded_with("combine")} & set(HEAVY)


def test_combine_starts_without_torch() -> None:
    code = f"import sys, combine; print(*(set({HEAVY}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.split() == []


@pytest.mark.parametrize("task", ["mask", "gender", "age"])
def test_training_and_prediction_understand_their_options_before_they_load_anything_heavy(task: str) -> None:
    for command in ("train", "predict"):
        loaded = {name.split(".")[0] for name in loaded_with(f"pipelines.{task}.{command}")}
        assert not loaded & {*HEAVY, "pandas", "numpy"}, command


def test_timm_is_loaded_without_the_compiler_which_still_works_afterwards() -> None:
    code = """
import sys, torch
from shared.training.quick_timm import timm
assert "torch._dynamo" not in sys.modules
network = timm.create_model("test_efficientnet")
torch.optim.AdamW(network.parameters()).step()
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item() == 2
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT)


def test_nothing_in_shared_hides_a_module_of_python_or_of_a_library() -> None:
    names = {path.stem for path in (ROOT / "shared").iterdir() if path.suffix == ".py" or path.is_dir()}
    taken = sys.stdlib_module_names | packages_distributions().keys()
    # `python shared/crop_faces.py` looks into shared/ first: an `import logging` would find shared/logging.py.
    assert not names & taken - {"__init__", "__pycache__"}
