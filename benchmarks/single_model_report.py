"""Tables of `against_single_model.py`: scores with intervals over persons, by mask state, and differences."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from shared.fusion.ages import age_error
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import (
    Ints,
    accuracy,
    bootstrap_gain,
    bootstrap_score,
    format_interval,
    macro_f1,
    person_codes,
)
from shared.label_fixes import read_solution
from shared.labels import CLASS_COUNT, MASKS, decode_class
from shared.messages import UserError, markdown_table

TASKS = {task: len(classes) for task, classes in SPECIALISTS.items()}
"""Number of classes of each task."""

GAINS = (
    *(("e", "a"), ("e", "b"), ("e", "c"), ("e", "s"), ("s", "b"), ("r", "e"), ("r", "b"), ("rp", "r")),
    *(("e+", "b+"), ("e+", "s+"), ("r+", "b+"), ("b+", "b"), ("r+", "e+"), ("rp+", "r+"), ("e+", "e"), ("r+", "r")),
)
"""Pairs of parts to compare."""

COSTS = ("training s", "shown", "shown/s", "predicting s", "images/s")


@dataclass(frozen=True)
class Line:
    """Predictions of one part for N images, and their cost."""

    part: str
    images: pd.Index
    decided: Ints
    """Predicted class, 0-17, (N,)."""
    ages: pd.Series | None
    """Predicted ages in years, if any."""
    training: float
    """Seconds."""
    predicting: float
    """Seconds from crops to predictions, all folds and views."""
    shown: float
    """Images shown in all epochs of all its trainings and folds."""


def read_truth(path: Path) -> pd.DataFrame:
    """Return `read_solution`; raise `UserError` if the file lacks person or age."""
    solution = read_solution(path)
    for column in ("person", "age"):
        if column not in solution:
            raise UserError(f"{path} has no column {column}: it is needed for intervals and ages")
    return solution


def report(lines: Sequence[Line], solution: pd.DataFrame) -> str:
    """Markdown: scores and costs, scores by mask state, differences. `solution` is what `read_truth` gives."""
    tables = [_score_table(lines, solution, costs=True), _by_mask(lines, solution), _gain(lines, solution)]
    return "\n\n".join(filter(None, tables))


def report_held_out(lines: Sequence[Line], known: pd.DataFrame) -> str:
    """Return the same tables for held-out images, without costs; `known` has class, person and age."""
    images = known.loc[lines[0].images]
    head = f"Held out: {len(images):,} images of {images['person'].nunique():,} persons"
    tables = [head, _score_table(lines, known, costs=False), _by_mask(lines, known), _gain(lines, known)]
    return "\n\n".join(filter(None, tables))


def report_without(persons: Collection[str], lines: Sequence[Line], solution: pd.DataFrame) -> str:
    """Return scores and differences without some of the persons."""
    kept = [_without(persons, line, solution) for line in lines]
    left = solution.loc[kept[0].images, "person"].nunique()
    head = f"{left:,} eval persons, without {len(persons)} with a near-duplicate among the training images"
    return "\n\n".join(filter(None, [head, _score_table(kept, solution, costs=False), _gain(kept, solution)]))


def _without(persons: Collection[str], line: Line, solution: pd.DataFrame) -> Line:
    others = ~solution.loc[line.images, "person"].isin([*persons]).to_numpy()
    return replace(line, images=line.images[others], decided=line.decided[others])


def scores(line: Line, solution: pd.DataFrame) -> dict[str, float]:
    """Return the scores of a part for runs.csv, by name."""
    known = solution.loc[line.images]
    found = {
        "macro_f1": macro_f1(known["truth"], line.decided, CLASS_COUNT),
        "accuracy": accuracy(known["truth"], line.decided),
    }
    truth_parts, predicted_parts = _attributes(known["truth"].to_numpy()), _attributes(line.decided)
    for column, (task, count) in enumerate(TASKS.items()):
        found[f"{task}_macro_f1"] = macro_f1(truth_parts[:, column], predicted_parts[:, column], count)
    return found if line.ages is None else {**found, "mae_years": _age_error(line.ages, known)}


def _score_table(lines: Sequence[Line], solution: pd.DataFrame, costs: bool) -> str:
    head = ["", "macro F1 of 18 [95 %]", "accuracy", *(f"{task} [95 %]" for task in TASKS), "age error, years"]
    rows = []
    for line in lines:
        known = solution.loc[line.images]
        rows.append([*_score_row(line, known), *(_costs(line) if costs else ())])
    return markdown_table([*head, *(COSTS if costs else ())], rows)


def _score_row(line: Line, known: pd.DataFrame) -> list[str]:
    truth, persons = known["truth"].to_numpy(), person_codes(known["person"])
    truth_parts, predicted_parts = _attributes(truth), _attributes(line.decided)
    return [
        line.part,
        format_interval(bootstrap_score(truth, line.decided, persons, CLASS_COUNT)),
        f"{accuracy(truth, line.decided):.3f}",
        *(
            format_interval(bootstrap_score(truth_parts[:, n], predicted_parts[:, n], persons, count))
            for n, count in enumerate(TASKS.values())
        ),
        _years(line, known),
    ]


def _costs(line: Line) -> list[str]:
    return [
        f"{line.training:.0f}",
        f"{line.shown:,.0f}",
        f"{line.shown / line.training:.0f}",
        f"{line.predicting:.0f}",
        f"{len(line.images) / line.predicting:.0f}",
    ]


def _by_mask(lines: Sequence[Line], solution: pd.DataFrame) -> str:
    """Return macro F1 of the six classes of gender and band, and age errors, by mask state."""
    head = ["gender and age band, by mask state", *(f"{state}{what}" for state in MASKS for what in ("", ", years"))]
    rows = []
    for line in lines:
        known = solution.loc[line.images]
        truth, cells = known["truth"].to_numpy(), []
        for state in range(len(MASKS)):
            here = truth // 6 == state
            part = replace(line, images=line.images[here])
            cells += [f"{macro_f1(truth[here] % 6, line.decided[here] % 6, 6):.3f}" if here.any() else "-"]
            cells += [_years(part, known[here])]
        rows.append([line.part, *cells])
    return markdown_table(head, rows)


def _gain(lines: Sequence[Line], solution: pd.DataFrame) -> str:
    by_part = {line.part: line for line in lines}
    wanted = [(after, before) for after, before in GAINS if {after, before} <= set(by_part)]
    return "\n".join(_difference(by_part[after], by_part[before], solution) for after, before in wanted)


def _difference(after: Line, before: Line, solution: pd.DataFrame) -> str:
    known = solution.loc[before.images]
    decided = pd.Series(after.decided, after.images).loc[known.index].to_numpy()
    persons = person_codes(known["person"])
    gain = bootstrap_gain(known["truth"].to_numpy(), before.decided, decided, persons, CLASS_COUNT)
    unit = f"macro F1 of the 18 classes, 95 % interval over {persons.max() + 1:,} persons"
    return f"({after.part}) - ({before.part}): {gain}, {unit}"


def _years(line: Line, known: pd.DataFrame) -> str:
    if line.ages is None or known.empty:
        return "-"
    return f"{_age_error(line.ages, known):.1f}"


def _age_error(ages: pd.Series, known: pd.DataFrame) -> float:
    return float(np.abs(age_error(ages.loc[known.index], known["age"])).mean())


def _attributes(numbers: Ints) -> Ints:
    return np.array([decode_class(number) for number in numbers])
