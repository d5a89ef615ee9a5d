"""Fuse what the three specialists say into a submission.

    python combine.py --out submission.csv

Reads eval.csv of the runs in outputs/{mask,gender,age}, multiplies their probabilities into those of the 18 classes and
writes the most probable one of every picture, in the order of info.csv. Where the runs' oof.csv are there too, it says
how good such answers are on persons that were held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from shared.atomic import replacing
from shared.commands import run
from shared.competition.solution import read_solution
from shared.errors import UserError
from shared.figures import draw_confusion
from shared.fusion import SPECIALISTS, average_runs, common, fuse, most_probable
from shared.held_out import join_held_out
from shared.labels import decode_class
from shared.manifest import list_pictures, split_folder
from shared.metrics import Counts
from shared.predictions import read_predictions
from shared.score_tables import Report, score_answers
from shared.wording import counted, first_of

EVAL, OOF = "eval.csv", "oof.csv"


@dataclass(frozen=True)
class Options:
    """Fuse the answers of the three specialists into a submission, and say how good they are."""

    out: Path = Path("submission.csv")
    """The submission to write (ImageID, ans)."""

    data: Path = Path("data")
    """The competition's folder: its eval/info.csv says which pictures to answer, and in what order."""

    mask: tuple[Path, ...] = (Path("outputs/mask"),)
    """Run folders of the mask specialist; several are averaged."""

    gender: tuple[Path, ...] = (Path("outputs/gender"),)
    """Run folders of the gender specialist; several are averaged."""

    age: tuple[Path, ...] = (Path("outputs/age"),)
    """Run folders of the age specialist; several are averaged."""

    truth: Path | None = None
    """A CSV of the true classes (ImageID, ans, perhaps age) to score the submission against."""

    figures: Path | None = None
    """A folder to draw confusion matrices in, as PNG."""

    skip_bad: bool = False
    """Leave pictures of info.csv out of the submission that are faulty or that a specialist did not answer."""

    def __post_init__(self) -> None:
        for task in SPECIALISTS:
            runs = self.runs(task)
            if not runs:
                raise UserError(f"--{task} needs at least one run folder")
            if len(set(runs)) < len(runs):
                raise UserError(f"--{task} names a run folder twice: {', '.join(map(str, runs))}")

    def runs(self, task: str) -> tuple[Path, ...]:
        """The run folders of a specialist."""
        folders: tuple[Path, ...] = getattr(self, task)
        return folders


def main(options: Options) -> None:
    """Everything is read and checked before anything is written: after an error the old submission is as it was."""
    answers = read_answers(options)
    decided = most_probable(fuse(answers))
    reports, remarks = report(options, answers, decided)
    figures = draw(options.figures, reports)
    pictures = answers["mask"].index
    write_submission(options.out, pictures, decided)
    for part in [*reports, *remarks]:
        print(part, end="\n\n")
    for figure in figures:
        print(f"drew {figure}")
    print(f"wrote {options.out} ({len(pictures):,} pictures)")


def read_answers(options: Options) -> dict[str, pd.DataFrame]:
    """What each specialist says of the pictures of info.csv, averaged over its runs: tables indexed by picture.

    Raises `UserError` where a run is missing or unusable, or does not speak of just the pictures that info.csv names.
    """
    split = split_folder(options.data, "eval")
    asked = pd.Index(list_pictures(split, options.skip_bad, options.out.with_name("rejected.csv")), name="picture")
    answers = {}
    for task in SPECIALISTS:
        runs = {folder: _read_run(task, folder) for folder in options.runs(task)}
        for folder, table in runs.items():
            _compare(folder / EVAL, table.index, split / "info.csv", asked, options.skip_bad)
        answers[task] = average_runs([*runs.values()])
    answered = common([asked, *(table.index for table in answers.values())])
    if answered.empty:
        raise UserError(f"no picture of {split}/info.csv is answered by all runs")
    return {task: table.loc[answered] for task, table in answers.items()}


def _read_run(task: str, folder: Path) -> pd.DataFrame:
    if not (folder / EVAL).is_file():
        raise UserError(
            f"{folder / EVAL} is missing: python -m pipelines.{task}.train makes it (or .predict, from a trained run); "
            f"--{task} FOLDER names runs elsewhere"
        )
    return read_predictions(folder / EVAL, SPECIALISTS[task])


def _compare(file: Path, pictures: pd.Index, other: Path, asked: pd.Index, skip_bad: bool) -> None:
    """Raises `UserError` where `file` has pictures that `other` has not, or, unless `skip_bad`, lacks some of it."""
    surplus, lacking = pictures.difference(asked, sort=False), asked.difference(pictures, sort=False)
    if len(surplus):
        raise UserError(f"{file} has {counted(len(surplus), 'picture')} that {other} has not: {first_of(surplus)}")
    if len(lacking) and not skip_bad:
        raise UserError(
            f"{file} lacks {counted(len(lacking), 'picture')} of {other}: {first_of(lacking)}. "
            "Make it again, or leave them out with --skip-bad"
        )


def report(options: Options, answers: dict[str, pd.DataFrame], decided: Counts) -> tuple[list[Report], list[str]]:
    """How good the answers are, on held-out persons and against the truth where there is one; and what is not known."""
    files = {task: [folder / OOF for folder in options.runs(task)] for task in SPECIALISTS}
    missing = [file for runs in files.values() for file in runs if not file.is_file()]
    remarks = [f"No held-out score: {file} is missing." for file in missing[:1]]
    reports = [] if missing else [report_held_out(files)]
    if options.truth:
        reports.append(report_truth(options.out, options.truth, answers, decided, options.skip_bad))
    return reports, remarks


def report_held_out(files: dict[str, list[Path]]) -> Report:
    """How good the fused answers are where all three specialists had not seen the person."""
    held_out = join_held_out(files)
    persons = held_out.persons.nunique()
    return Report(
        f"Held out: {len(held_out.persons):,} pictures of {persons:,} persons, each unseen by the folds that answer",
        "held-out",
        score_answers(held_out.answers, held_out.truth, most_probable(fuse(held_out.answers))),
    )


def report_truth(
    submission: Path, file: Path, answers: dict[str, pd.DataFrame], decided: Counts, skip_bad: bool
) -> Report:
    """How good the submission is. Raises `UserError` where the truth is not about the same pictures."""
    solution, pictures = read_solution(file), answers["mask"].index
    _compare(submission, pictures, file, solution.index, skip_bad)
    solution = solution.loc[pictures]
    right = np.array([decode_class(number) for number in solution["truth"]])
    notes = []
    if "age" in solution and "age" in answers["age"]:
        error = (solution["age"] - answers["age"]["age"]).abs().mean()
        notes.append(f"age in years: off by {error:.1f} in the mean")
    scores = score_answers(answers, dict(zip(SPECIALISTS, right.T, strict=True)), decided)
    return Report(f"Against {file}: {len(pictures):,} pictures", "truth", scores, notes)


def draw(folder: Path | None, reports: Sequence[Report]) -> list[Path]:
    """The confusion matrices of all reports, as pictures in `folder` where one is given."""
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


def write_submission(path: Path, pictures: pd.Index, decided: Counts) -> None:
    """Write ImageID and ans, whole or not at all."""
    with replacing(path) as temporary:
        table = pd.DataFrame({"ImageID": pictures, "ans": decided})
        table.to_csv(temporary, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(main, Options())
