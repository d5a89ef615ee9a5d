"""info.csv and the files it names: the pictures to answer."""

from collections.abc import Sequence
from pathlib import Path

from shared.competition.faults import Fault
from shared.competition.places import below, claim, visible_files
from shared.competition.text_rows import Row, read_rows


def named_pictures(source: Path) -> tuple[list[Row], list[Fault]]:
    """The rows of an info.csv that name a picture of their own, and what is wrong with the others."""
    rows, faults = read_rows(source, ("ImageID",))
    usable = []
    taken: dict[str, int] = {}
    for row in rows:
        try:
            _check_named(row)
            claim("ImageID", row.text["ImageID"], taken, row.number)
            usable.append(row)
        except ValueError as error:
            faults.append(Fault(row.number, row.text["ImageID"], str(error)))
    return usable, faults


def _check_named(row: Row) -> None:
    """Raises `ValueError` saying what is wrong with the row."""
    name = row.text["ImageID"]
    if not name or below(name) != name:
        raise ValueError(f"ImageID {name!r} is no plain path below images/")
    if not row.text.get("person", "some"):
        raise ValueError("the person is blank")


def on_disk(images: Path, rows: Sequence[Row], faults: list[Fault]) -> list[Row]:
    """The rows whose picture is there. Folders are listed once: a question per picture is slow over a network."""
    listings: dict[Path, frozenset[str]] = {}
    present = []
    for row in rows:
        name = row.text["ImageID"]
        file = images / name
        if file.parent not in listings:
            listings[file.parent] = _names(file.parent)
        if file.name in listings[file.parent]:
            present.append(row)
        else:
            faults.append(Fault(row.number, name, "there is no such file below images/"))
    return present


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(visible_files(folder))
    except (OSError, ValueError):
        return frozenset()
