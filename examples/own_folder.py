"""Bring a CSV and a folder of photographs into the layout that all commands read. See docs/own_data.md.

    python examples/own_folder.py --table people.csv --images photographs --unlabelled unlabelled --out data

people.csv has the columns file (below --images), gender and age; person, if somebody is in several photographs; mask
(worn, incorrect, none), otherwise nobody wears one; and any labels of your own. Files are copied, never changed.
"""

import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from shared.commands import run
from shared.files import IMAGE_SUFFIXES, find_images, refuse_overwriting, write_csv
from shared.labels import INCORRECT, NORMAL, WORN
from shared.messages import UserError, counted
from shared.tables import Row, read_rows

KINDS = {"worn": WORN, "incorrect": (INCORRECT,), "none": (NORMAL,)}
"""File names of a person's images in the layout, by mask state."""

REQUIRED, OPTIONAL = ("file", "gender", "age"), ("person", "mask")
"""Columns of the table."""


@dataclass(frozen=True)
class Options:
    """Bring a CSV and a folder of photographs into the layout for training, and other photographs for prediction."""

    table: Path = Path("people.csv")
    """Columns: file, gender, age; person, mask and your own labels if you have them."""
    images: Path = Path("photographs")
    """The folder of the table's files."""
    unlabelled: Path | None = None
    """A folder of photographs to predict."""
    out: Path = Path("data")
    """The folder to create."""


def main(options: Options) -> None:
    """Raises `UserError` if the folder exists already, or a row of the table cannot be used."""
    train, evaluation = options.out / "train", options.out / "eval"
    inputs = [options.table, options.images, *([options.unlabelled] if options.unlabelled else [])]
    refuse_overwriting({"--out": train}, inputs)
    refuse_overwriting({"--out": evaluation}, inputs)
    for folder in (train, evaluation):
        if folder.exists():
            raise UserError(f"{folder} exists already: name another folder with --out")
    write_training(options, train)
    if options.unlabelled:
        write_evaluation(options.unlabelled, evaluation)


def write_training(options: Options, folder: Path) -> None:
    """Copy the labelled images and write train.csv."""
    rows, faults = read_rows(options.table, REQUIRED, OPTIONAL)
    if faults:
        raise UserError(f"{options.table}, row {faults[0].row}: {faults[0].reason}")
    persons: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        persons[row.text.get("person") or row.text["file"]].append(row)
    own = [name for name in rows[0].text if name and name not in REQUIRED + OPTIONAL]
    table, left_out = [["id", "gender", "age", "path", *own]], 0
    for number, (person, images) in enumerate(persons.items(), start=1):
        path = f"{number:06d}"
        left_out += copy_images(options, images, folder / "images" / path)
        first = images[0].text
        table.append([person, first["gender"], first["age"], path, *(first[name] for name in own)])
    write_csv(folder / "train.csv", table)
    print(f"{options.out}: {counted(len(persons), 'person')}, {counted(len(rows) - left_out, 'image')}")
    if left_out:
        print(f"{counted(left_out, 'image')} left out: a person has at most five with a mask, one with it worn wrongly")
        print("(incorrect) and one without")


def copy_images(options: Options, images: list[Row], folder: Path) -> int:
    """Copy the images of a person to their names in the layout; return the number of those without a free name."""
    free = {mask: list(kinds) for mask, kinds in KINDS.items()}
    left_out = 0
    for row in images:
        mask, file = row.text.get("mask", "").lower() or "none", options.images / row.text["file"]
        where = f"{options.table}, row {row.number}"
        if mask not in free:
            raise UserError(f"{where}: mask {mask!r} is none of {', '.join(KINDS)}")
        if not file.is_file():
            raise UserError(f"{where}: {file} is missing")
        if file.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{where}: {file} has none of the suffixes {', '.join(IMAGE_SUFFIXES)}")
        if not free[mask]:
            left_out += 1
            continue
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, folder / f"{free[mask].pop(0)}{file.suffix.lower()}")
    return left_out


def write_evaluation(unlabelled: Path, folder: Path) -> None:
    """Copy the unlabelled images and write info.csv."""
    found = find_images(unlabelled)
    if not found.images:
        raise UserError(f"--unlabelled {unlabelled} holds no image ({', '.join(IMAGE_SUFFIXES)})")
    names = [file.relative_to(unlabelled) for file in found.images]
    for file, name in zip(found.images, names, strict=True):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, folder / "images" / name)
    write_csv(folder / "info.csv", [["ImageID"], *([name.as_posix()] for name in names)])
    print(f"{folder}: {counted(len(names), 'image')} to predict")
    if found.others:
        print(found.remark())


if __name__ == "__main__":
    run(main, Options())
