"""CSV files that people edit: rows with their numbers in a spreadsheet, values with their meaning, and faults.

Faulty rows are refused all at once, or with --skip-bad left out and listed in rejected.csv.
"""

import csv
import io
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shared.files import write_csv
from shared.labels import GENDERS, MASKS
from shared.messages import UserError, counted, listed

MAX_NAME = 60
"""Characters of a name that a list of faults shows."""

MAX_AGE = 120
AGE = re.compile(r"[0-9]{1,3}(\.[0-9]*)?")

SAVE_AS_CSV = "save it as CSV, UTF-8, separated by commas"

REJECTED = Path("rejected.csv")
"""Default file for what is left out; never in the data folder, which may be read-only."""

REJECTED_COLUMNS = ("table", "row", "name", "reason")


@dataclass(frozen=True)
class Row:
    """One record. Values are text without surrounding blanks, so `000020` and `NA` stay as they are."""

    number: int
    """Number in a spreadsheet: the header is row 1."""

    text: dict[str, str]
    """Values by column."""


@dataclass(frozen=True)
class Fault:
    """Why a row, or an image of it, cannot be used."""

    row: int
    """Number in a spreadsheet."""

    name: str
    """The id or image of the row."""

    reason: str


def describe_faults(faults: Sequence[Fault]) -> str:
    """The first faults in the order of the table and the number of the others, one per line."""
    ordered = sorted(faults, key=lambda fault: fault.row)
    return listed([f"row {fault.row} ({fault.name[:MAX_NAME]}): {fault.reason}" for fault in ordered])


def read_rows(
    path: Path, columns: Sequence[str], optional: Sequence[str] = (), may_be_empty: bool = False
) -> tuple[list[Row], list[Fault]]:
    """Read the records of a CSV, and faults for those wider than the header; blank records are skipped.

    The names of `columns` and `optional` ones may be in any case in the file. Raises `UserError` if the file is
    missing, is no UTF-8 CSV, lacks one of `columns`, or has no record.
    """
    records = _records(path)
    wanted = {name.casefold(): name for name in (*columns, *optional)}
    names = [name.strip() for name in records[0]] if records else []
    header = [wanted.get(name.casefold(), name) for name in names]
    _check_header(path, header, columns)
    rows, faults = [], []
    for number, record in enumerate(records[1:], start=2):
        values = [value.strip() for value in record]
        if any(values[len(header) :]):
            faults.append(Fault(number, values[0], f"{len(values)} values under {len(header)} columns"))
        elif any(values):
            rows.append(Row(number, dict.fromkeys(header, "") | dict(zip(header, values, strict=False))))
    if not rows and not faults and not may_be_empty:
        raise UserError(f"{path} is empty: there is no row below its header")
    return rows, faults


def _records(path: Path) -> list[list[str]]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        return list(reader)
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV: line {reader.line_num}: {error}: {SAVE_AS_CSV}") from error


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} is not UTF-8 text (line {line}): {SAVE_AS_CSV}") from error
    if "\0" in text:
        raise UserError(f"{path} is not text: {SAVE_AS_CSV}")
    return text


def _check_header(path: Path, header: list[str], columns: Sequence[str]) -> None:
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise UserError(f"{path} has the column {', '.join(twice)} more than once: keep one of them")
    missing = [name for name in columns if name not in header]
    if not missing:
        return
    message = f"{path} lacks the column {', '.join(missing)}; its first row is: {', '.join(header)[:200] or '(blank)'}"
    if len(header) == 1 and any(separator in header[0] for separator in ";\t|"):
        message += f"\nIt seems to be separated by something else than commas: {SAVE_AS_CSV}."
    raise UserError(message)


UNKNOWN_LABEL = "unknown"
"""A label that says that nothing is known; a blank is a fault."""


def read_age(text: str) -> float:
    """Years, 0-120; raises `ValueError` with the reason."""
    if not AGE.fullmatch(text) or float(text) > MAX_AGE:
        raise ValueError(f"age {text!r} is no number from 0 to {MAX_AGE}")
    return float(text)


def read_age_range(text: str) -> tuple[float, float]:
    """First and last age in years that a label allows: "34", "20-29", "60+" or "unknown"; raises `ValueError`."""
    if text.lower() == UNKNOWN_LABEL:
        return 0.0, float(MAX_AGE)
    if text.endswith("+"):
        return read_age(text[:-1]), float(MAX_AGE)
    first, dash, last = text.partition("-")
    low, high = (read_age(first.strip()), read_age(last.strip())) if dash and first else (read_age(text),) * 2
    if low > high:
        raise ValueError(f"age {text!r} ends before it begins")
    return low, high


def read_gender(text: str) -> int:
    """An index into `labels.GENDERS` for a name in any case; raises `ValueError` with the reason."""
    return _read_name("gender", text, GENDERS)


def read_mask(text: str) -> int:
    """An index into `labels.MASKS` for a name in any case; raises `ValueError` with the reason."""
    return _read_name("mask", text, MASKS)


def _read_name(field: str, text: str, names: tuple[str, ...]) -> int:
    if text.lower() not in names:
        raise ValueError(f"{field} {text!r} is none of {', '.join(names)}")
    return names.index(text.lower())


def claim(column: str, value: str, taken: dict[str, int], row: int) -> None:
    """Note that `row` has this value; raises `ValueError` if an earlier row has it."""
    if taken.setdefault(value, row) != row:
        raise ValueError(f"{column} {value} is that of row {taken[value]} already")


def below(path: str) -> str:
    """`path` as a posix path below some folder; "" if it is blank or leads out of the folder."""
    pure = PurePosixPath(path)
    return "" if not pure.parts or pure.is_absolute() or ".." in pure.parts else str(pure)


def visible_files(folder: Path) -> list[str]:
    """Sorted names of the files in a folder, without hidden ones such as `._mask1.jpg`.

    Raises `OSError` if the folder cannot be read, `ValueError` if its name is impossible.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())


def refuse_or_leave_out(table: Path, faults: Sequence[Fault], skip_bad: bool, rejected: Path) -> None:
    """Refuse a table with faults, or with `skip_bad` list them in `rejected` and report their number on stderr.

    Raises `UserError` listing the first faults and the way out.
    """
    if skip_bad:
        _list_rejected(table, faults, rejected)
    elif faults:
        raise UserError(
            f"{counted(len(faults), 'fault')} in {table}:\n{describe_faults(faults)}\n"
            f"Correct them, or leave them out with --skip-bad; they are then listed in {rejected}."
        )


def _list_rejected(table: Path, faults: Sequence[Fault], rejected: Path) -> None:
    """Replace the entries of this table in `rejected`; those of other tables stay, as a command may read several."""
    known = read_rows(rejected, REJECTED_COLUMNS)[0] if rejected.exists() else []
    lines = [[row.text[name] for name in REJECTED_COLUMNS] for row in known if row.text["table"] != str(table)]
    lines += [[str(table), str(fault.row), fault.name, fault.reason] for fault in faults]
    if lines:
        write_csv(rejected, [REJECTED_COLUMNS, *lines])
    else:
        with suppress(OSError):  # An empty list that cannot be removed is no reason to stop.
            rejected.unlink(missing_ok=True)
    if faults:
        print(f"{table}: {counted(len(faults), 'fault')} left out and listed in {rejected}", file=sys.stderr)
