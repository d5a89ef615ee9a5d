"""What is wrong with single rows of a table, told all at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.wording import listed

NAME_WIDTH = 60


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
    return listed([f"row {fault.row} ({fault.name[:NAME_WIDTH]}): {fault.reason}" for fault in ordered])
