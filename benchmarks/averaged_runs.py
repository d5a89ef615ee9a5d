"""What further trainings of the age specialist bring, averaged: years off and age bands, beside the first one alone.

    python benchmarks/averaged_runs.py --age outputs/age outputs/age-1 --truth data/eval_solution.csv

Takes the oof.csv of every run, and where there is a truth the eval.csv too. Differences come with 95 % intervals over
held-out persons; images whose age is top-coded count for the bands alone. The age is the median of a distribution
over years; the last row has its mean instead.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.commands import run
from shared.fusion.ages import year_columns
from shared.fusion.fusion import average_runs
from shared.fusion.metrics import Interval, format_interval, macro_f1, mean_interval, person_codes
from shared.fusion.predictions import EVAL, OOF, read_held_out_runs, read_predictions
from shared.label_fixes import read_solution
from shared.labels import BANDS
from shared.messages import UserError
from shared.tracking import Record, origin, record

KNOWN = ["true_age", "top_coded"]


@dataclass(frozen=True)
class Options:
    """Score runs of the age specialist one by one, and the first two, three and so on averaged."""

    age: tuple[Path, ...] = (Path("outputs/age"), Path("outputs/age-1"))
    """Run folders of the age specialist."""
    truth: Path | None = None
    """True classes and ages of the eval images (ImageID, ans, person, age)."""

    def __post_init__(self) -> None:
        if len(self.age) < 2:
            raise UserError("--age needs two run folders or more: one alone is no average")


def main(options: Options) -> None:
    started = time.perf_counter()
    held_out = read_held_out_runs({"age": [folder / OOF for folder in options.age]})
    runs, bands = held_out.tables["age"], held_out.averaged.truth["age"]
    if not all(column in table for table in runs for column in ("age", *KNOWN)):
        raise UserError("the runs' oof.csv do not tell ages in years: train with --loss years")
    known = runs[0][KNOWN].astype(np.float64)
    ages = known["true_age"].where(known["top_coded"] == 0).to_numpy()
    persons = person_codes(held_out.averaged.persons)
    ways = averages(options.age, runs)
    first = next(iter(ways.values()))
    rows = {
        name: {**scores(way, ages, bands, persons, "held out"), "beside the first": gain(first, way, ages, persons)}
        for name, way in ways.items()
    }
    found = {f"{name}: held out, years": float(np.nanmean(off(way, ages))) for name, way in ways.items()}
    asked = f"{len(ages):,} held-out images of {persons.max() + 1:,} persons"
    if options.truth:
        answered = averages(options.age, [read_predictions(folder / EVAL, BANDS) for folder in options.age])
        images = next(iter(answered.values())).index
        solution = read_solution(options.truth).reindex(images)
        if not {"age", "person"} <= set(solution) or solution["truth"].isna().any():
            raise UserError(f"{options.truth} does not tell age and person of every image that the runs answer")
        truth, years = solution["truth"].to_numpy(np.int64) % len(BANDS), solution["age"].to_numpy(np.float64)
        people = person_codes(solution["person"])
        for name, way in answered.items():
            rows[name] |= scores(way.loc[images], years, truth, people, "eval")
            found[f"{name}: eval, years"] = float(np.nanmean(off(way.loc[images], years)))
        asked += f"; {len(images):,} eval images"
    print(f"{asked}\n\n{pd.DataFrame(rows).T.to_string()}")
    data, recipe = origin(options.age)
    seconds = time.perf_counter() - started
    record(Record("score", "age", options.age[0], seconds, found, asdict(options), data, recipe))


def averages(folders: Sequence[Path], runs: Sequence[pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Each run's answers alone, then the mean of the first two, of the first three, and so on.

    The last once more, where its distribution over years is known, with the mean of that as the age.
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
    answers: pd.DataFrame, ages: NDArray[np.float64], bands: NDArray[np.int64], persons: NDArray[np.int64], of: str
) -> Mapping[str, str]:
    """Mean years off, of the ages (N,) that are known, with a 95 % interval; macro F1 of the most probable band."""
    chosen = answers[list(BANDS)].to_numpy().argmax(axis=1)
    return {
        f"{of}, years": format_interval(over_persons(off(answers, ages), persons), digits=2),
        f"{of}, bands": f"{macro_f1(bands, chosen, len(BANDS)):.3f}",
    }


def gain(before: pd.DataFrame, after: pd.DataFrame, ages: NDArray[np.float64], persons: NDArray[np.int64]) -> str:
    """Years that `after` is further off than `before`, less than 0 where it is better; 95 % interval over persons."""
    return str(over_persons(off(after, ages) - off(before, ages), persons))


def over_persons(values: NDArray[np.float64], persons: NDArray[np.int64]) -> Interval:
    """The mean of what is known of values (N,), NaN where it is not."""
    known = ~np.isnan(values)
    return mean_interval(values[known], np.unique(persons[known], return_inverse=True)[1])


def off(answers: pd.DataFrame, ages: NDArray[np.float64]) -> NDArray[np.float64]:
    """Years between answer and truth, (N,), NaN where the age is not known."""
    return np.abs(answers["age"].to_numpy(np.float64) - ages)


if __name__ == "__main__":
    run(main, Options())
