"""Find the face in every portrait and cut it out, aligned: what everything after this stage looks at.

    python shared/crop_faces.py --data data --out crops --sheet crops.jpg

Done once: a second run looks only at new and changed images, and one that was stopped is taken up by the same
command. `shared/crops.py` reads what it writes; `shared/faces/` does the work.
"""

if __name__ == "__main__":
    from shared.interrupts import end_at_once_while_loading

    end_at_once_while_loading()

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
from tqdm import tqdm

from shared.commands import run
from shared.crops import CropSet, open_crops
from shared.faces.cache import Cache, Row, as_table, open_cache, still_good
from shared.faces.contact_sheet import summarise, write_sheet
from shared.faces.crop import cut_by_prior
from shared.faces.workers import choose_device, choose_workers, spread
from shared.manifest import load_images, split_folders
from shared.messages import UserError

CHUNK = 64
"""Images that are looked at together and recorded together; a kill loses at most so many per process."""


@dataclass(frozen=True)
class Options:
    """Find the face in every portrait and cut it out, aligned by the eyes. Takes up where an earlier run stopped."""

    data: Path = Path("data")
    """The competition's folder, or one of its halves (a folder with train.csv or info.csv)."""

    out: Path = Path("crops")
    """Where the crops go: a folder for each half."""

    sheet: Path | None = None
    """Draw a contact sheet of sample crops to this image file, doubtful ones marked."""

    workers: int = 0
    """Processes on CPU, threads that feed a GPU; 0: as many as the cores and the number of images suggest."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the detector runs; auto: on a GPU if there is one."""

    skip_bad: bool = False
    """Leave out faulty rows of the tables and list them in rejected.csv, instead of stopping."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UserError(f"--workers {self.workers}: must be 0 (choose for me) or more")
        if self.sheet is not None and self.sheet.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            raise UserError(f"--sheet {self.sheet}: the name must end in .jpg or .png")


@dataclass(frozen=True)
class Made:
    """A crop set, and what it took to bring it up to date."""

    crops: CropSet
    new: int
    """Images that were looked at; those unchanged since an earlier run were not."""

    seconds: float


def make_crops(
    images: pd.DataFrame, out: Path, workers: int = 0, device: str = "auto", progress: bool = True
) -> CropSet:
    """Bring the crop set in the folder `out` up to date with `images` (columns `image`: id, `path`: file).

    No image is dropped: where no face is found the crop shows where faces lie in the others, and that of an
    unreadable file is grey. Raises `UserError` when `out` cannot be written or `device` is not there.
    """
    return update_crops(images, out, workers, device, progress).crops


def update_crops(images: pd.DataFrame, out: Path, workers: int, device: str, progress: bool) -> Made:
    """As `make_crops`, and says what there was to do."""
    started = time.perf_counter()
    if images.empty:
        raise UserError(f"no images to crop into {out}: the table of --data names none")
    cache = open_cache(out)
    good = still_good(cache.known_rows(), images, out)
    todo = images[~images["image"].isin(good.index)]
    new = as_table(_look(todo, cache, workers, device, progress))
    rows = pd.concat([table for table in (good, new) if len(table)]).loc[list(images["image"])]
    cache.publish(cut_by_prior(rows, dict(zip(images["image"], images["path"], strict=True)), out))
    return Made(open_crops(out), len(todo), time.perf_counter() - started)


def _look(todo: pd.DataFrame, cache: Cache, workers: int, device: str, progress: bool) -> list[Row]:
    """The rows of images that have to be looked at; those without a face have no crop yet."""
    if todo.empty:
        return []
    device = choose_device(device)
    sources = list(zip(todo["image"], todo["path"], strict=True))
    chunks = [sources[at : at + CHUNK] for at in range(0, len(sources), CHUNK)]
    work = partial(_crop_and_record, cache=cache, device=device)
    rows: list[Row] = []
    with tqdm(total=len(sources), unit=" images", desc=str(cache.out), disable=not progress) as bar:
        for done in spread(work, chunks, choose_workers(workers, len(sources), device), device):
            rows += done
            bar.update(len(done))
    return rows


def _crop_and_record(chunk: Sequence[tuple[str, str]], cache: Cache, device: str) -> list[Row]:
    from shared.faces.crop import crop_chunk  # Loads torch, which a run that finds everything done does without.

    rows = crop_chunk(chunk, cache.out, device)
    cache.record(rows)
    return rows


def main(options: Options) -> None:
    """Bring the crops of each half up to date, and say what was found."""
    sets = {}
    for split, folder in split_folders(options.data).items():
        out = options.out if folder == options.data else options.out / split
        made = update_crops(load_images(folder, options.skip_bad), out, options.workers, options.device, progress=True)
        print(summarise(made.crops, made.new, made.seconds))
        sets[split] = made.crops
    if options.sheet is not None:
        write_sheet(sets, options.sheet)
        print(f"contact sheet: {options.sheet}")


if __name__ == "__main__":
    run(main, Options())
