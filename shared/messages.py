"""The exception for mistakes of the user, and the texts that messages are composed of."""

from collections.abc import Iterable, Sequence


class UserError(Exception):
    """A mistake the user can correct. The message names the file, row or flag and the way out.

    Commands print it without a traceback and exit with status 2 (see `shared.commands.run`).
    """


MAX_LINES = 10
"""Lines of a list that are shown; the others are counted."""

MAX_WIDTH = 600
"""Characters of a line that are shown, room for two paths; a value of a broken table may be very long."""

MAX_NAMES = 3
"""Names that are shown."""


def counted(number: int, noun: str) -> str:
    """A number with its noun, for example "1 fault" or "1,200 faults"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(lines: Sequence[str]) -> str:
    """The first lines, indented, and the number of the others."""
    rest = [f"... and {len(lines) - MAX_LINES:,} more"] if len(lines) > MAX_LINES else []
    return "\n".join(f"  {line[:MAX_WIDTH]}" for line in [*lines[:MAX_LINES], *rest])


def first_of(names: Iterable[object]) -> str:
    """The first names, for example "a, b, c, ..."."""
    texts = [str(name) for name in names]
    return ", ".join([*texts[:MAX_NAMES], "..."] if len(texts) > MAX_NAMES else texts)


def markdown_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table with a head and a line for each row."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, ["---"] * len(head), *rows])


def text_table(head: Sequence[object], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """A table for the terminal, one line per row; columns are as wide as their longest cell.

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
