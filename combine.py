"""Fuse what the three specialists say into a submission.

    python combine.py --out submission.csv

Reads eval.csv of the runs in outputs/{mask,gender,age}, multiplies their probabilities into those of the 18 classes and
writes an answer for every image, in the order of info.csv. Where the runs' oof.csv are there too, how to decide is
learnt on persons that were held out, and told how good such answers are on others of them. See `shared.decisions`.
"""

if __name__ == "__main__":
    from shared.interrupts import end_at_once_while_loading

    end_at_once_while_loading()

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from shared import tracking
from shared.commands import run
from shared.files import replacing
from shared.fusion.decision import Decide, FittedDecision, ThresholdChoice, gain_by_argmax
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import Floats, Ints
from shared.fusion.predictions import (
    OOF,
    HeldOut,
    HeldOutRuns,
    Persons,
    check_images,
    read_eval_set,
    read_held_out_runs,
)
from shared.fusion.report import Decision, Report, decide_classes, draw_confusion, score_predictions
from shared.label_fixes import read_solution
from shared.labels import decode_class
from shared.messages import UserError
from shared.tracking import Record, Tracker, origin, record, table_of

RunWeights = Literal["equal", "learned"]

Weights = Mapping[str, Floats]
"""For each specialist how much each of its runs counts, (R,)."""

PLAIN_SCORES = ("held-out", "together")
"""In runs.csv the scores of these have no prefix: macro_f1 is that of the 18 classes on held-out persons."""


@dataclass(frozen=True)
class Options:
    """Fuse the answers of the three specialists into a submission, and say how good they are."""

    out: Path = Path("submission.csv")
    """The submission to write (ImageID, ans)."""

    data: Path = Path("data")
    """The competition's folder: its eval/info.csv says which images to answer, and in what order."""

    mask: tuple[Path, ...] = (Path("outputs/mask"),)
    """Run folders of the mask specialist; several are averaged."""

    gender: tuple[Path, ...] = (Path("outputs/gender"),)
    """Run folders of the gender specialist; several are averaged."""

    age: tuple[Path, ...] = (Path("outputs/age"),)
    """Run folders of the age specialist; several are averaged."""

    weights: RunWeights = "equal"
    """How much each of several runs counts: all alike, or learned, as held-out persons ask for."""

    decide: Decide = "auto"
    """argmax answers the most probable class, f1 the one that macro F1 gains most by; auto takes f1 where it did
    clearly better on held-out persons."""

    thresholds: ThresholdChoice = "auto"
    """Where age bands are cut: fixed at 30 and 60, tuned on held-out persons, or auto, the better of the two there."""

    calibrate: bool = True
    """Temper the probabilities of each specialist as held-out persons ask for."""

    persons: Persons = "average"
    """Average gender and age over a person's images, told by the column person of info.csv; folder takes the
    images of a folder for one person's; ignore answers every image by itself."""

    truth: Path | None = None
    """A CSV of the true classes (ImageID, ans, perhaps age) to score the submission against."""

    figures: Path | None = None
    """A folder to draw confusion matrices in, as PNG."""

    track: Tracker = "none"
    """Send what lands in runs.csv to a local MLflow store too, mlflow.db beside it."""

    skip_bad: bool = False
    """Leave images of info.csv out of the submission that are faulty or that a specialist did not answer."""

    def __post_init__(self) -> None:
        for task in SPECIALISTS:
            runs = self.runs(task)
            if not runs:
                raise UserError(f"--{task} needs at least one run folder")
            if len(set(runs)) < len(runs):
                raise UserError(f"--{task} names a run folder twice: {', '.join(map(str, runs))}")
        if self.weights == "learned" and all(len(self.runs(task)) == 1 for task in SPECIALISTS):
            raise UserError("--weights learned needs several runs of a specialist, such as --age FOLDER FOLDER")

    def runs(self, task: str) -> tuple[Path, ...]:
        """The run folders of a specialist."""
        folders: tuple[Path, ...] = getattr(self, task)
        return folders


def main(options: Options) -> None:
    """Everything is read and checked before anything is written: after an error the old submission is as it was."""
    started = time.perf_counter()
    tracking.check(options.track)
    runs = {task: options.runs(task) for task in SPECIALISTS}
    asked = read_eval_set(options.data, runs, options.skip_bad, options.out.with_name("rejected.csv"))
    held_out, weights, remark = find_held_out(options)
    asked = asked if weights is None else asked.weighted(weights)
    outcome = decide_classes(asked, held_out, options.decide, options.thresholds, options.calibrate, options.persons)
    reports = report(options, outcome)
    figures = draw(options.figures, reports)
    write_submission(options.out, asked.images, outcome.decided)
    for part in filter(None, [*reports, remark, outcome.remark]):
        print(part, end="\n\n")
    for figure in figures:
        print(f"drew {figure}")
    print(f"wrote {options.out} ({len(asked.images):,} images)")
    keep_record(options, reports, time.perf_counter() - started)


