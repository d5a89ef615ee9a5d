"""Print error rates by gender, age band and mask state, on persons that the networks have not seen.

    python examples/errors_by_group.py --outputs outputs/demo

Reads only the three oof.csv. Intervals are 95 % and count persons, because the seven images of a person are not
independent. docs/privacy.md explains the figures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from shared.commands import run
from shared.files import table_csv, write_text
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import share_interval
from shared.fusion.predictions import read_held_out
from shared.messages import UserError


@dataclass(frozen=True)
class Options:
    """Print how often each specialist is wrong, by group."""

    outputs: Path = Path("outputs")
    """Folder of mask/, gender/ and age/."""
    csv: Path | None = None
    """Also write the table to this file."""


def main(options: Options) -> None:
    table = errors(pd.DataFrame([measure(name, part) for name, part in groups(wrong(options.outputs))]))
    print(table.to_string(index=False))
    print("Share of wrong images in percent; together: any of the three is wrong.")
    if options.csv:
        write_text(options.csv, table_csv(table, index=False))


def wrong(outputs: Path) -> pd.DataFrame:
    """Return person, true classes and errors of each image that is held out in all three runs.

    Predictions are the most probable classes of each specialist.
    """
    parts, person = [], None
    for task, classes in SPECIALISTS.items():
        table = read_held_out(outputs / task / "oof.csv", classes)
        predicted = table[list(classes)].to_numpy().argmax(axis=1)
        shown = np.array(classes, dtype=object)[table["truth"]]
        parts.append(pd.DataFrame({f"{task} shown": shown, task: predicted != table["truth"]}, table.index))
        person = table["person"]
    joined = pd.concat(parts, axis="columns", join="inner").assign(person=person)
    if joined.empty:
        raise UserError(f"no image is held out in all three runs of {outputs}: train the same folds of each")
    return joined.assign(together=joined[list(SPECIALISTS)].any(axis="columns"))


def groups(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield all images, then those of each class, then those of each combination of classes."""
    yield "all", table
    for task, classes in SPECIALISTS.items():
        for name in classes:
            yield f"{task} {name}", table[table[f"{task} shown"] == name]
    for gender, band, mask in product(SPECIALISTS["gender"], SPECIALISTS["age"], SPECIALISTS["mask"]):
        chosen = (table["gender shown"] == gender) & (table["age shown"] == band) & (table["mask shown"] == mask)
        yield f"{gender}, {band}, mask {mask}", table[chosen]


def measure(name: str, group: pd.DataFrame) -> dict[str, object]:
    row: dict[str, object] = {"group": name, "persons": group["person"].nunique(), "images": len(group)}
    for task in (*SPECIALISTS, "together"):
        row[task] = with_interval(group[task].to_numpy(), group["person"].to_numpy())
    return row


def with_interval(errors: NDArray[np.bool_], persons: ArrayLike) -> str:
    """Format a share in percent, for example "4.2 (1.9-7.0)"; a dash if there is no image."""
    if not len(errors):
        return "-"
    share, low, high = (100 * part for part in share_interval(errors, persons))
    return f"{share:.1f} ({low:.1f}-{high:.1f})"


def errors(table: pd.DataFrame) -> pd.DataFrame:
    """Rename the columns for printing."""
    return table.rename(columns={"mask": "mask wrong", "gender": "gender wrong", "age": "band wrong"})


if __name__ == "__main__":
    run(main, Options())
