"""Faulty rows are refused, or with --skip-bad left out and written down."""

import csv
import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from shared.atomic import write_text
from shared.competition.faults import Fault, describe
from shared.competition.text_rows import read_rows
from shared.errors import UserError
from shared.wording import counted

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
