"""Find the face in every portrait and cut it out, aligned. Training and prediction use only these crops.

    python shared/crop_faces.py --data data --out crops --sheet crops.jpg

A second run processes only new and changed images; a stopped run continues with the same command. `shared/crops.py`
reads the result; `shared/faces/` does the work.
"""

if __name__ == "__main__":
    from shared.interrupts import end_at_once_while_loading

    end_at_once_while_loading()

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
from tqdm import tqdm

from shared.commands import run
from shared.crops import CropSet, Row, as_table, open_crops
from shared.faces.cache import Cache, open_cache, still_good
from shared.faces.contact_sheet import summarise, write_sheet
from shared.faces.crop import crop_chunk, cut_by_prior
from shared.faces.workers import choose_device, choose_workers, spread
from shared.files import refuse_overwriting
from shared.manifest import TABLES, load_images, split_folders
from shared.messages import UserError

CHUNK = 64
"""Images that are processed and recorded together; a kill loses at most so many per process."""


@dataclass(frozen=True)
class Options:
    """Find the face in every portrait and cut it out, aligned by the eyes. Continues where an earlier run stopped."""

    data: Path = Path("data")
    """The competition's folder, or one of its halves (a folder with train.csv or info.csv)."""

    out: Path = Path("crops")
    """Folder for the crops, with a subfolder for each half."""

    sheet: Path | None = None
    """Draw a contact sheet of sample crops to this image file, with doubtful ones marked."""

    workers: int = 0
    """Processes on the CPU, or threads that feed a GPU; 0: chosen by the cores and the number of images."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the detector; auto: a GPU if there is one."""

    skip_bad: bool = False
    """Leave out faulty rows of the tables and list them in rejected.csv, instead of stopping."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UserError(f"--workers {self.workers}: must be 0 (automatic) or more")
        if self.sheet is not None and self.sheet.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            raise UserError(f"--sheet {self.sheet}: the name must end in .jpg or .png")


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
    cache = open_cache(out)
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


def main(options: Options) -> None:
    """Update the crops of each half and print a summary."""
    folders = split_folders(options.data)
    inputs = [folder / part for split, folder in folders.items() for part in (TABLES[split], "images")]
    refuse_overwriting({"--sheet": options.sheet, "--out": options.out}, inputs)
    sets = {}
    for split, folder in folders.items():
        out = options.out if folder == options.data else options.out / split
        made = update_crops(load_images(folder, options.skip_bad), out, options.workers, options.device, progress=True)
        print(summarise(made.crops, made.new, made.seconds))
        sets[split] = made.crops
    if options.sheet is not None:
        write_sheet(sets, options.sheet)
        print(f"contact sheet: {options.sheet}")


if __name__ == "__main__":
    run(main, Options())
