"""Measure time and peak memory of `combine.py` over Parquet files, beside other engines on the same files.

    python benchmarks/combine_parquet.py --rows 1000000 5000000
    python benchmarks/combine_parquet.py --rows 50000000 --engines combine    about 5 GB on the disk of --folder

The rows are made up: float32 probabilities of three specialists for images with names of 28 characters, in files of a
million rows (all with the same probabilities), and a thousand held-out images to learn the decision on. All engines
write the same kind of CSV:

combine       combine.py: calibrated, class weights for macro F1, checks of every row; files in the same order
pyarrow       the most probable class alone; files in the same order
duckdb        the most probable class alone; joined by the name of the image
polars        the same, with its streaming engine

Each is a process of its own; memory is its peak resident set.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from machine import describe

from shared.commands import run
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import EVAL_PARTS, OOF
from shared.messages import UserError, markdown_table

FILE_ROWS = 1_000_000
PEOPLE, IMAGES = 200, 5
"""Held-out persons, and images of each."""

PYARROW = """
import sys
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
folder, out = sys.argv[1:]
scans = [
    ds.dataset(f"{folder}/{task}/eval.parquet").to_batches(batch_size=1 << 17, batch_readahead=1, fragment_readahead=1)
    for task in ("mask", "gender", "age")
]
schema = pa.schema([("ImageID", pa.string()), ("ans", pa.int64())])
with pyarrow.csv.CSVWriter(out, schema) as file:
    for mask, gender, age in zip(*scans, strict=True):
        assert mask.column("image").equals(gender.column("image")) and mask.column("image").equals(age.column("image"))
        best = [
            np.stack([batch.column(at).to_numpy() for at in range(1, batch.num_columns)]).argmax(axis=0)
            for batch in (mask, gender, age)
        ]
        file.write(pa.record_batch([mask.column("image"), 6 * best[0] + 3 * best[1] + best[2]], schema=schema))
