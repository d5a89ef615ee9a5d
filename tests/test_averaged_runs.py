"""The benchmark that says what further trainings of age bring, on answers whose errors are known."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_predictions import held_out_predictions

from shared.fusion.predictions import write_predictions
from shared.labels import BANDS
from shared.messages import UserError

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import averaged_runs as benchmark


def write_runs(folder: Path, *off: float) -> tuple[Path, ...]:
    """Runs that are so many years off every age, each of which is 40 but for a tenth that is top-coded."""
    held_out = held_out_predictions(20, doubt=0.3)
    known = pd.DataFrame({"person": held_out.persons, "fold": held_out.folds, "truth": held_out.truth["age"]})
    known = known.assign(true_age=40.0, top_coded=(np.arange(len(known)) % 10 == 0).astype(int))
    runs = []
    for number, years in enumerate(off):
        runs.append(folder / f"age-{number}")
        # Without the distribution over years, of which the averaged age would be the median.
        bands = held_out.predictions["age"][list(BANDS)]
        table = known.join(bands.assign(age=40.0 + years))
        write_predictions(runs[-1] / "oof.csv", table)
        write_predictions(runs[-1] / "eval.csv", table.drop(columns=known.columns))
    truth = pd.DataFrame({"ImageID": known.index, "ans": known["truth"], "person": known["person"], "age": 50})
    truth.to_csv(folder / "truth.csv", index=False)
    return tuple(runs)


def test_errors_to_both_sides_average_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = write_runs(tmp_path, 6.0, -4.0)
    benchmark.main(benchmark.Options(runs, tmp_path / "truth.csv"))
    told = capsys.readouterr().out
    lines = {line.split("  ")[0]: line for line in told.splitlines()}
    assert " 6.00 " in lines[str(runs[0])]
    assert " 4.00 " in lines[str(runs[1])]
    assert " 1.00 " in lines["first 2"]
    assert "-2.000 [-2.000, -2.000]" in lines[str(runs[1])]
    assert "-5.000 [-5.000, -5.000]" in lines["first 2"]
    # Of the eval images everyone is 50.
    eval_years = [re.findall(r"([\d.]+) \[", line)[-1] for line in lines.values() if "[" in line]
    assert eval_years == ["4.00", "14.00", "9.00"]


def test_the_age_of_a_distribution_is_its_median_and_its_mean_for_comparison() -> None:
    years = np.zeros((2, 101))
    years[:, 30], years[:, 80] = 0.8, 0.2
    columns = [f"year_{year}" for year in range(101)]
    run = pd.DataFrame(years, columns=columns).assign(age=0.0, **dict.fromkeys(BANDS, 1 / 3))
    ways = benchmark.averages((Path("one"), Path("two")), [run, run])
    ages = {name: way["age"].tolist() for name, way in ways.items()}
    # The first half of the probability ends at 5/8 of the year around 30.
    assert ages["one"] == ages["first 2"] == pytest.approx([29.5 + 5 / 8] * 2)
    assert ages["first 2, by the mean"] == pytest.approx([40.0] * 2)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--age needs two"):
        benchmark.Options((tmp_path,))
    runs = write_runs(tmp_path, 1.0, 2.0)
    pd.read_csv(tmp_path / "truth.csv").drop(columns="age").to_csv(tmp_path / "truth.csv", index=False)
    with pytest.raises(UserError, match=r"truth\.csv does not tell age and person"):
        benchmark.main(benchmark.Options(runs, tmp_path / "truth.csv"))
    file = runs[1] / "oof.csv"
    pd.read_csv(file, dtype=str).drop(columns="true_age").to_csv(file, index=False)
    with pytest.raises(UserError, match="--loss years"):
        benchmark.main(benchmark.Options(runs))
