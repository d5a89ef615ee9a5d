"""Images, Compose, clusters: the commands are real ones, and the service image holds all that the service needs."""

import importlib
import json
import re
import shlex
import signal
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import pytest
import yaml
from drawn_faces import files
from served import PATIENCE, TOKEN, serving

import face18
from pipelines.age.options import AgeOptions
from shared.commands import parse
from shared.experiments.options import TuneOptions
from shared.files import READY_MADE
from shared.predictor import Predictor

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SERVE, CHECK = (
    json.loads(re.findall(rf"^{start}CMD (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)[-1]) for start in ("", " +")
)
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
JOBS = list(yaml.safe_load_all((ROOT / "examples/cluster/training.yaml").read_text(encoding="utf-8")))
TUNE = JOBS[-1]["spec"]["template"]["spec"]["containers"][0]
PAGE = (ROOT / "docs/distributed.md").read_text(encoding="utf-8")
WRITTEN = [shlex.split(line, comments=True) for line in re.findall(r"^ +(face18 .*)$", PAGE, flags=re.MULTILINE)]
COMMANDS = [SERVE, COMPOSE["page"]["command"], TUNE["command"] + TUNE["args"], *WRITTEN]
LOCKS = [(ROOT / f"requirements{name}.lock").read_text(encoding="utf-8") for name in ("", "-service")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_an_image_or_a_cluster_takes_its_options(command: list[str]) -> None:
    known = face18.find(command[1:])
    assert known
    flags = [word for word in command[1 + len(known.words.split()) :] if word != "..."]
    module = {"shared.page": "shared.page.__main__"}.get(known.module, known.module)
    options = {"pipelines.age.train": AgeOptions(), "pipelines.age.tune": TuneOptions(AgeOptions())}
    parse(options.get(module) or importlib.import_module(module).Options(), flags)


def test_the_service_image_has_the_versions_of_all_others() -> None:
    assert "://" not in LOCKS[1]
    pinned = [set(re.findall(r"^[\w.-]+==\S+", lock, flags=re.MULTILINE)) for lock in LOCKS]
    assert pinned[1] < pinned[0]


WITHOUT = """
import sys
missing = set(sys.argv.pop(1).split())

class Missing:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing)
import face18
face18.main()
"""


def test_the_service_predicts_with_what_its_image_holds_and_is_found_healthy(tmp_path: Path) -> None:
    everywhere, here = (set(re.findall(r"^([\w.-]+)==", lock, flags=re.MULTILINE)) for lock in LOCKS)
    others = everywhere - here
    known = {module: {name.lower().replace("_", "-") for name in by} for module, by in packages_distributions().items()}
    missing = [module for module, names in known.items() if names <= others]
    assert {"torch", "timm", "gradio"} <= set(missing)
    program = ["-c", WITHOUT, " ".join(missing), *SERVE[1:]]
    with serving(READY_MADE, tmp_path / "log", program=program) as (server, address):
        head = {"Authorization": f"Bearer {TOKEN}"}
        response = httpx.post(f"{address}/faces", content=files()[0], headers=head, timeout=PATIENCE, trust_env=False)
        (expected,) = Predictor.load(device="cpu", runtime="onnx")(files()[0])
        assert [face["class"] for face in response.json()["faces"]] == [face.class_number for face in expected.faces]
        port = address.rpartition(":")[2]
        check = [sys.executable, *(word.replace("8018", port) for word in CHECK[1:])]
        assert subprocess.run(check).returncode == 0
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 0
    assert subprocess.run(check, capture_output=True).returncode == 1


def test_an_image_holds_programs_and_no_data() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    first, *others = [line for line in lines if not line.startswith("#")]
    assert first == "*"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if tracked:
        assert {line[1:] for line in others if line.startswith("!")} <= {name.split("/")[0] for name in tracked}
