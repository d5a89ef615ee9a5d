"""Measure the coverage of the 80 % intervals of age on persons never seen, and that of plain quantiles.

    python benchmarks/age_intervals.py --outputs outputs --truth data/eval_solution.csv

Reads trained runs, with true ages in oof.csv, and the true labels of their eval images: ImageID, age, and person if a
person has several images.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.commands import run
from shared.fusion.age_intervals import AgeIntervals
from shared.fusion.ages import middle_of_year, year_columns
from shared.fusion.metrics import format_interval, mean_interval
from shared.fusion.predictions import read_predictions
from shared.fusion.rules import temper
from shared.labels import BANDS, age_band
from shared.messages import UserError
from shared.predictor.from_runs import read_trained_runs, runs_below
from shared.tracking import Record, origin, record


@dataclass(frozen=True)
class Options:
    """Score intervals of age."""

    outputs: Path = Path("outputs")
    """Folder with trained runs as mask/, gender/ and age/."""
    truth: Path = Path("data/eval_solution.csv")
    """ImageID, age, and person if a person has several images."""


def main(options: Options) -> None:
    started = time.perf_counter()
    decisions = read_trained_runs(runs_below(options.outputs), options.outputs).contents.decisions
    if decisions.intervals.coverage is None:
        raise UserError(f"{options.outputs}/age/oof.csv does not tell ages in years: train the age specialist again")
    predictions = read_predictions(options.outputs / "age" / "eval.csv", BANDS)
    truth = pd.read_csv(options.truth, dtype={"person": str}).set_index("ImageID").loc[predictions.index]
    years = predictions[year_columns(predictions)].to_numpy(np.float64)
    years /= years.sum(axis=1, keepdims=True)
    temperature = decisions.fitted_rule.temperatures["age"]
    ways = {
        "quantiles as they are": AgeIntervals().ends(years),
        "quantiles, tempered": AgeIntervals().ends(temper(years, temperature)),
        "moved as held-out persons ask": decisions.intervals.ends(temper(years, temperature)),
    }
    print(f"held out: {decisions.intervals.coverage}")
    print(f"eval, {len(truth):,} images, aim 0.8:")
    print(pd.DataFrame({name: scores(truth, *ends) for name, ends in ways.items()}).T.to_string())
    found = {f"held: {name}": float(holds(truth, *ends).mean()) for name, ends in ways.items()}
    folder = options.outputs / "age"
    data, recipe = origin([folder])
    seconds = time.perf_counter() - started
    record(Record("score", "age", folder, seconds, found, asdict(options), data, recipe))


def holds(truth: pd.DataFrame, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the interval of each image (N,) holds its age."""
    ages = middle_of_year(truth["age"])
    return np.asarray((low <= ages) & (ages <= high))


def scores(truth: pd.DataFrame, low: NDArray[np.float64], high: NDArray[np.float64]) -> dict[str, str]:
    """Coverage with its 95 % interval over persons, width in years, and coverage by age band."""
    held = holds(truth, low, high)
    persons = truth["person"] if "person" in truth else pd.Series(truth.index)
    bands = np.array([age_band(age) for age in truth["age"]])
    by_band = {f"held, {BANDS[band]}": f"{held[bands == band].mean():.3f}" for band in np.unique(bands)}
    numbers = np.unique(persons.to_numpy().astype(str), return_inverse=True)[1]
    return {
        "held": format_interval(mean_interval(held.astype(np.float64), numbers)),
        "width": f"{(high - low).mean():.1f}",
        **by_band,
    }


if __name__ == "__main__":
    run(main, Options())