def find_held_out(options: Options) -> tuple[HeldOut | None, Weights | None, str]:
    """The held-out answers of the runs, or None where a file of them is missing; how runs are weighted; and a word.

    Raises `UserError` where the options ask for what is learnt on them.
    """
    files = {task: [folder / OOF for folder in options.runs(task)] for task in SPECIALISTS}
    missing = [file for runs in files.values() for file in runs if not file.is_file()]
    if not missing:
        runs = read_held_out_runs(files)
        return weigh_runs(options, runs) if options.weights == "learned" else (runs.averaged, None, "")
    for flag, value in (
        ("--decide f1", options.decide),
        ("--thresholds tuned", options.thresholds),
        ("--weights learned", options.weights),
    ):
        if flag.endswith(f" {value}"):
            raise UserError(
                f"{flag} is learnt on held-out persons, and {missing[0]} is missing: training writes it. "
                f"Name a run that has it, or leave {flag} out"
            )
    remark = f"No held-out score: {missing[0]} is missing. Decided by argmax, 30/60, probabilities as they are."
    return None, None, remark


def weigh_runs(options: Options, runs: HeldOutRuns) -> tuple[HeldOut, Weights, str]:
    """Held-out answers of weighted runs, the weights, and what they gain over the mean."""
    held_out, weights = runs.weighted()
    lines = [
        f"Runs of {task}: {', '.join(f'{folder} {weight:.2f}' for folder, weight in zip(folders, found, strict=True))}"
        for task, found in weights.items()
        if len(folders := options.runs(task)) > 1
    ]
    gain = gain_by_argmax(runs.averaged, held_out)
    lines.append(f"Weighted so, not averaged, on persons not learnt on, by argmax: {gain}")
    return held_out, weights, "\n".join(lines)


def report(options: Options, outcome: Decision) -> list[Report]:
    """How good the answers are, on held-out persons and against the truth where there is one."""
    reports = [report_held_out(outcome.fitted)] if outcome.fitted else []
    if options.truth:
        reports.append(report_truth(options.out, options.truth, outcome, options.skip_bad))
    return reports


def report_held_out(settled: FittedDecision) -> Report:
    """How good the decided answers are where neither specialists nor temperatures, thresholds and weights had learnt on
    the person; which of the ways to decide is taken may rest on all of them."""
    held_out = settled.cross_fitted.held_out
    persons = held_out.persons.nunique()
    return Report(
        f"Held out: {len(held_out.persons):,} images of {persons:,} persons, by networks that had not seen them",
        "held-out",
        score_predictions(held_out.predictions, held_out.truth, settled.predicted),
    )


def report_truth(submission: Path, file: Path, outcome: Decision, skip_bad: bool) -> Report:
    """How good the submission is. Raises `UserError` where the truth is not about the same images."""
    solution, answers = read_solution(file), outcome.predictions
    images = answers["mask"].index
    check_images(submission, images, file, solution.index, skip_bad)
    solution = solution.loc[images]
    right = np.array([decode_class(number) for number in solution["truth"]])
    notes = []
    if "age" in solution and "age" in answers["age"]:
        error = (solution["age"] - answers["age"]["age"]).abs().mean()
        notes.append(f"age in years: off by {error:.1f} in the mean")
    scores = score_predictions(answers, dict(zip(SPECIALISTS, right.T, strict=True)), outcome.decided)
    return Report(f"Against {file}: {len(images):,} images", "truth", scores, notes)


def draw(folder: Path | None, reports: Sequence[Report]) -> list[Path]:
    """The confusion matrices of all reports, as images in `folder` where one is given."""
    if folder is None:
        return []
    if not reports:
        raise UserError("--figures has nothing to draw without oof.csv files or --truth")
    drawn = []
    for part in reports:
        for scored in part.scores:
            path = folder / f"{part.name}-{scored.name}.png"
            draw_confusion(path, f"{scored.name}, {part.name.replace('-', ' ')}", scored)
            drawn.append(path)
    return drawn


def write_submission(path: Path, images: pd.Index, decided: Ints) -> None:
    """Write ImageID and ans, whole or not at all."""
    with replacing(path) as temporary:
        table = pd.DataFrame({"ImageID": images, "ans": decided})
        table.to_csv(temporary, index=False, lineterminator="\n")


def keep_record(options: Options, reports: Sequence[Report], seconds: float) -> None:
    """A row of the runs.csv that lies beside the run folders."""
    scores = {
        "_".join(word for word in (part.name, scored.name, name) if word not in PLAIN_SCORES): score
        for part in reports
        for scored in reversed(part.scores)
        for name, score in (("macro_f1", scored.macro_f1), ("accuracy", scored.accuracy))
    }
    folders = [folder for task in SPECIALISTS for folder in options.runs(task)]
    data, recipe = origin(folders)
    entry = Record("fusion", "together", options.out, seconds, scores, asdict(options), data, recipe)
    record(entry, table_of(folders[0]), options.track)


if __name__ == "__main__":
    run(main, Options())