"""

DUCKDB = """
import sys
import duckdb
folder, out = sys.argv[1:]
classes = {"mask": ("worn", "incorrect", "none"), "gender": ("male", "female"), "age": ("<30", "30-59", ">=60")}
columns = {task: ", ".join(task + '."' + name + '"' for name in names) for task, names in classes.items()}
best = {task: f"list_position([{names}], greatest({names})) - 1" for task, names in columns.items()}
tables = " JOIN ".join(
    f"'{folder}/{task}/eval.parquet/*.parquet' AS {task}" + (" USING (image)" if task != "mask" else "")
    for task in classes
)
duckdb.sql("SET memory_limit = '4GB'; SET threads = 2; SET preserve_insertion_order = false")
duckdb.sql(f"SET temp_directory = '{folder}/spill'")
duckdb.sql(
    f"COPY (SELECT image AS ImageID, 6 * ({best['mask']}) + 3 * ({best['gender']}) + ({best['age']}) AS ans"
    f" FROM {tables}) TO '{out}' (HEADER)"
)
"""

POLARS = """
import sys
import polars as pl
folder, out = sys.argv[1:]
classes = {"mask": ("worn", "incorrect", "none"), "gender": ("male", "female"), "age": ("<30", "30-59", ">=60")}
tables = [
    pl.scan_parquet(f"{folder}/{task}/eval.parquet/*.parquet").select(
        "image", pl.concat_list(*names).list.arg_max().cast(pl.Int64).alias(task)
    )
    for task, names in classes.items()
]
joined = tables[0].join(tables[1], on="image").join(tables[2], on="image")
ans = (6 * pl.col("mask") + 3 * pl.col("gender") + pl.col("age")).alias("ans")
joined.select(pl.col("image").alias("ImageID"), ans).sink_csv(out, engine="streaming")
"""

SCRIPTS = {"pyarrow": PYARROW, "duckdb": DUCKDB, "polars": POLARS}
COMBINE = "combine"


@dataclass(frozen=True)
class Options:
    """Measure the fusion of made-up rows."""

    rows: tuple[int, ...] = (1_000_000,)
    """Numbers of images."""
    engines: tuple[str, ...] = (COMBINE, *SCRIPTS)
    """Which are measured; those that are not installed are left out."""
    years: bool = False
    """Give age as a distribution over 101 years besides the bands."""
    folder: Path = Path(tempfile.gettempdir())
    """Where the rows are written; they are removed again."""

    def __post_init__(self) -> None:
        if not self.rows or min(self.rows) < 1 or {*self.engines} - {COMBINE, *SCRIPTS}:
            raise UserError(f"--rows must be at least 1, --engines some of {', '.join([COMBINE, *SCRIPTS])}")


def main(options: Options) -> None:
    print(describe("pandas", "pyarrow"), flush=True)
    engines = [name for name in options.engines if name in (COMBINE, "pyarrow") or find_spec(name)]
    table = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
            folder = Path(temporary)
            size = write_runs(folder, rows, options.years)
            for engine in engines:
                took = measure(engine, folder)
                speed = f"{rows / took['seconds'] / 1e6:.2f}"
                seconds, cpu = f"{took['seconds']:.0f} s", f"{took['cpu']:.0f} s"
                cells = [f"{size / 1e9:.2f} GB", engine, seconds, cpu, speed, f"{took['memory'] / 1e6:,.0f} MB"]
                table.append([f"{rows:,}", *cells])
                print(*table[-1], flush=True)
    print(markdown_table(["images", "input", "engine", "time", "CPU", "million a second", "peak memory"], table))


def write_runs(folder: Path, rows: int, years: bool) -> int:
    """Write a run folder for each specialist; return the bytes of their eval.parquet."""
    random = np.random.default_rng(0)
    values = {}
    for task, classes in SPECIALISTS.items():
        columns = [*classes, *(f"year_{year}" for year in range(101))] if years and task == "age" else [*classes]
        (folder / task / EVAL_PARTS).mkdir(parents=True)
        truth = random.integers(0, len(classes), PEOPLE * IMAGES)
        people = np.arange(len(truth)) // IMAGES
        known = {"image": [f"held-out/{at}.jpg" for at in range(len(truth))], "person": people, "fold": people % 5}
        held_out = pd.DataFrame(probabilities(random, len(truth), columns, truth), columns=columns)
        pd.DataFrame({**known, "truth": truth}).join(held_out).to_csv(folder / task / OOF, index=False)
        # Drawn once: drawing would take longer than all that is measured.
        values[task] = pa.table([*probabilities(random, min(rows, FILE_ROWS), columns).T], names=columns)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        count = min(FILE_ROWS, rows - start)
        names = [f"shard-{at // 10_000:06}.tar/{at % 10_000:06}.jpg" for at in range(start, start + count)]
        for task, table in values.items():
            content = table[:count].add_column(0, "image", pa.array(names))
            pq.write_table(content, folder / task / EVAL_PARTS / f"part-{number:06}.parquet", compression="zstd")
    return sum(file.stat().st_size for file in folder.rglob("*.parquet"))


def probabilities(
    random: np.random.Generator, count: int, columns: list[str], truth: np.ndarray | None = None
) -> np.ndarray:
    """Return float32 probabilities (count, columns) of classes, which lean to the true ones, and of years."""
    years = sum(name.startswith("year_") for name in columns)
    if not years:
        powers = random.random((count, len(columns)), np.float32) ** 2 + np.float32(1e-3)
        if truth is not None:
            powers[np.arange(count), truth] += np.float32(0.7)
        return powers / powers.sum(axis=1, keepdims=True)
    low, high = np.array([0, 30, 60]), np.array([30, 60, years])
    centre = random.integers(5, 95, count) if truth is None else random.integers(low[truth], high[truth])
    distribution = np.exp(-(((np.arange(years) - centre[:, None]) / 12) ** 2)).astype(np.float32)
    distribution /= distribution.sum(axis=1, keepdims=True)
    bands = [distribution[:, start:end].sum(axis=1) for start, end in zip(low, high, strict=True)]
    return np.column_stack([*bands, distribution])


def measure(engine: str, folder: Path) -> dict[str, float]:
    """Run an engine; return seconds, CPU seconds and peak memory in bytes."""
    out = folder / f"{engine}.csv"
    if engine == COMBINE:
        runs = [word for task in SPECIALISTS for word in (f"--{task}", str(folder / task))]
        command = [sys.executable, "-m", "combine", *runs, "--persons", "ignore", "--out", str(out)]
    else:
        command = [sys.executable, "-c", SCRIPTS[engine], str(folder), str(out)]
    measured = [sys.executable, str(Path(__file__).with_name("measured.py"))]
    done = subprocess.run([*measured, *command], capture_output=True, text=True, check=True)
    took: dict[str, float] = json.loads(done.stdout)
    if took["status"]:
        raise UserError(f"{engine} failed:\n{done.stderr[-2000:]}")
    out.unlink()
    return took


if __name__ == "__main__":
    run(main, Options())
