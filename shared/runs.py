"""What was run, and how well it did: `python -m shared.runs` reads the table that `shared.tracking` writes.

python -m shared.runs                        the best first, by task
python -m shared.runs --task age --kind fold
python -m shared.runs --show 3f2a91bc        one run: an id or the start of it, or a run folder
python -m shared.runs --diff 3f2a 77c0       options that differ, scores side by side
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shared.commands import run
from shared.messages import UserError, counted, first_of
from shared.tracking import COLUMNS, TABLE, read_runs

MISSING = "-"

SCORES = 4
"""So many scores are columns of the leaderboard; --show tells all."""


@dataclass(frozen=True)
class Options:
    """Show what was run: a leaderboard, one run, or the difference of two."""

    table: Path = Path("outputs") / TABLE
    """The table to read; it lies beside the run folders."""

    task: str | None = None
    """In the leaderboard: this specialist alone, or "together" for fusions."""

    kind: str | None = None
    """In the leaderboard: fold, training, fusion, trial or score alone; without it, all but folds."""

    sort: str = "macro_f1"
    """In the leaderboard: the score that the best are told by, the largest first; one in years, the smallest."""

    limit: int = 20
    """In the leaderboard: so many lines for each task."""

    show: str | None = None
    """All that is known of one run: its id, the start of it, or its folder (the latest row of that)."""

    diff: tuple[str, str] | None = None
    """Two runs, named as for --show: options that differ, scores side by side."""

    def __post_init__(self) -> None:
        if self.show and self.diff:
            raise UserError("--show and --diff are two questions: ask one at a time")
        if self.limit < 1:
            raise UserError(f"--limit must be at least 1, not {self.limit}")


def main(options: Options) -> None:
    table = read_runs(options.table)
    if options.show:
        print(describe(find(table, options.show)))
    elif options.diff:
        print(difference(*(find(table, name) for name in options.diff)))
    else:
        print(leaderboard(chosen(table, options.task, options.kind), options.sort, options.limit))


def find(table: pd.DataFrame, name: str) -> pd.Series:
    """The row with an id, or the only one whose id starts so, or the latest of a run folder.

    Raises `UserError` where there is none, or more than one.
    """
    named = table[table["id"].str.startswith(name)]
    if len(named) > 1:
        raise UserError(f"{name} is the start of {counted(len(named), 'id')}: {first_of(named['id'])}. Give more of it")
    if named.empty:
        wanted = Path(name).absolute()
        named = table[[Path(folder).absolute() == wanted for folder in table["run"]]].tail(1)
    if named.empty:
        raise UserError(f"no run is called {name}; python -m shared.runs lists them, --kind fold the single folds")
    return named.iloc[0]


def chosen(table: pd.DataFrame, task: str | None, kind: str | None) -> pd.DataFrame:
    """The rows of a task and a kind. Raises `UserError` where there are none, naming what there is."""
    of_kind = table["kind"] == kind if kind else table["kind"] != "fold"
    rows = table[of_kind & (table["task"] == task if task else True)]
    if rows.empty:
        kinds = ", ".join(sorted(set(table["kind"] + " of " + table["task"])))
        raise UserError(f"no run is of --task {task or 'any'} and --kind {kind or 'any but fold'}; there are: {kinds}")
    return rows


def leaderboard(rows: pd.DataFrame, sort: str, limit: int) -> str:
    """A table for each task, the best run first; those without the score come last.

    Raises `UserError` where no run has it.
    """
    values = rows["scores"].map(lambda scores: scores.get(sort)).astype(float)
    if values.isna().all():
        names = sorted({name for scores in rows["scores"] for name in scores})
        raise UserError(f"--sort {sort}: no run has such a score; there are: {', '.join(names)}")
    order = rows.assign(value=values).sort_values("value", ascending=sort.endswith("years"), kind="stable")
    return "\n\n".join(f"{task}\n{_board(part.head(limit), sort)}" for task, part in order.groupby("task", sort=True))


def _board(rows: pd.DataFrame, sort: str) -> str:
    """Ids, the first few scores, and what tells the runs apart."""
    names = list(dict.fromkeys([sort, *(name for scores in rows["scores"] for name in scores)]))[:SCORES]
    lines = [["id", *names, "time", "seconds", "kind", "fold", "run", "differs in"]]
    for (_, row), differs in zip(rows.iterrows(), _differing([*rows["options"]]), strict=True):
        scores = [_number(row["scores"].get(name)) for name in names]
        about = [row["time"][:16].replace("T", " "), row["seconds"], row["kind"], row["fold"] or MISSING, row["run"]]
        lines.append([row["id"], *scores, *about, differs])
    return _aligned(lines)


def _differing(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each run those of its options that are not the same in all, as they are given on a command line."""
    names = list(dict.fromkeys(name for each in options for name in each))
    apart = [name for name in names if any(each.get(name) != options[0].get(name) for each in options)]
    return [" ".join(f"--{name.replace('_', '-')} {_value(each.get(name))}" for name in apart) for each in options]


def describe(row: pd.Series) -> str:
    """Everything a row tells, a line for each thing."""
    plain = [[name, _value(row[name]) or MISSING] for name in COLUMNS if name not in ("scores", "options", "command")]
    command = [["command", " ".join(row["command"])]]
    scores = [[name, _number(value)] for name, value in row["scores"].items()]
    options = [[f"--{name.replace('_', '-')}", _value(value)] for name, value in row["options"].items()]
    return "\n\n".join(_aligned(part) for part in ([*plain, *command], scores, options) if part)


def difference(first: pd.Series, second: pd.Series) -> str:
    """What two runs have not in common, and the scores of both with the second's less the first's."""
    about = [name for name in ("task", "fold", "commit", "dirty", "data", "recipe") if first[name] != second[name]]
    changed = [[name, first[name] or MISSING, second[name] or MISSING] for name in about]
    for name in dict.fromkeys([*first["options"], *second["options"]]):
        values = [row["options"].get(name) for row in (first, second)]
        if values[0] != values[1]:
            changed.append([f"--{name.replace('_', '-')}", *map(_value, values)])
    scores = [["score", first["id"], second["id"], "difference"]]
    for name in dict.fromkeys([*first["scores"], *second["scores"]]):
        one, other = (row["scores"].get(name) for row in (first, second))
        gain = f"{other - one:+.4f}" if one is not None and other is not None else MISSING
        scores.append([name, _number(one), _number(other), gain])
    head = ["differs in", first["id"], second["id"]]
    return "\n\n".join([_aligned([head, *(changed or [["nothing"]])]), _aligned(scores)])


def _number(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:,.0f}" if value == int(value) and abs(value) > 1 else f"{value:.4f}"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what is in them; the last one ends where it ends."""
    widths = [max(len(line[column]) for line in lines if column < len(line)) for column in range(max(map(len, lines)))]
    padded = ("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=False)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


if __name__ == "__main__":
    run(main, Options())
