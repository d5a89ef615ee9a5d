"""What is wrong with single rows of a table: told all at once, or left out and written down."""

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.atomic import write_text
from shared.errors import UserError

SHOWN = 10
"""So many offenders are spelled out; the others are counted."""

REJECTED = Path("rejected.csv")
REJECTED_COLUMNS = ("table", "row", "name", "reason")


@dataclass(frozen=True)
class Fault:
    """Why a row, or a picture of it, cannot be used."""

    row: int
    """As a spreadsheet counts: the header is row 1."""

    name: str
    reason: str


def listed(lines: Sequence[str]) -> str:
    """The first lines, indented, and a count of the others."""
    rest = [f"... and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return "\n".join(f"  {line}" for line in [*lines[:SHOWN], *rest])


def describe(faults: Sequence[Fault]) -> str:
    """The first faults in the order of the table, and a count of the others."""
    ordered = sorted(faults, key=lambda fault: fault.row)
    return listed([f"row {fault.row} ({fault.name}): {fault.reason}" for fault in ordered])


def settle(table: Path, faults: Sequence[Fault], skip_bad: bool, rejected: Path) -> None:
    """Refuse a table with faults, or with `skip_bad` write them to `rejected` and say so.

    Raises `UserError` listing the first faults and the way out.
    """
    if skip_bad:
        _write_rejected(table, faults, rejected)
    elif faults:
        raise UserError(
            f"{table} has {len(faults):,} {'fault' if len(faults) == 1 else 'faults'}:\n{describe(faults)}\n"
            f"Mend them, or pass --skip-bad to leave them out and have them listed in {rejected}."
        )


def _write_rejected(table: Path, faults: Sequence[Fault], rejected: Path) -> None:
    """Replace what `rejected` says of this table; what it says of others stays, for a command may read several."""
    others = [row for row in _read_rejected(rejected) if row[0] != str(table)]
    if not faults and not rejected.exists():
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(REJECTED_COLUMNS)
    writer.writerows(others)
    writer.writerows((str(table), fault.row, fault.name, fault.reason) for fault in faults)
    write_text(rejected, text.getvalue())
    if faults:
        print(f"{table}: left out {len(faults):,} with faults, listed in {rejected}", file=sys.stderr)


def _read_rejected(rejected: Path) -> list[list[str]]:
    if not rejected.exists():
        return []
    with rejected.open(newline="", encoding="utf-8") as file:
        return [row for row in list(csv.reader(file))[1:] if row]
