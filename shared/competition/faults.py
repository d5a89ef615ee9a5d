"""What is wrong with single rows of a table, told all at once."""

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 10
"""So many offenders are spelled out; the others are counted."""


@dataclass(frozen=True)
class Fault:
    """Why a row, or a picture of it, cannot be used."""

    row: int
    """As a spreadsheet counts: the header is row 1."""

    name: str
    """The id or picture that the row is about."""

    reason: str


def describe(faults: Sequence[Fault]) -> str:
    """The first faults in the order of the table, and a count of the others; several lines, indented."""
    ordered = sorted(faults, key=lambda fault: fault.row)
    return listed([f"row {fault.row} ({fault.name}): {fault.reason}" for fault in ordered])


def listed(lines: Sequence[str]) -> str:
    """The first lines, indented, and a count of the others."""
    rest = [f"... and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return "\n".join(f"  {line}" for line in [*lines[:SHOWN], *rest])
