"""CSV files that people edit, read as text with the row numbers a spreadsheet shows."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.competition.faults import Fault
from shared.errors import UserError

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
