"""What earlier runs of the crop stage have done, and the index.

A crop set is written in these steps. After each of them the folder is valid if the run is killed:

    <recipe>/<image>.jpg                a crop, whole or not at all
    unfinished/<recipe>-<run>-<x>.csv   the rows of a chunk of crops
    index.csv                           at the end, replaces the old one; then the unfinished rows are removed

A new run reads the rows of its predecessors; runs at the same time only repeat each other's work. Crops of another
recipe are in another folder, and stay valid with the old index until the new ones are complete.
"""

import os
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from shared.crops import BOX, INDEX, LANDMARKS, UNFINISHED, Row, as_rows, as_table, read_index
from shared.crops import RECIPE as RECIPE_FILE
from shared.faces.alignment import RECIPE
from shared.faces.crop import fingerprint
from shared.files import table_csv, write_text


@dataclass(frozen=True)
class Cache:
    """The crop set in a folder, as one run reads and extends it."""

    out: Path
    earlier: tuple[Path, ...]
    """Rows of chunks that earlier runs did not put into an index."""

    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def known_rows(self) -> pd.DataFrame:
        """All rows of the present recipe that earlier runs left, indexed by image."""
        tables = []
        for file in (self.out / INDEX, *self.earlier):
            try:
                tables.append(read_index(file))
            except (FileNotFoundError, NotADirectoryError):  # No index yet, or another run has just used the rows.
                continue
        rows = pd.concat(tables) if tables else as_table([])
        rows = rows[rows["recipe"] == RECIPE.id]
        return rows[~rows.index.duplicated(keep="last")]

    def record(self, rows: list[Row]) -> None:
        """Write the rows of a chunk, so that a later run need not repeat it."""
        name = f"{RECIPE.id}-{self.run}-{uuid.uuid4().hex[:12]}.csv"
        write_text(self.out / UNFINISHED / name, _as_csv(as_table(rows)))

    def publish(self, rows: pd.DataFrame) -> None:
        """Replace the index by the complete one, then remove what it makes superfluous."""
        index = self.out / INDEX
        before = set(read_index(index)["recipe"]) if index.exists() else set()
        write_text(self.out / RECIPE_FILE, RECIPE.as_json())
        write_text(index, _as_csv(rows))
        for file in (*self.earlier, *(self.out / UNFINISHED).glob(f"{RECIPE.id}-{self.run}-*.csv")):
            file.unlink(missing_ok=True)
        for recipe in before - {RECIPE.id}:
            shutil.rmtree(self.out / recipe, ignore_errors=True)


def open_cache(out: Path) -> Cache:
    """The cache in a folder, which need not exist yet."""
    return Cache(out, tuple(sorted((out / UNFINISHED).glob(f"{RECIPE.id}-*.csv"))))


def still_good(known: pd.DataFrame, images: pd.DataFrame, out: Path) -> pd.DataFrame:
    """The known rows of `images` with an unchanged source and an existing crop, indexed by image."""
    paths = dict(zip(images["image"], images["path"], strict=True))
    good = []
    for row in as_rows(known):
        stat = _unchanged(paths.get(row["image"]), row)
        if stat is not None and _exists(out, row["file"]):
            good.append({**row, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns})
    return as_table(good)


def _unchanged(path: str | None, row: Row) -> os.stat_result | None:
    """The stat of a source with the same size and time, or the same bytes: copying a data folder changes the times."""
    if path is None or not row["fingerprint"]:
        return None
    try:
        stat = os.stat(path)  # noqa: PTH116 - pathlib takes twice as long
        same = (stat.st_size, stat.st_mtime_ns) == (row["size"], row["mtime_ns"])
        same = same or (stat.st_size == row["size"] and fingerprint(Path(path).read_bytes()) == row["fingerprint"])
    except OSError:
        return None
    return stat if same else None


def _exists(out: Path, file: str) -> bool:
    """Whether the crop is there; an image without a face has none until the end."""
    try:
        return not file or os.stat(os.path.join(out, file)).st_size > 0  # noqa: PTH116, PTH118 - as above
    except OSError:
        return False


def _as_csv(rows: pd.DataFrame) -> str:
    digits = {**dict.fromkeys([*BOX, *LANDMARKS], 2), "probability": 4}
    return table_csv(rows.round(digits), index_label="image")
