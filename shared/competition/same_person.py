"""Persons under two ids as data: a CSV with the columns id and other, a row for each pair; others are for people.

`python -m shared.label_audit` writes such a file, without rows where it finds none. `--group-duplicates` of training
keeps the persons of a pair in one fold: else a network is scored on a face it has learnt. Persons that are not there
are passed over, as in label fixes.
"""

from pathlib import Path

from shared.competition.faults import Fault, describe
from shared.competition.text_rows import read_rows
from shared.errors import UserError

Pair = tuple[str, str]
"""Two ids that are taken for one person."""

COLUMNS = ("id", "other")


def read_pairs(file: Path) -> list[Pair]:
    """The pairs of a file. Raises `UserError` where a row names fewer than two persons."""
    rows, faults = read_rows(file, COLUMNS, may_be_empty=True)
    pairs = []
    for row in rows:
        one, other = (row.text[name] for name in COLUMNS)
        if one and other and one != other:
            pairs.append((one, other))
        else:
            faults.append(Fault(row.number, one or other, "id and other must be two persons"))
    if faults:
        raise UserError(f"{file} has rows that are no pairs of persons:\n{describe(faults)}")
    return pairs
