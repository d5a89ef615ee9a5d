"""The project's commands as processes of their own, to be killed, and what they leave."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna import load_study
from tiny_training import FLAGS

from pipelines.gender.specialist import GENDER
from shared.experiments.options import TuneOptions
from shared.experiments.study import finished
from shared.fusion.predictions import read_predictions
from shared.tracking import read_runs
from shared.training.model import load_weights
from shared.training.options import PredictOptions, TrainOptions

ROOT = Path(__file__).parents[2]

TRIALS = 2
"""Of a search."""

SENTENCE = "The same command goes on"
"""What Ctrl-C is answered with."""


@dataclass(frozen=True)
class Place:
    """A folder with data/, crops/ and runs/, and the commands that work there."""

    folder: Path

    @property
    def portraits(self) -> Path:
        """Images for the crop stage, where they were added."""
        return self.folder / "portraits"

    def options(self, run: Path) -> TrainOptions:
        """A training of some seconds."""
        tiny = {**FLAGS, "epochs": 2, "only_fold": None}
        return TrainOptions.of(data=self.folder / "data", crops=self.folder / "crops", outputs=run, **tiny)

    def train(self, run: Path, workers: int = 0, epochs: int = 2) -> list[str]:
        """The command line of `options`."""
        flags = f"--folds 2 --epochs {epochs} --size 32 --batch-size 8 --backbone test_efficientnet --no-pretrained"
        return [*self._specialist("train", workers), "--outputs", str(run), *flags.split()]

    def crop(self, out: Path, workers: int = 1, images: Path | None = None) -> list[str]:
        """The crop stage on `portraits`, in chunks of two, so that there is something between its start and its end."""
        code = """
from shared.interrupts import end_at_once_while_loading
end_at_once_while_loading()
from shared import crop_faces
from shared.faces import cache
from shared.commands import run
cache.CHUNK = 2
def main(options): crop_faces.main(options)
run(main, crop_faces.Options())
"""
        places = ["--data", str(images or self.portraits), "--out", str(out)]
        return ["-c", code, *places, "--device", "cpu", "--workers", str(workers)]

    def predict(self, run: Path, out: Path, workers: int = 0) -> list[str]:
        return [*self._specialist("predict", workers), "--outputs", str(run), "--out", str(out), "--batch-size", "8"]

    def prediction(self, run: Path, out: Path) -> PredictOptions:
        """Those of `predict`: as many images at once as in the training, for sums of floats depend on it."""
        return PredictOptions(
            self.folder / "data", self.folder / "crops", run, out, batch_size=8, device="cpu", workers=0
        )

    def _specialist(self, command: str, workers: int) -> list[str]:
        places = ["--data", str(self.folder / "data"), "--crops", str(self.folder / "crops")]
        return ["-m", f"pipelines.gender.{command}", *places, "--device", "cpu", "--workers", str(workers)]

    def tune_options(self, study: Path) -> TuneOptions:
        """A search of some seconds."""
        return TuneOptions(self.options(study).with_values(only_fold=0), trials=TRIALS)


def start(arguments: Sequence[str]) -> "subprocess.Popen[str]":
    """The command in a session of its own, so that all its processes can be counted and killed."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Until the condition holds, or the process has ended."""
    while not condition() and process.poll() is None:
        time.sleep(0.01)


def at_work(process: "subprocess.Popen[str]") -> bool:
    """Whether the command line is understood and torch is being loaded."""
    return "libtorch" in _maps(process)


def loading(process: "subprocess.Popen[str]") -> bool:
    """Whether Python itself has started, and the command is being loaded: the first libraries are."""
    return any(place in _maps(process) for place in ("lib-dynload", "site-packages"))


def _maps(process: "subprocess.Popen[str]") -> str:
    """The files that a process has mapped; nothing of one that has ended."""
    try:
        return Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return ""


def members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


def all_end(session: int) -> bool:
    """Whether all processes of a session end within ten seconds: one that has closed its pipes still needs a moment."""
    deadline = time.monotonic() + 10
    while members(session) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not members(session)


def interrupt(process: "subprocess.Popen[str]") -> bool:
    """Ctrl-C, as a terminal gives it to everybody; whether it came before the end."""
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert "Traceback" not in errors, errors
    assert process.returncode in ((0, 130) if running else (0,)), (process.returncode, errors)
    assert process.returncode == 0 or SENTENCE in errors, errors
    deadline = time.monotonic() + 60
    while left := members(process.pid):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.1)
    return process.returncode == 130


def files_of(run: Path) -> dict[str, bytes]:
    """What a training leaves that must not depend on when and in how many tries it was made."""
    assert not (remains := [*run.rglob(".*"), *run.rglob("resume.pt")]), remains
    files = [*run.rglob("*.csv"), *run.rglob("*.safetensors")]
    contents = {str(file.relative_to(run)): file.read_bytes() for file in files if file.name != "history.csv"}
    return {**contents, "scores": json.dumps(json.loads((run / "run.json").read_text())["scores"]).encode()}


def found_in(study: Path) -> dict[str, object]:
    """What a search leaves that must not depend on when and in how many tries it was made."""
    assert not (remains := [*study.rglob(".*"), *study.rglob("resume.pt")]), remains
    trials = finished(load_study(study_name="gender", storage=f"sqlite:///{study / 'study.db'}"))
    rows = read_runs(study.parent / "runs.csv")
    return {
        "trials": [(trial.state.name, trial.value, trial.params, trial.intermediate_values) for trial in trials],
        "best.toml": (study / "best.toml").read_text(),
        "runs.csv": sorted(zip(rows["kind"], rows["fold"], map(str, rows["scores"]), strict=True)),
        **{file.parent.parent.name: file.read_bytes() for file in study.rglob("*.safetensors")},
    }


def crops_in(out: Path) -> dict[str, bytes]:
    """All files of a finished crop set by name, without what killed runs left, which goes after an hour."""
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not path.name.startswith(".")}


def read_everything(run: Path) -> None:
    """Every file that a run has put in its place so far is whole."""
    for file in run.rglob("weights.safetensors"):
        load_weights(file)
    for file in (*run.rglob("oof.csv"), *run.rglob("eval.csv")):
        read_predictions(file, GENDER.classes)
    for file in run.glob("run.json"):
        json.loads(file.read_text())
