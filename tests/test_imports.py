"""Who may import whom: the rules of docs/architecture.md, checked on the sources."""

import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from import_closure import closure, file_of, imports

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("shared/**/*.py"), *ROOT.glob("pipelines/**/*.py"), ROOT / "combine.py"])
MODULES = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in FILES]
HEAVY = {"torch", "torchvision", "timm", "accelerate", "albumentations", "sklearn", "scipy", "matplotlib", "cv2"}

LAYERS = (
    (
        "shared.labels",
        "shared.messages",
        "shared.files",
        "shared.bundle_source",
        "shared.interrupts",
        "shared.commands",
    ),
    ("shared.tables", "shared.folds", "shared.label_fixes", "shared.manifest", "shared.check", "shared.tracking"),
    ("shared.crops", "shared.faces", "shared.crop_faces", "shared.near_duplicates", "shared.import_dataset"),
    ("shared.mask_overlay", "shared.portraits", "shared.sample_data"),
    ("shared.fusion", "combine"),
    ("shared.specialist", "shared.training", "shared.weights"),
    ("shared.predictor", "shared.predict", "shared.bundle", "shared.student", "shared.cluster", "shared.crop_shards"),
)
"""Lowest first: a module imports from its own layer and from those below."""

APPS = {
    "reports": ("shared.reports", "shared.report", "shared.eda", "shared.label_audit"),
    "experiments": ("shared.experiments",),
    "runs": ("shared.runs",),
    "ready-made model": ("shared.ready_model", "shared.ready_bundle", "shared.ready_data"),
    "service and page": ("shared.serving", "shared.serve", "shared.page"),
}
"""Above all layers; no module outside an app imports it, but the commands of `pipelines`."""

LIMITS = {"pipelines.age.train": 47, "shared.crop_faces": 18, "combine": 18, "shared.predict": 41}
"""Modules of ours that a command may import, directly or through others."""


def belongs(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def ours(module: str) -> set[str]:
    """Modules of ours that a module imports; packages that only hold the imported module are left out."""
    found = {name for name in imports(module) if file_of(name)}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)} - {module}


def layer_of(module: str) -> int | None:
    return next((number for number, places in enumerate(LAYERS) if belongs(module, places)), None)


@pytest.mark.parametrize("module", [module for module in MODULES if layer_of(module) is not None])
def test_a_module_imports_nothing_from_a_higher_layer(module: str) -> None:
    for name in ours(module):
        above = name.startswith("pipelines") or any(belongs(name, places) for places in APPS.values())
        layer, own = layer_of(name), layer_of(module)
        assert not above, f"{module} imports {name}"
        assert layer is None or own is None or layer <= own, f"{module} imports {name}, which is above it"


@pytest.mark.parametrize("app", APPS)
def test_an_app_is_imported_by_nothing_else(app: str) -> None:
    for module in MODULES:
        if not belongs(module, APPS[app]) and not module.startswith("pipelines."):
            assert not {name for name in ours(module) if belongs(name, APPS[app])}, f"{module} imports {app}"


def test_no_circle_of_imports_exists_between_files() -> None:
    for module in MODULES:
        below = set().union(*(closure(name) for name in ours(module)), set())
        assert module not in below or file_of(module) is None or module in PACKAGES, f"{module} imports itself"


PACKAGES = {module for module in MODULES if (file_of(module) or ROOT).name == "__init__.py"}


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("pipelines.")])
def test_a_pipeline_imports_no_other_pipeline(module: str) -> None:
    own = ".".join(module.split(".")[:2])
    for name in imports(module):
        assert name.split(".")[0] != "pipelines" or f"{name}.".startswith(f"{own}."), f"{module} imports {name}"
        assert name.split(".")[0] != "combine", f"{module} imports {name}"


@pytest.mark.parametrize(("command", "limit"), LIMITS.items())
def test_a_command_can_be_followed_through_few_modules(command: str, limit: int) -> None:
    assert len([module for module in closure(command) if module not in PACKAGES]) <= limit


def test_every_module_has_its_layer() -> None:
    for module in MODULES:
        app = any(belongs(module, places) for places in APPS.values())
        known = app or layer_of(module) is not None or module.startswith("pipelines") or module in ("shared",)
        assert known or module in ("shared.html_pages",), f"{module} is in no layer: add it to LAYERS or APPS"


def loaded_at_start(module: str) -> set[str]:
    """Packages that are loaded when a command has imported its own module."""
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in run.stdout.split()}


def test_combine_starts_without_torch_and_other_heavy_packages() -> None:
    assert not loaded_at_start("combine") & HEAVY


@pytest.mark.parametrize("task", ["mask", "gender", "age"])
def test_training_and_prediction_parse_their_options_before_they_load_anything_heavy(task: str) -> None:
    for command in ("train", "predict"):
        assert not loaded_at_start(f"pipelines.{task}.{command}") & {*HEAVY, "pandas", "numpy"}, command


def test_nothing_in_shared_hides_a_module_of_python_or_of_a_library() -> None:
    names = {path.stem for path in (ROOT / "shared").iterdir() if path.suffix == ".py" or path.is_dir()}
    taken = sys.stdlib_module_names | packages_distributions().keys()
    # `python shared/crop_faces.py` looks into shared/ first: an `import logging` would find shared/logging.py.
    assert not names & taken - {"__init__", "__pycache__"}
