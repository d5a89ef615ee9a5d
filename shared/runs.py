"""Recorded runs and their scores, from runs.csv.

python -m shared.runs                        leaderboard of every task
python -m shared.runs --task age --kind fold
python -m shared.runs --show 3f2a91bc        one run: an id, the start of an id, or a run folder
python -m shared.runs --diff 3f2a 77c0       options that differ, scores side by side
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shared.commands import run
from shared.messages import UserError, counted, first_of, text_table
from shared.tracking import COLUMNS, TABLE, read_runs

MISSING = "-"

SCORES = 4
"""Scores in the columns of the leaderboard; --show lists all."""


@dataclass(frozen=True)
class Options:
    """Show recorded runs: a leaderboard, one run, or the difference of two."""

    table: Path = Path("outputs") / TABLE
    """Table to read; it is beside the run folders."""

    task: str | None = None
    """Leaderboard: only this specialist, or "together" for fusions."""

    kind: str | None = None
    """Leaderboard: only fold, training, fusion, trial or score. Default: all but folds."""

    sort: str = "macro_f1"
    """Leaderboard: score to sort by. Higher is better, except for scores in years."""

    limit: int = 20
    """Leaderboard: rows per task."""

    show: str | None = None
    """Show everything about one run: its id, the start of its id, or its folder (the latest row of it)."""

    diff: tuple[str, str] | None = None
    """Compare two runs, named as for --show."""

    def __post_init__(self) -> None:
        if self.show and self.diff:
            raise UserError("--show and --diff exclude each other: give one of them")
        if self.limit < 1:
            raise UserError(f"--limit must be at least 1, not {self.limit}")


def main(options: Options) -> None:
    table = read_runs(options.table)
    if options.show:
        print(_details(_find(table, options.show)))
    elif options.diff:
        print(_difference(*(_find(table, name) for name in options.diff)))
    else:
        print(_leaderboard(_select(table, options.task, options.kind), options.sort, options.limit))


def _find(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the row with an id, the only one whose id starts with `name`, or the latest of a run folder."""
    found = table[table["id"].str.startswith(name)]
    if len(found) > 1:
        ids = f"{counted(len(found), 'id')}: {first_of(found['id'])}"
        raise UserError(f"{name} is the start of {ids}. Give more of it")
    if found.empty:
        wanted = Path(name).absolute()
        found = table[[Path(folder).absolute() == wanted for folder in table["run"]]].tail(1)
    if found.empty:
        raise UserError(f"no run is called {name}; python -m shared.runs lists them, --kind fold the single folds")
    return found.iloc[0]


def _select(table: pd.DataFrame, task: str | None, kind: str | None) -> pd.DataFrame:
    of_kind = table["kind"] == kind if kind else table["kind"] != "fold"
    rows = table[of_kind & (table["task"] == task if task else True)]
    if rows.empty:
        kinds = ", ".join(sorted(set(table["kind"] + " of " + table["task"])))
        raise UserError(f"no run is of --task {task or 'any'} and --kind {kind or 'any but fold'}; there are: {kinds}")
    return rows


def _leaderboard(rows: pd.DataFrame, sort: str, limit: int) -> str:
    """Return a table for each task, the best run first; runs without the score come last."""
    values = rows["scores"].map(lambda scores: scores.get(sort)).astype(float)
    if values.isna().all():
        names = sorted({name for scores in rows["scores"] for name in scores})
        raise UserError(f"--sort {sort}: no run has such a score; there are: {', '.join(names)}")
    order = rows.assign(value=values).sort_values("value", ascending=sort.endswith("years"), kind="stable")
    return "\n\n".join(f"{task}\n{_board(part.head(limit), sort)}" for task, part in order.groupby("task", sort=True))


def _board(rows: pd.DataFrame, sort: str) -> str:
    names = list(dict.fromkeys([sort, *(name for scores in rows["scores"] for name in scores)]))[:SCORES]
    lines = []
    for (_, row), differing in zip(rows.iterrows(), _differing([*rows["options"]]), strict=True):
        scores = [_number(row["scores"].get(name)) for name in names]
        about = [row["time"][:16].replace("T", " "), row["seconds"], row["kind"], row["fold"] or MISSING, row["run"]]
        lines.append([row["id"], *scores, *about, differing])
    head = ["id", *names, "time", "seconds", "kind", "fold", "run", "differing options"]
    return text_table(head, lines, left=len(head))


def _differing(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return for each run the options that are not the same in all runs, as flags."""
    names = list(dict.fromkeys(name for each in options for name in each))
    differing = [name for name in names if any(each.get(name) != options[0].get(name) for each in options)]
    return [" ".join(f"{_flag(name)} {_text(each.get(name))}" for name in differing) for each in options]


def _details(row: pd.Series) -> str:
    about = [[name, _text(row[name]) or MISSING] for name in COLUMNS if name not in ("scores", "options", "command")]
    scores = [[name, _number(value)] for name, value in row["scores"].items()]
    options = [[_flag(name), _text(value)] for name, value in row["options"].items()]
    parts = {"run": [*about, ["command", " ".join(row["command"])]], "scores": scores, "options": options}
    return "\n\n".join(text_table((title, ""), lines, left=2) for title, lines in parts.items() if lines)


def _difference(first: pd.Series, second: pd.Series) -> str:
    """Return what differs between two runs, and the scores of both with the second's less the first's."""
    about = [name for name in ("task", "fold", "commit", "dirty", "data", "recipe") if first[name] != second[name]]
    changes = [[name, first[name] or MISSING, second[name] or MISSING] for name in about]
    for name in dict.fromkeys([*first["options"], *second["options"]]):
        values = [row["options"].get(name) for row in (first, second)]
        if values[0] != values[1]:
            changes.append([_flag(name), *map(_text, values)])
    scores = []
    for name in dict.fromkeys([*first["scores"], *second["scores"]]):
        one, other = (row["scores"].get(name) for row in (first, second))
        gain = MISSING if one is None or other is None else f"{other - one:+.4f}"
        scores.append([name, _number(one), _number(other), gain])
    ids = [first["id"], second["id"]]
    parts = [text_table(["differs in", *ids], changes or [["nothing", "", ""]], left=3)]
    return "\n\n".join([*parts, text_table(["score", *ids, "difference"], scores, left=4)])


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _number(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:,.0f}" if value == int(value) and abs(value) > 1 else f"{value:.4f}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    run(main, Options())
