"""Find the face in every portrait and cut it out, aligned. Training and prediction use only these crops.

    python shared/crop_faces.py --data data --out crops --sheet crops.jpg

A second run processes only new and changed images; a stopped run continues with the same command. `shared/crops.py`
reads the result; `shared/faces/` does the work.
"""

if __name__ == "__main__":
    from shared.interrupts import end_at_once_while_loading

    end_at_once_while_loading()

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.commands import run
from shared.faces.cache import update_crops
from shared.faces.contact_sheet import summarise, write_sheet
from shared.files import refuse_overwriting
from shared.manifest import TABLES, load_images, split_folders
from shared.messages import UserError


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
