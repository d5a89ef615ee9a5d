"""Fuse the predictions of the three specialists into a submission.

    python combine.py --out submission.csv

Reads eval.csv (or a folder of Parquet files, eval.parquet, for millions of images) of the runs in
outputs/{mask,gender,age}, multiplies their probabilities into those of the 18 classes and
writes a class for every image, in the order of info.csv. If the runs have oof.csv too, how to decide is learned on
held-out persons, and scored on others of them; see `shared.fusion.decision`.
"""

if __name__ == "__main__":
    from shared.interrupts import end_at_once_while_loading

    end_at_once_while_loading()

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from shared import tracking
from shared.commands import run
from shared.files import UNENCODABLE, refuse_overwriting, replacing, table_csv
from shared.fusion.ages import age_error
from shared.fusion.decision import Decide, Decision, ThresholdChoice, decide_classes
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import Ints
from shared.fusion.predictions import (
    EVAL,
    EVAL_PARTS,
    OOF,
    EvalSet,
    HeldOut,
    Persons,
    check_images,
    join_held_out,
    read_eval_set,
    stream_eval_set,
)
from shared.fusion.report import Report, describe_decision, draw_confusion, score_predictions
from shared.label_fixes import read_solution
from shared.labels import decode_class
from shared.manifest import split_folder
from shared.messages import UserError
from shared.tracking import DATA_FOLDER, RUN, Record, Tracker, origin, read_run_json, record, table_of

PLAIN_SCORES = ("held-out", "together")
"""These words are left out of the names of scores in runs.csv: macro_f1 is that of the 18 classes, held out."""


@dataclass(frozen=True)
class Options:
    """Fuse the predictions of the three specialists into a submission, and score it."""

    out: Path = Path("submission.csv")
    """The submission to write (ImageID, ans)."""

    data: Path | None = None
    """The competition's folder: its eval/info.csv lists the images to predict, in order. Default: the folder that the
    runs were trained on."""

    mask: tuple[Path, ...] = (Path("outputs/mask"),)
    """Run folders of the mask specialist; several are averaged."""

    gender: tuple[Path, ...] = (Path("outputs/gender"),)
    """Run folders of the gender specialist; several are averaged."""

    age: tuple[Path, ...] = (Path("outputs/age"),)
    """Run folders of the age specialist; several are averaged."""

    decide: Decide = "auto"
    """argmax takes the most probable class, f1 weighs classes for macro F1; auto takes f1 if it was clearly better on
    held-out persons."""

    thresholds: ThresholdChoice = "auto"
    """Where age bands are cut: fixed at 30 and 60, tuned on held-out persons, or auto, the better of the two there."""

    calibrate: bool = True
    """Calibrate the probabilities of each specialist by a temperature learned on held-out persons."""

    persons: Persons = "average"
    """average: gender and age are averaged over the images of a person, named by the column person of info.csv;
    ignore: each image is decided alone."""

    truth: Path | None = None
    """A CSV of the true classes (ImageID, ans, optionally age) to score the submission."""

    figures: Path | None = None
    """A folder for confusion matrices, as PNG."""

    track: Tracker = "none"
    """Also send the row of runs.csv to a local MLflow store, mlflow.db beside it."""

    skip_bad: bool = False
    """Leave out images of info.csv that are faulty or that a specialist did not predict."""

    def __post_init__(self) -> None:
        for task in SPECIALISTS:
            runs = self.runs(task)
            if not runs:
                raise UserError(f"--{task} needs at least one run folder")
            if len(set(runs)) < len(runs):
                raise UserError(f"--{task} names a run folder twice: {', '.join(map(str, runs))}")

    def runs(self, task: str) -> tuple[Path, ...]:
        """Return the run folders of a specialist."""
        folders: tuple[Path, ...] = getattr(self, task)
        return folders


def main(options: Options) -> None:
    """Read, decide, score, write: everything is read and checked first, so an error leaves the old files unchanged."""
    started = time.perf_counter()
    tracking.check(options.track)
    folders = {task: options.runs(task) for task in SPECIALISTS}
    eval_sets, data = open_eval_sets(options, folders)
    held_out, remark = read_held_out(options)
    first = next(eval_sets)
    how = (options.decide, options.thresholds, options.calibrate, options.persons)
    decision = decide_classes(first, held_out, *how)
    reports = score(options, decision)
    figures = draw(options.figures, reports)
    others = ((eval_set.images, decision.decide(eval_set)) for eval_set in eval_sets)
    count = write_submission(options.out, chain([(first.images, decision.predicted)], others))
    for part in filter(None, [*reports, remark, describe_decision(decision, held_out, options.persons)]):
        print(part, end="\n\n")
    for figure in figures:
        print(f"drew {figure}")
    print(f"wrote {options.out} ({count:,} images)")
    keep_record(replace(options, data=data), reports, time.perf_counter() - started)


