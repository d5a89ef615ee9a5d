"""The one exception that is meant for the person at the command line.

Counts, lists and tables as messages tell them.
"""

from collections.abc import Iterable, Sequence


class UserError(Exception):
    """Something the user can put right; the message names the file, row or flag and the way out.

    Commands print it without a traceback and exit with status 2 (see `shared.commands.run`).
    """


LINES = 10
"""So many lines of a list are shown; the others are counted."""

WIDTH = 600
"""Characters shown of a line, room for two paths: a broken table may hold a value of any length."""

NAMES = 3
"""So many names are shown."""


def counted(number: int, noun: str) -> str:
    """For example "1 fault" and "1,200 faults"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(lines: Sequence[str]) -> str:
    """The first lines, indented, and a count of the others."""
    rest = [f"... and {len(lines) - LINES:,} more"] if len(lines) > LINES else []
    return "\n".join(f"  {line[:WIDTH]}" for line in [*lines[:LINES], *rest])


def first_of(names: Iterable[object]) -> str:
    """The first few names; for example "a, b, c, ..."."""
    texts = [str(name) for name in names]
    return ", ".join([*texts[:NAMES], "..."] if len(texts) > NAMES else texts)


def markdown_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A line for the head, one for each row."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, ["---"] * len(head), *rows])


def text_table(head: Sequence[object], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Return a table for the terminal, one line per row; columns are as wide as their longest cell.

    The first `left` columns are flush left, all others flush right.

    >>> print(text_table(("class", "F1"), [("worn", "0.95"), ("none", "1.00")]))
    class    F1
    worn   0.95
    none   1.00
    """
    lines = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def aligned(line: Sequence[str]) -> str:
        cells = [*zip(line, widths, strict=True)]
        texts = [text.ljust(width) for text, width in cells[:left]] + [
            text.rjust(width) for text, width in cells[left:]
        ]
        return "  ".join(texts).rstrip()

    return "\n".join(map(aligned, lines))
