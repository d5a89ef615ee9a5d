"""Copy a folder of photographs and its CSV into the layout that all commands read. See docs/own_data.md.

    python examples/own_folder.py --table people.csv --images photographs --unlabelled unlabelled --out data

people.csv has the columns file (below --images), gender and age; optionally person (if a person is in several
photographs), mask (worn, incorrect, none) and labels of your own. Files are copied, never moved or changed.
"""

import csv
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from shared.commands import run
from shared.labels import INCORRECT, NORMAL, WORN
from shared.messages import UserError
from shared.tables import Row, read_rows

KINDS = {"worn": WORN, "incorrect": (INCORRECT,), "none": (NORMAL,)}
"""Image kinds of the layout, by mask state."""
SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Options:
    """Copy labelled photographs into the layout for training, and others into that for prediction."""

    table: Path = Path("people.csv")
    """Columns: file, gender, age; optionally person, mask and your own labels."""
    images: Path = Path("photographs")
    """Folder of the table's files."""
    unlabelled: Path | None = None
    """A folder of photographs to predict."""
    out: Path = Path("data")
    """The folder to create."""


def main(options: Options) -> None:
    """Copy both folders; raise `UserError` if --out is there already or a row of the table is unusable."""
    for split in ("train", "eval"):
        if (options.out / split).exists():
            raise UserError(f"{options.out / split} is there already: name another folder with --out")
    copy_labelled(options)
    if options.unlabelled:
        copy_unlabelled(options.unlabelled, options.out / "eval")


def copy_labelled(options: Options) -> None:
    rows, faults = read_rows(options.table, ("file", "gender", "age"))
    if faults:
        raise UserError(f"{options.table}, row {faults[0].row}: {faults[0].reason}")
    persons: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        persons[row.text.get("person") or row.text["file"]].append(row)
    own = [name for name in rows[0].text if name and name not in ("file", "person", "mask", "gender", "age")]
    table, left_out = [], 0
    for number, (person, images) in enumerate(persons.items(), start=1):
        path = f"{number:06d}"
        left_out += copy_images(options, images, options.out / "train" / "images" / path)
        first = images[0].text
        table.append([person, first["gender"], first["age"], path, *(first[name] for name in own)])
    write_csv(options.out / "train" / "train.csv", ["id", "gender", "age", "path", *own], table)
    print(f"{options.out}: {len(persons)} persons, {len(rows) - left_out} images")
    if left_out:
        print(f"{left_out} images left out: a person has room for five masks worn, one incorrect and one without")


def copy_images(options: Options, images: list[Row], folder: Path) -> int:
    """Copy the images of a person to free places of the layout; return how many had none."""
    free = {mask: list(kinds) for mask, kinds in KINDS.items()}
    left_out = 0
    for row in images:
        mask, file = row.text.get("mask", "").lower() or "none", options.images / row.text["file"]
        if mask not in free:
            raise UserError(f"{options.table}, row {row.number}: mask {mask!r} is none of {', '.join(KINDS)}")
        if not file.is_file() or file.suffix.lower() not in SUFFIXES:
            raise UserError(f"{options.table}, row {row.number}: {file} is missing or is no {', '.join(SUFFIXES)}")
        if not free[mask]:
            left_out += 1
            continue
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, folder / f"{free[mask].pop(0)}{file.suffix.lower()}")
    return left_out


def copy_unlabelled(source: Path, folder: Path) -> None:
    files = sorted(file for file in source.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"--unlabelled {source} holds no image ({', '.join(SUFFIXES)})")
    names = [file.relative_to(source) for file in files]
    for file, name in zip(files, names, strict=True):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, folder / "images" / name)
    write_csv(folder / "info.csv", ["ImageID"], [[name.as_posix()] for name in names])
    print(f"{folder}: {len(files)} images to predict")


def write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    run(main, Options())
