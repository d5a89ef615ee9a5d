"""What is done already, what is to do, and the index of it all.

A crop set is written by these steps, each of which leaves the folder in order if the run is killed behind it:

    <recipe>/<image>.jpg                a crop, whole or not at all
    unfinished/<recipe>-<run>-<x>.csv     the rows of a chunk whose crops are all there
    index.csv                             at the very end, in place of the old one; then the unfinished rows go

So a run that starts again finds the rows of its predecessors, and runs at once only do the same work twice. Crops of
another recipe lie in another folder, and stay valid with the old index until the new ones are complete.
"""

import hashlib
import os
import shutil
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from shared.crops import BOX, COLUMN_TYPES, INDEX, LANDMARKS, UNFINISHED, read_index
from shared.crops import RECIPE as RECIPE_FILE
from shared.faces.recipe import RECIPE
from shared.files import write_text

Row = dict[str, Any]
"""One line of the index, by column."""

STALE = 3600
"""Seconds after which a temporary file is taken for that of a killed run."""


def as_table(rows: list[Row]) -> pd.DataFrame:
    """Rows of an index, indexed by image."""
    return pd.DataFrame(rows, columns=list(COLUMN_TYPES)).astype(COLUMN_TYPES).set_index("image")


def as_rows(table: pd.DataFrame) -> list[Row]:
    """The inverse of `as_table`."""
    return [{str(name): value for name, value in row.items()} for row in table.reset_index().to_dict("records")]


def fingerprint(data: bytes) -> str:
    """Of a file's bytes: 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True)
class Cache:
    """The crop set in a folder, as one run sees and extends it."""

    out: Path
    earlier: tuple[Path, ...]
    """Rows of chunks that runs before this one did and never put into an index."""

    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def known_rows(self) -> pd.DataFrame:
        """All rows of the present recipe that runs before this one left, indexed by image."""
        tables = []
        for file in (self.out / INDEX, *self.earlier):
            try:
                tables.append(read_index(file))
            except (FileNotFoundError, NotADirectoryError):  # No index yet; or another run has just taken the rows up.
                continue
        rows = pd.concat(tables) if tables else as_table([])
        rows = rows[rows["recipe"] == RECIPE.id]
        return rows[~rows.index.duplicated(keep="last")]

    def record(self, rows: list[Row]) -> None:
        """Keep the rows of a chunk for a run that takes up from here."""
        name = f"{RECIPE.id}-{self.run}-{uuid.uuid4().hex[:12]}.csv"
        write_text(self.out / UNFINISHED / name, _as_csv(as_table(rows)))

    def publish(self, rows: pd.DataFrame) -> None:
        """Put the complete index in the place of the old one, then clear what it makes superfluous."""
        index = self.out / INDEX
        before = set(read_index(index)["recipe"]) if index.exists() else set()
        write_text(self.out / RECIPE_FILE, RECIPE.as_json())
        write_text(index, _as_csv(rows))
        for file in (*self.earlier, *(self.out / UNFINISHED).glob(f"{RECIPE.id}-{self.run}-*.csv")):
            file.unlink(missing_ok=True)
        for recipe in before - {RECIPE.id}:
            shutil.rmtree(self.out / recipe, ignore_errors=True)
        _sweep(self.out)


def open_cache(out: Path) -> Cache:
    """The cache in a folder, which need not exist yet."""
    return Cache(out, tuple(sorted((out / UNFINISHED).glob(f"{RECIPE.id}-*.csv"))))


def still_good(known: pd.DataFrame, images: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Those known rows of `images` whose source is unchanged and whose crop is there, indexed by image."""
    paths = dict(zip(images["image"], images["path"], strict=True))
    good = []
    for row in as_rows(known):
        stat = _unchanged(paths.get(row["image"]), row)
        if stat is not None and _is_there(out, row["file"]):
            good.append({**row, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns})
    return as_table(good)


def _unchanged(path: str | None, row: Row) -> os.stat_result | None:
    """Same size and time of change, or else the same bytes: copying a data folder changes the times."""
    if path is None or not row["fingerprint"]:
        return None
    try:
        stat = os.stat(path)  # noqa: PTH116 - pathlib takes twice as long
        same = (stat.st_size, stat.st_mtime_ns) == (row["size"], row["mtime_ns"])
        same = same or (stat.st_size == row["size"] and fingerprint(Path(path).read_bytes()) == row["fingerprint"])
    except OSError:
        return None
    return stat if same else None


def _is_there(out: Path, file: str) -> bool:
    """A row without a file is one of an image without a face, which is cut at the end."""
    try:
        return not file or os.stat(os.path.join(out, file)).st_size > 0  # noqa: PTH116, PTH118 - as above
    except OSError:
        return False


def _as_csv(rows: pd.DataFrame) -> str:
    digits = {**dict.fromkeys([*BOX, *LANDMARKS], 2), "probability": 4}
    return rows.round(digits).to_csv(index_label="image", lineterminator="\n")


def _sweep(out: Path) -> None:
    """Remove temporary files that killed runs left; those of a run at this moment are younger."""
    for file in (*(out / UNFINISHED).glob(".*"), *(out / RECIPE.id).rglob(".*")):
        try:
            if time.time() - file.stat().st_mtime > STALE:
                file.unlink()
        except FileNotFoundError:
            continue
