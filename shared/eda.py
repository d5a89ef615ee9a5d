"""One page about a competition folder: what is in it, and what is odd.

    python shared/eda.py --data data                    -> outputs/eda.html
    python shared/eda.py --data data --sample 0         every image, not a sample

Sizes, colour (to paste as --mean and --std), light and sharpness of images; labels; how faces were found, where crops
exist. A broken image is an oddity, not an end. The page holds images of faces: treat it like the data.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from shared.commands import run
from shared.crops import INDEX, CropSet, open_crops
from shared.manifest import load_evaluation, load_training, split_folders
from shared.messages import UserError
from shared.training.run_folder import crop_folder


@dataclass(frozen=True)
class Options:
    """Draw up a page about a competition folder: one HTML file that opens without a network."""

    data: Path = Path("data")
    """The competition's folder, or one split of it."""

    crops: Path = Path("crops")
    """What shared/crop_faces.py made of it; passed over where there is nothing yet."""

    out: Path = Path("outputs/eda.html")
    """The page to write."""

    sample: int = 3000
    """Images of each split that are opened and measured, drawn at random; 0 for all. Tables are always read whole."""

    seed: int = 0
    """Of the draw."""

    workers: int = 0
    """Threads that open images; 0: one a core."""

    fixes: tuple[Path, ...] = ()
    """Label corrections (id, image, field, value)."""

    skip_bad: bool = False
    """Leave out faulty rows of the tables and list them in rejected.csv, instead of stopping."""

    def __post_init__(self) -> None:
        for flag, value in (("--sample", self.sample), ("--seed", self.seed), ("--workers", self.workers)):
            if value < 0:
                raise UserError(f"{flag} must be 0 or more, not {value}")
        if self.out.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--out {self.out}: the name must end in .html")


def main(options: Options) -> None:
    # Here, not above: --help need not wait for them.
    from shared.reports import dataset as data_sections
    from shared.reports.dataset import Split, measure_files
    from shared.reports.page_parts import write_page

    splits = {}
    for name, folder in split_folders(options.data).items():
        table = load(name, folder, options)
        facts = measure_files(draw(table, options.sample, options.seed), name, options.workers)
        splits[name] = Split(table, facts, find_crops(options, name))
    labelled = [split for split in splits.values() if split.labelled]
    sections = [
        data_sections.overview(splits),
        *(data_sections.labels(split) for split in labelled),
        data_sections.sizes(splits),
        data_sections.colour(splits),
        data_sections.light(splits),
        data_sections.faces(splits),
        data_sections.oddities(splits),
    ]
    write_page(options.out, "face18: the data", f"What is in {options.data}.", sections)
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)")


def load(name: str, folder: Path, options: Options) -> pd.DataFrame:
    """The table of a split, with labels where it has them."""
    if name == "train":
        return load_training(folder, options.fixes, options.skip_bad)
    return load_evaluation(folder, options.skip_bad)


def draw(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """So many rows at random, in their order; all where `count` is 0 or there are no more."""
    if not 0 < count < len(table):
        return table
    return table.iloc[np.sort(np.random.default_rng(seed).choice(len(table), count, replace=False))]


def find_crops(options: Options, split: str) -> CropSet | None:
    """The crops of a split; None where there are none yet."""
    folder = crop_folder(options.crops, options.data, split)
    return open_crops(folder) if (folder / INDEX).is_file() else None


if __name__ == "__main__":
    run(main, Options())
