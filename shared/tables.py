"""What is wrong with single rows of a table, told all at once.

CSV files that people edit, read as text with the row numbers a spreadsheet shows.

How labels are written in tables that people edit.

Names in a table, and the files they stand for below images/.

Faulty rows are refused, or with --skip-bad left out and written down.
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

from shared.files import write_text
from shared.labels import GENDERS, MASKS
from shared.messages import UserError, counted, listed

NAME_WIDTH = 60


@dataclass(frozen=True)
class Fault:
    """Why a row, or an image of it, cannot be used."""

    row: int
    """As a spreadsheet counts: the header is row 1."""

    name: str
    """The id or image that the row is about."""

    reason: str


def describe(faults: Sequence[Fault]) -> str:
    """The first faults in the order of the table, and a count of the others; several lines, indented."""
    ordered = sorted(faults, key=lambda fault: fault.row)
    return listed([f"row {fault.row} ({fault.name[:NAME_WIDTH]}): {fault.reason}" for fault in ordered])


SAVE_AS_CSV = "save it as CSV, UTF-8, separated by commas"


@dataclass(frozen=True)
class Row:
    """One record: every value is text without surrounding blanks, so `000020` and `NA` stay what they are."""

    number: int
    """As a spreadsheet counts: the header is row 1."""

    text: dict[str, str]


def read_rows(path: Path, columns: Sequence[str], may_be_empty: bool = False) -> tuple[list[Row], list[Fault]]:
    """The records of a CSV, and those that are wider than its header; blank ones are passed over.

    Raises `UserError` where the file is missing, is no UTF-8 CSV, lacks one of `columns` or holds no record that it has
    to hold.
    """
    records = _records(path)
    header = [name.strip() for name in records[0]] if records else []
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
        raise UserError(f"{path} is missing: no such file is there") from None
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


MAX_AGE = 120
YEARS = re.compile(r"[0-9]{1,3}(\.[0-9]*)?")


def read_age(text: str) -> float:
    """Years, 0-120; raises `ValueError` saying what is wrong."""
    if not YEARS.fullmatch(text) or float(text) > MAX_AGE:
        raise ValueError(f"age {text!r} is no number from 0 to {MAX_AGE}")
    return float(text)


def read_gender(text: str) -> int:
    """An index into `labels.GENDERS`, in whatever case it is written; raises `ValueError` saying what is wrong."""
    return _read_name("gender", text, GENDERS)


def read_mask(text: str) -> int:
    """An index into `labels.MASKS`, in whatever case it is written; raises `ValueError` saying what is wrong."""
    return _read_name("mask", text, MASKS)


def _read_name(field: str, text: str, names: tuple[str, ...]) -> int:
    if text.lower() not in names:
        raise ValueError(f"{field} {text!r} is none of {', '.join(names)}")
    return names.index(text.lower())


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


REJECTED = Path("rejected.csv")
"""Where what is left out is listed, unless a command says otherwise; never the data folder, which may be read-only."""

COLUMNS = ("table", "row", "name", "reason")


def refuse_or_leave_out(table: Path, faults: Sequence[Fault], skip_bad: bool, rejected: Path) -> None:
    """Refuse a table with faults; with `skip_bad` list them in `rejected` instead, and say so on stderr.

    Raises `UserError` listing the first faults and the way out.
    """
    if skip_bad:
        _list_rejected(table, faults, rejected)
    elif faults:
        raise UserError(
            f"{counted(len(faults), 'fault')} in {table}:\n{describe(faults)}\n"
            f"Mend them, or leave them out with --skip-bad; they are then listed in {rejected}."
        )


def _list_rejected(table: Path, faults: Sequence[Fault], rejected: Path) -> None:
    """Replace what `rejected` says of this table. What it says of others stays, for a command may read several."""
    known = read_rows(rejected, COLUMNS)[0] if rejected.exists() else []
    lines = [[row.text[column] for column in COLUMNS] for row in known if row.text["table"] != str(table)]
    lines += [[str(table), str(fault.row), fault.name, fault.reason] for fault in faults]
    if lines:
        write_text(rejected, _csv([COLUMNS, *lines]))
    else:
        # A list of nothing any more; where it cannot be removed, that is no reason to stop.
        with suppress(OSError):
            rejected.unlink(missing_ok=True)
    if faults:
        print(f"{table}: {counted(len(faults), 'fault')} left out and listed in {rejected}", file=sys.stderr)


def _csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