def open_eval_sets(options: Options, folders: Mapping[str, Sequence[Path]]) -> tuple[Iterator[EvalSet], Path | None]:
    """Return the eval set, and the data folder that lists its images; in pieces, without such a list, if the runs hold
    eval.parquet.

    Raises `UserError` if options need more than a piece at a time.
    """
    if not any((folder / EVAL_PARTS).exists() for several in folders.values() for folder in several):
        data = options.data or data_of(folders)
        refuse_to_overwrite_inputs(options, data)
        return iter([read_eval_set(data, folders, options.skip_bad, rejected_beside(options.out))]), data
    if options.persons != "ignore" or options.truth or options.skip_bad:
        raise UserError(
            f"{EVAL_PARTS} is read some images at a time: pass --persons ignore, and leave out --truth and --skip-bad"
        )
    refuse_to_overwrite_inputs(options, None)
    return stream_eval_set(folders), None


def data_of(folders: Mapping[str, Sequence[Path]]) -> Path:
    """Return the data folder that the runs name in run.json; "data" if none names one that is there.

    Raises `UserError` if they name different folders.
    """
    named = [read_run_json(run).get(DATA_FOLDER) for runs in folders.values() for run in runs]
    found = sorted({name for name in named if isinstance(name, str) and Path(name).is_dir()})
    if len(found) > 1:
        raise UserError(f"the runs were trained on different folders ({', '.join(found)}): name one with --data")
    return Path(found[0]) if found else Path("data")


def rejected_beside(submission: Path) -> Path:
    """Return the file that lists what --skip-bad leaves out."""
    return submission.with_name("rejected.csv")


def refuse_to_overwrite_inputs(options: Options, data: Path | None) -> None:
    """Raise `UserError` if the submission, the list beside it or a figure would replace what is read."""
    runs = [folder for task in SPECIALISTS for folder in options.runs(task)]
    files = (RUN, OOF, EVAL, EVAL_PARTS)
    read = [file for run in runs for file in (*(run / name for name in files), *run.glob(f"fold*/{EVAL}"))]
    read += filter(None, [options.truth])
    if data:
        split = split_folder(data, "eval")
        read += [data / "train", data / "eval", split / "info.csv", split / "images"]
    names = [f"{name}-{each}.png" for name in ("held-out", "truth") for each in (*SPECIALISTS, "together")]
    figures = [options.figures / name for name in names] if options.figures else []
    refuse_overwriting(
        {"--out": [options.out, rejected_beside(options.out)], "--figures": figures},
        read,
    )


def read_held_out(options: Options) -> tuple[HeldOut | None, str]:
    """Return the held-out predictions of the runs, or None and a remark if one of their files is missing.

    Raises `UserError` if a file is missing and the options need what is learned on it.
    """
    files = {task: [folder / OOF for folder in options.runs(task)] for task in SPECIALISTS}
    missing = [file for several in files.values() for file in several if not file.is_file()]
    if not missing:
        return join_held_out(files), ""
    needs = {"--decide f1": options.decide == "f1", "--thresholds tuned": options.thresholds == "tuned"}
    for flag, given in needs.items():
        if given:
            raise UserError(
                f"{flag} is learned on held-out persons, and {missing[0]} is missing: training writes it. "
                f"Name a run that has it, or leave {flag} out"
            )
    return None, f"No held-out score: {missing[0]} is missing. Decided by argmax, 30/60, probabilities as they are."


def score(options: Options, decision: Decision) -> list[Report]:
    """Score the decision on held-out persons, and against the truth if that is given.

    On held-out persons neither networks nor temperatures, thresholds and weights have seen the person; but which rule
    is taken may rest on all of them.
    """
    reports = []
    if decision.fitted:
        held_out = decision.fitted.cross_fitted.held_out
        persons = held_out.persons.nunique()
        title = f"Held out: {len(held_out.persons):,} images of {persons:,} persons, by networks that had not seen them"
        scores = score_predictions(held_out.predictions, held_out.truth, decision.fitted.predicted)
        reports.append(Report(title, "held-out", scores))
    if options.truth:
        reports.append(score_truth(options.out, options.truth, decision, options.skip_bad))
    return reports


def score_truth(submission: Path, file: Path, decision: Decision, skip_bad: bool) -> Report:
    """Score the submission. Raises `UserError` if the truth is not about the same images."""
    solution, predictions = read_solution(file), decision.predictions
    images = predictions["mask"].index
    check_images(submission, images, file, solution.index, skip_bad)
    solution = solution.loc[images]
    classes = np.array([decode_class(number) for number in solution["truth"]])
    notes = []
    if "age" in solution and "age" in predictions["age"]:
        error = np.abs(age_error(predictions["age"]["age"], solution["age"])).mean()
        notes.append(f"mean age error (MAE): {error:.1f} years")
    scores = score_predictions(predictions, dict(zip(SPECIALISTS, classes.T, strict=True)), decision.predicted)
    return Report(f"Against {file}: {len(images):,} images", "truth", scores, notes)


def draw(folder: Path | None, reports: Sequence[Report]) -> list[Path]:
    """Draw the confusion matrices of all reports as PNG into `folder`, if given; return their paths."""
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


def write_submission(path: Path, predicted: Iterable[tuple[pd.Index, Ints]]) -> int:
    """Write ImageID and ans, completely or not at all; return the number of images."""
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=UNENCODABLE, newline="") as file:
        for images, classes in predicted:
            file.write(table_csv(pd.DataFrame({"ImageID": images, "ans": classes}), index=False, header=not count))
            count += len(images)
    return count


def keep_record(options: Options, reports: Sequence[Report], seconds: float) -> None:
    """Append a row to the runs.csv beside the run folders."""
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
