"""Bring a crop set up to date: what earlier runs have done, what is left to do, and the index.

A crop set is written in these steps. After each of them the folder is valid if the run is killed:

    <recipe>/<image>.jpg                a crop, whole or not at all
    unfinished/<recipe>-<run>-<x>.csv   the rows of a chunk of crops
    index.csv                           at the end, replaces the old one; then the unfinished rows are removed

A new run reads the rows of its predecessors; runs at the same time only repeat each other's work. Crops of another
recipe are in another folder, and stay valid with the old index until the new ones are complete.
"""

import os
import shutil
import time
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from shared.crops import BOX, INDEX, LANDMARKS, UNFINISHED, CropSet, Row, as_rows, as_table, open_crops, read_index
from shared.crops import RECIPE as RECIPE_FILE
from shared.faces.alignment import RECIPE
from shared.faces.crop import crop_chunk, cut_by_prior, fingerprint
from shared.faces.workers import choose_device, choose_workers, spread
from shared.files import table_csv, write_text
from shared.messages import UserError


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


CHUNK = 64
"""Images that are processed and recorded together; a kill loses at most so many per process."""


@dataclass(frozen=True)
class Update:
    """A crop set after its update."""

    crops: CropSet
    new: int
    """Number of processed images; unchanged ones are not processed again."""

    seconds: float


def make_crops(
    images: pd.DataFrame, out: Path, workers: int = 0, device: str = "auto", progress: bool = True
) -> CropSet:
    """Update the crop set in the folder `out` for `images` (columns `image`: id, `path`: file).

    No image is dropped: without a face the crop is cut where faces are in the other images, and the crop of an
    unreadable file is grey. Raises `UserError` if `out` cannot be written or `device` does not exist.
    """
    return update_crops(images, out, workers, device, progress).crops


def update_crops(images: pd.DataFrame, out: Path, workers: int, device: str, progress: bool) -> Update:
    """Do the work of `make_crops`, and return the number of new crops too."""
    started = time.perf_counter()
    if images.empty:
        raise UserError(f"no images to crop into {out}: the tables of --data name none")
    cache = Cache(out, tuple(sorted((out / UNFINISHED).glob(f"{RECIPE.id}-*.csv"))))
    good = still_good(cache.known_rows(), images, out)
    todo = images[~images["image"].isin(good.index)]
    new = as_table(_process(todo, cache, workers, device, progress))
    rows = pd.concat([table for table in (good, new) if len(table)]).loc[list(images["image"])]
    cache.publish(cut_by_prior(rows, dict(zip(images["image"], images["path"], strict=True)), out))
    return Update(open_crops(out), len(todo), time.perf_counter() - started)


def _process(todo: pd.DataFrame, cache: Cache, workers: int, device: str, progress: bool) -> list[Row]:
    """Crop the images and return their index rows; those without a face have no crop yet."""
    if todo.empty:
        return []
    device = choose_device(device)
    if device != "cpu":
        from shared.faces.mtcnn_nets import load_detector

        load_detector(device)  # Once, before threads share it.
    sources = list(zip(todo["image"], todo["path"], strict=True))
    chunks = [sources[at : at + CHUNK] for at in range(0, len(sources), CHUNK)]
    work = partial(crop_chunk, out=cache.out, device=device, record=cache.record)
    rows: list[Row] = []
    with tqdm(total=len(sources), unit=" images", desc=str(cache.out), disable=not progress) as bar:
        for done in spread(work, chunks, choose_workers(workers, len(sources), device), device):
            rows += done
            bar.update(len(done))
    return rows
