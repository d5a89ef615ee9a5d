"""Names in a table, and the files they stand for below images/."""

import os
from pathlib import Path, PurePosixPath


def claim(column: str, value: str, taken: dict[str, int], row: int) -> None:
    """Note that `row` has this value; raises `ValueError` where an earlier row has it."""
    if taken.setdefault(value, row) != row:
        raise ValueError(f"{column} {value} is that of row {taken[value]} already")


def below(path: str) -> str:
    """`path` as a posix path below some folder; "" where it is blank or leads out of it."""
    pure = PurePosixPath(path)
    return "" if not pure.parts or pure.is_absolute() or ".." in pure.parts else str(pure)


def visible_files(folder: Path) -> list[str]:
    """The names of the files of a folder in order, without hidden ones such as `._mask1.jpg`.

    Raises `OSError` where the folder cannot be read, `ValueError` where there can be none of that name.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
