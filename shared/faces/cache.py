"""What is done already, what is to do, and the index of it all.

A crop set is written by these steps, each of which leaves the folder in order if the run is killed behind it:

    <recipe>/<picture>.jpg          a crop, written whole or not at all
    unfinished/<recipe>-<x>.csv     the rows of a chunk whose crops are all there
    index.csv                       at the very end, in place of the old one; then the unfinished rows are removed

So a run that starts again finds the rows of its predecessors, and runs at once only do work twice. The crops of
another recipe lie in another folder and stay valid, with the old index, until the new ones are complete.
"""

import os
import shutil
import uuid
from pathlib import Path

import pandas as pd

from shared.atomic import write_text
from shared.crops import BOX, INDEX, LANDMARKS, UNFINISHED, read_index
from shared.crops import RECIPE as RECIPE_FILE
from shared.errors import UserError
from shared.faces.cropping import Row, fingerprint
from shared.faces.recipe import RECIPE

COLUMNS = [
    *("picture", "file", "recipe", "found", "faces", "probability", *BOX, *LANDMARKS),
    *("width", "height", "size", "mtime_ns", "fingerprint", "problem"),
]


def record(rows: list[Row], out: Path) -> None:
    """Keep the rows of a chunk for a run that takes up from here."""
    write_text(out / UNFINISHED / f"{RECIPE.id}-{uuid.uuid4().hex}.csv", _as_csv(pd.DataFrame(rows)))


def known_rows(out: Path) -> tuple[pd.DataFrame, list[Path]]:
    """The rows of this recipe that earlier runs left, indexed by picture, and the unfinished files among their sources."""
    parts = sorted((out / UNFINISHED).glob(f"{RECIPE.id}-*.csv"))
    tables = [read_index(file) for file in ([out / INDEX] if (out / INDEX).exists() else []) + parts]
    if not tables:
        return pd.DataFrame(columns=COLUMNS).set_index("picture"), []
    rows = pd.concat(tables)
    rows = rows[rows["recipe"] == RECIPE.id]
    return rows[~rows.index.duplicated(keep="last")], parts


def still_good(known: pd.DataFrame, pictures: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Those known rows of `pictures` whose source is unchanged and whose crop is there, indexed by picture."""
    paths = dict(zip(pictures["picture"], pictures["path"], strict=True))
    good = {}
    for picture, row in known.to_dict("index").items():
        stat = _unchanged(paths.get(str(picture)), row)
        if stat is not None and _is_there(out, row["file"]):
            good[picture] = {**row, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    return pd.DataFrame.from_dict(good, orient="index", columns=COLUMNS[1:])


def _unchanged(path: str | None, row: Row) -> os.stat_result | None:
    """Same size and time of change, or else the same bytes: copying a data folder changes the times."""
    if path is None or not row["fingerprint"]:
        return None
    try:
        stat = os.stat(path)
        same = (stat.st_size, stat.st_mtime_ns) == (row["size"], row["mtime_ns"])
        same = same or (stat.st_size == row["size"] and fingerprint(Path(path).read_bytes()) == row["fingerprint"])
    except OSError:
        return None
    return stat if same else None


def _is_there(out: Path, file: str) -> bool:
    try:
        return not file or os.stat(out / file).st_size > 0
    except OSError:
        return False


def publish(rows: pd.DataFrame, out: Path, parts: list[Path]) -> None:
    """Put the complete index, indexed by picture, in the place of the old one; then clear what it makes superfluous."""
    before = read_index(out / INDEX)["recipe"].unique() if (out / INDEX).exists() else []
    write_text(out / RECIPE_FILE, RECIPE.as_json())
    write_text(out / INDEX, _as_csv(rows.reset_index(names="picture")))
    for part in parts:
        part.unlink(missing_ok=True)
    for recipe in set(before) - {RECIPE.id}:
        shutil.rmtree(out / recipe, ignore_errors=True)


def _as_csv(rows: pd.DataFrame) -> str:
    table = rows.reindex(columns=COLUMNS)
    table[[*BOX, *LANDMARKS]] = table[[*BOX, *LANDMARKS]].astype(float).round(2)
    return table.to_csv(index=False, lineterminator="\n")


__all__ = ["UserError", "known_rows", "publish", "record", "still_good"]
