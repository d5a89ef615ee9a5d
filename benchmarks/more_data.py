"""Measure the gain of further persons and of drawn masks, alone and together, on persons never seen.

    python benchmarks/more_data.py --data FOLDER --extra EXTRA

Each specialist is trained with neither, drawn masks, further persons, and both (bare further persons without masks
teach the mask specialist nothing). One fold of five; the number of images shown is about the same in all four. Finished
stages are kept, so a stopped run can be continued.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from stages import run_stage

from shared.commands import run
from shared.fusion.ages import age_error
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import accuracy, macro_f1
from shared.fusion.predictions import EVAL, read_predictions
from shared.label_fixes import read_solution
from shared.labels import CLASS_COUNT
from shared.tracking import Record, is_recorded, origin, record

DIVISORS = {"mask": 6, "gender": 3, "age": 1}
"""A class, 0-17, divided by this, modulo the number of the specialist's classes, is the specialist's."""


@dataclass(frozen=True)
class Options:
    """Train with and without further persons and drawn masks, and score on a data set with eval_solution.csv."""

    data: Path = Path("data")
    """A competition folder with eval_solution.csv in it."""
    extra: Path = Path("data/extra")
    """Further labelled persons."""
    crops: Path | None = None
    """Crops of both; made in --out if missing."""
    out: Path = Path("outputs/more_data")
    """Folder of crops and runs."""
    tasks: tuple[str, ...] = tuple(SPECIALISTS)
    """Specialists to train."""
    ways: tuple[str, ...] = ("neither", "masks", "extra", "both")
    """Variants to train."""
    epochs: int = 6
    """Passes over the base images without extra persons; with them fewer, so that as many images are shown."""
    size: int = 112
    """Input size of the networks, pixels."""
    share: float = 0.3
    """--drawn-masks of the variants with masks."""
    extra_epochs: int = 3
    """Passes with extra persons, each of about twice as many images."""


def main(options: Options) -> None:
    crops = options.crops or options.out / "crops"
    run_stage("-m", "shared.crop_faces", "--data", options.data, "--out", crops)
    for task in options.tasks:
        for way in options.ways:
            if (task, way) != ("mask", "extra"):
                run_stage(*_training(options, crops, task, way))
    truth = read_solution(options.data / "eval_solution.csv")
    print("\n".join(_table(options, truth)))


def _training(options: Options, crops: Path, task: str, way: str) -> list[object]:
    with_extra = way in ("extra", "both")
    command: list[object] = ["-m", f"pipelines.{task}.train", "--data", options.data, "--crops", crops]
    command += ["--outputs", options.out / way / task, "--folds", 5, "--only-fold", 0, "--size", options.size]
    command += ["--epochs", options.extra_epochs if with_extra else options.epochs]
    command += ["--drawn-masks", options.share if way in ("masks", "both") else 0]
    return [*command, "--extra", options.extra] if with_extra else command


def _table(options: Options, truth: pd.DataFrame) -> list[str]:
    """Scores on the eval images as lines; those of each way are a row of runs.csv too."""
    lines = [f"{'':<10}{'mask F1':>10}{'gender':>10}{'band F1':>10}{'age MAE':>10}{'18 F1':>10}"]
    for way in options.ways:
        started = time.perf_counter()
        predictions = {task: _predictions(options, way, task) for task in SPECIALISTS}
        scores = {task: _score(task, predictions[task], truth) for task in SPECIALISTS}
        if (age := predictions["age"]) is not None:
            scores["mae_years"] = float(np.abs(age_error(age["age"], truth["age"].loc[age.index])).mean())
        scores["macro_f1"] = _together(predictions, truth)
        known = {name: score for name, score in scores.items() if score is not None}
        digits = {name: f"{score:.{2 if name == 'mae_years' else 3}f}" for name, score in known.items()}
        columns = (*SPECIALISTS, "mae_years", "macro_f1")
        lines.append(f"{way:<10}" + "".join(f"{digits.get(name, ''):>10}" for name in columns))
        _record(options, way, known, time.perf_counter() - started)
    return lines


def _record(options: Options, way: str, scores: dict[str, float], seconds: float) -> None:
    """Add a row to runs.csv beside the folder of each variant, unless it is there."""
    data, recipe = origin(options.out / way / task for task in SPECIALISTS)
    entry = Record("score", "together", options.out / way, seconds, scores, asdict(options), data, recipe)
    if not is_recorded(entry):
        record(entry)


def _predictions(options: Options, way: str, task: str) -> pd.DataFrame | None:
    file = options.out / ("masks" if (task, way) == ("mask", "extra") else way) / task / EVAL
    return read_predictions(file, SPECIALISTS[task]) if file.exists() else None


def _chosen(task: str, predictions: pd.DataFrame) -> NDArray[np.int64]:
    return predictions[list(SPECIALISTS[task])].to_numpy().argmax(1)


def _score(task: str, predictions: pd.DataFrame | None, truth: pd.DataFrame) -> float | None:
    """Macro F1 of mask and band, accuracy of gender."""
    if predictions is None:
        return None
    count = len(SPECIALISTS[task])
    right = truth["truth"].loc[predictions.index].to_numpy() // DIVISORS[task] % count
    chosen = _chosen(task, predictions)
    return accuracy(right, chosen) if task == "gender" else macro_f1(right, chosen, count)


def _together(predictions: dict[str, pd.DataFrame | None], truth: pd.DataFrame) -> float | None:
    """Macro F1 of the 18 classes, each specialist's most probable class taken."""
    known = {task: table for task, table in predictions.items() if table is not None}
    if len(known) < len(predictions):
        return None
    images = known["mask"].index
    chosen = sum(DIVISORS[task] * _chosen(task, table.loc[images]) for task, table in known.items())
    return macro_f1(truth["truth"].loc[images].to_numpy(), np.asarray(chosen), CLASS_COUNT)


if __name__ == "__main__":
    run(main, Options())
