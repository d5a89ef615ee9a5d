"""Find the face in every portrait and cut it out, aligned: `python shared/crop_faces.py --data data --out crops`."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from shared.commands import run
from shared.crops import PRIOR, CropSet, open_crops
from shared.faces import cache
from shared.faces.cropping import Row, Source, crop_at, crop_chunk
from shared.faces.prior import assumed_eyes

CHUNK = 64
"""Pictures that go through the detector together."""


@dataclass(frozen=True)
class Options:
    """Find the face in every portrait and cut it out, aligned by the eyes. Takes up where an earlier run stopped."""

    data: Path = Path("data")
    """The competition's folder, or one of its two halves."""

    out: Path = Path("crops")
    """Where the crops go: a folder for each half."""

    workers: int = 0
    """Processes on CPU, threads on a GPU; 0 = one per core."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the detector runs; auto takes a GPU if there is one."""

    skip_bad: bool = False
    """Leave out faulty rows of the tables and list them in rejected.csv, instead of stopping."""


def make_crops(
    pictures: pd.DataFrame, out: Path, workers: int = 0, device: str = "auto", progress: bool = True
) -> CropSet:
    """Crop the pictures (columns `picture`: id, `path`: file) into the folder `out`, or what of them is not done yet.

    Raises `UserError` when the folder cannot be written.
    """
    known, parts = cache.known_rows(out)
    good = cache.still_good(known, pictures, out)
    todo = [
        Source(*pair) for pair in zip(pictures["picture"], pictures["path"], strict=True) if pair[0] not in good.index
    ]
    chunks = [todo[at : at + CHUNK] for at in range(0, len(todo), CHUNK)]
    done = list(
        _flat(
            tqdm(_spread(chunks, out, workers or os.cpu_count() or 1, "cpu"), total=len(chunks), disable=not progress)
        )
    )
    new, more = cache.known_rows(out)
    rows = pd.concat([good, pd.DataFrame(done, columns=cache.COLUMNS).set_index("picture")]).loc[
        list(pictures["picture"])
    ]
    rows = _fill_in(rows, pictures, out)
    cache.publish(rows, out, sorted({*parts, *more}))
    return open_crops(out)


def _spread(chunks: list[list[Source]], out: Path, workers: int, device: str) -> Iterator[list[Row]]:
    pool = Parallel(n_jobs=workers, return_as="generator_unordered")
    return pool(delayed(_do)(chunk, out, device) for chunk in chunks)


def _do(chunk: list[Source], out: Path, device: str) -> list[Row]:
    import torch

    torch.set_num_threads(1)
    rows = crop_chunk(chunk, out, device)
    cache.record(rows, out)
    return rows


def _flat(chunks: Iterable[list[Row]]) -> Iterator[Row]:
    for rows in chunks:
        yield from rows


def _fill_in(rows: pd.DataFrame, pictures: pd.DataFrame, out: Path) -> pd.DataFrame:
    missing = rows[rows["found"] == PRIOR]
    eyes = assumed_eyes(rows).loc[missing.index]
    paths = dict(zip(pictures["picture"], pictures["path"], strict=True))
    sources = [Source(picture, paths[picture], tuple(eyes.loc[picture])) for picture in missing.index]
    if not sources:
        return rows
    made = pd.DataFrame(crop_at(sources, out), columns=cache.COLUMNS).set_index("picture")
    return pd.concat([rows[rows["found"] != PRIOR], made]).loc[rows.index]


def main(options: Options) -> None:
    from shared.manifest import load_pictures, split_folders

    for split, folder in split_folders(options.data).items():
        out = options.out if folder == options.data else options.out / split
        crops = make_crops(load_pictures(folder, options.skip_bad), out, options.workers, options.device)
        print(f"{out}: {len(crops.index)} crops; {crops.index['found'].value_counts().to_dict()}")


if __name__ == "__main__":
    run(main, Options())
