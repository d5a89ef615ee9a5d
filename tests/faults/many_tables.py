"""Spoilt tables in one go: each is read as rows, or refused with a sentence.

PYTHONPATH=tests python tests/faults/many_tables.py --count 10000
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from readers import try_tables
from scenes import build

from shared.commands import run


@dataclass(frozen=True)
class Options:
    """Spoil train.csv, info.csv, oof.csv, eval.csv, eval_solution.csv and index.csv in turn, and read them."""

    count: int = 10_000
    """So many files."""
    seed: int = 0
    """Of what is done to them."""


def main(options: Options) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place, tables = build(Path(folder) / "place"), Path(folder) / "tables"
        tables.mkdir()
        refused = try_tables(place, tables, options.count, np.random.default_rng(options.seed))
    print(f"{options.count:,} spoilt tables: {options.count - refused:,} read as rows, {refused:,} refused clearly")


if __name__ == "__main__":
    run(main, Options())
