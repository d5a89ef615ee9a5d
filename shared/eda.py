"""One page about a competition folder: what is in it, and what is odd.

    python shared/eda.py --data data                    -> outputs/eda.html
    python shared/eda.py --data data --sample 0         every image, not a sample

Unreadable images are listed, not refused. The page shows faces: treat it like the data.
"""

from dataclasses import dataclass
from pathlib import Path

from shared.commands import run
from shared.crops import INDEX, open_crops
from shared.files import refuse_overwriting
from shared.manifest import load_evaluation, load_training, split_folders
from shared.messages import UserError
from shared.training.run_folder import crop_folder


@dataclass(frozen=True)
class Options:
    """Write a page about a competition folder: one HTML file that opens without a network."""

    data: Path = Path("data")
    """Competition folder, or one split of it."""

    crops: Path = Path("crops")
    """Crops that shared/crop_faces.py made of it; left out of the page if there are none."""

    out: Path = Path("outputs/eda.html")
    """Page to write."""

    sample: int = 3000
    """Images of each split to open and measure, drawn at random; 0 for all. Tables are always read in full."""

    fixes: tuple[Path, ...] = ()
    """Label fixes (id, image, field, value); boostcamp names the one that comes with face18."""

    skip_bad: bool = False
    """Leave out faulty rows of the tables and list them in rejected.csv, instead of stopping."""

    def __post_init__(self) -> None:
        if self.sample < 0:
            raise UserError(f"--sample must be 0 or more, not {self.sample}")
        if self.out.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--out {self.out}: the name must end in .html")


def main(options: Options) -> None:
    # Imported here, so that --help does not wait for it.
    from shared.html_pages import write_page
    from shared.reports.dataset import Split, contents, measure_files

    refuse_overwriting({"--out": options.out}, [options.data, options.crops, *options.fixes])
    splits = {}
    for name, folder in split_folders(options.data).items():
        if name == "train":
            table = load_training(folder, options.fixes, options.skip_bad)
        else:
            table = load_evaluation(folder, options.skip_bad)
        count = min(options.sample or len(table), len(table))
        facts = measure_files(table.sample(count, random_state=0).sort_index(), name)
        crops = crop_folder(options.crops, options.data, name)
        splits[name] = Split(table, facts, open_crops(crops) if (crops / INDEX).is_file() else None)
    lead = f"What is in {options.data}."
    write_page(options.out, "dataset.html", title="face18: the data", lead=lead, **contents(splits))
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    run(main, Options())
