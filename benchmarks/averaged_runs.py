"""Measure the gain of averaging several trainings of the age specialist: age error and age bands.

    python benchmarks/averaged_runs.py --age outputs/age outputs/age-1 --truth data/eval_solution.csv

Reads the oof.csv of every run, and with --truth also eval.csv. Differences have 95 % intervals over held-out persons;
images with a top-coded age count for the bands only. The age is the median of the distribution over years; the last row
uses its mean.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.commands import run
from shared.fusion.ages import age_error, year_columns
from shared.fusion.fusion import average_runs
from shared.fusion.metrics import Interval, format_interval, macro_f1, mean_interval, person_codes
from shared.fusion.predictions import EVAL, OOF, join_held_out, read_held_out, read_predictions
from shared.label_fixes import read_solution
from shared.labels import BANDS
from shared.messages import UserError
from shared.tracking import Record, origin, record

KNOWN = ["true_age", "top_coded"]


@dataclass(frozen=True)
class Options:
    """Score runs of the age specialist alone, and averages of the first two, three and so on."""

    age: tuple[Path, ...] = (Path("outputs/age"), Path("outputs/age-1"))
    """Run folders of the age specialist."""
    truth: Path | None = None
    """True classes and ages of the eval images (ImageID, ans, person, age)."""

    def __post_init__(self) -> None:
        if len(self.age) < 2:
            raise UserError("--age needs two run folders or more: one alone is no average")


def main(options: Options) -> None:
    started = time.perf_counter()
    files = [folder / OOF for folder in options.age]
    held_out = join_held_out({"age": files})
    runs = [read_held_out(file, BANDS).drop(columns=["fold", "truth"]).loc[held_out.persons.index] for file in files]
    bands = held_out.truth["age"]
    if not all(column in table for table in runs for column in ("age", *KNOWN)):
        raise UserError("the runs' oof.csv have no ages in years: train with --loss years")
    known = runs[0][KNOWN].astype(np.float64)
    ages = known["true_age"].where(known["top_coded"] == 0).to_numpy()
    persons = person_codes(held_out.persons)
    ways = averages(options.age, runs)
    first = next(iter(ways.values()))
    rows = {
        name: {**scores(way, ages, bands, persons, "held out"), "beside the first": gain(first, way, ages, persons)}
        for name, way in ways.items()
    }
    found = {f"{name}: held out, years": float(np.nanmean(absolute_error(way, ages))) for name, way in ways.items()}
    counts = f"{len(ages):,} held-out images of {persons.max() + 1:,} persons"
    if options.truth:
        predicted = averages(options.age, [read_predictions(folder / EVAL, BANDS) for folder in options.age])
        images = next(iter(predicted.values())).index
        solution = read_solution(options.truth).reindex(images)
        if not {"age", "person"} <= set(solution) or solution["truth"].isna().any():
            raise UserError(f"{options.truth} lacks age or person of an image that the runs predict")
        truth, years = solution["truth"].to_numpy(np.int64) % len(BANDS), solution["age"].to_numpy(np.float64)
        people = person_codes(solution["person"])
        for name, way in predicted.items():
            rows[name] |= scores(way.loc[images], years, truth, people, "eval")
            found[f"{name}: eval, years"] = float(np.nanmean(absolute_error(way.loc[images], years)))
        counts += f"; {len(images):,} eval images"
    print(f"{counts}\n\n{pd.DataFrame(rows).T.to_string()}")
    data, recipe = origin(options.age)
    seconds = time.perf_counter() - started
    record(Record("score", "age", options.age[0], seconds, found, asdict(options), data, recipe))


def averages(folders: Sequence[Path], runs: Sequence[pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the predictions of each run, then averages of the first two, three and so on.

    If the distribution over years is known, the last average comes again with its mean as the age.
    """
    alone = {str(folder): average_runs([table]) for folder, table in zip(folders, runs, strict=True)}
    together = {f"first {count}": average_runs(runs[:count]) for count in range(2, len(runs) + 1)}
    name, last = [*together.items()][-1]
    years = last[year_columns(last)].to_numpy()
    if not years.size:
        return {**alone, **together}
    means = years @ np.arange(years.shape[1]) / years.sum(axis=1)
    return {**alone, **together, f"{name}, by the mean": last.assign(age=means)}


def scores(
    predictions: pd.DataFrame, ages: NDArray[np.float64], bands: NDArray[np.int64], persons: NDArray[np.int64], of: str
) -> Mapping[str, str]:
    """Return the mean age error of known ages (N,) with its interval, and macro F1 of the most probable band."""
    chosen = predictions[list(BANDS)].to_numpy().argmax(axis=1)
    return {
        f"{of}, years": format_interval(over_persons(absolute_error(predictions, ages), persons), digits=2),
        f"{of}, bands": f"{macro_f1(bands, chosen, len(BANDS)):.3f}",
    }


def gain(before: pd.DataFrame, after: pd.DataFrame, ages: NDArray[np.float64], persons: NDArray[np.int64]) -> str:
    """Return the difference in age error, negative if `after` is better, with its 95 % interval over persons."""
    return str(over_persons(absolute_error(after, ages) - absolute_error(before, ages), persons))


def over_persons(values: NDArray[np.float64], persons: NDArray[np.int64]) -> Interval:
    """Return the mean of values (N,), ignoring NaN, with its interval over persons."""
    known = ~np.isnan(values)
    return mean_interval(values[known], np.unique(persons[known], return_inverse=True)[1])


def absolute_error(predictions: pd.DataFrame, ages: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the absolute age error in years, (N,); NaN if the age is unknown."""
    return np.abs(age_error(predictions["age"], ages))


if __name__ == "__main__":
    run(main, Options())
