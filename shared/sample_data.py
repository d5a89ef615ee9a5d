"""Sample data that any machine has: drawn portraits in the competition's layout, with the truth beside them.

    python shared/sample_data.py --people 60 --eval-people 20 --out data/sample --seed 0

    <out>/train/train.csv          id, gender, race, age, path
    <out>/train/images/<path>/     mask1..mask5, incorrect_mask, normal (.jpg)
    <out>/eval/info.csv            ImageID, ans (all 0)
    <out>/eval/images/             images of other persons under opaque names
    <out>/eval_solution.csv        ImageID, ans, person, mask, gender, age
    <out>/sample.json              the options it was drawn with

With --glasses 0.5 half of the persons wear glasses, whatever their age, and train.csv and eval_solution.csv say who in
a column `glasses`: a label of one's own, to try a further specialist on (docs/fourth_specialist.md).

The same options draw the same images on one machine, whatever the number of workers; a killed run is completed by the
same command. The tables come last: where they are, the sample is whole.
"""

if __name__ == "__main__":
    from shared.interrupts import end_at_once_while_loading

    end_at_once_while_loading()

import hashlib
import itertools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from shared import files as atomic
from shared import labels
from shared.commands import run
from shared.messages import UserError
from shared.portraits import Portrait, draw_person
from shared.portraits.person import CELLS, sample_ages
from shared.portraits.rendering import Pixels

TRAIN, EVAL = 0, 1
"""As numbers, for seeds."""
GLASSES = 2**31
"""For a seed that no person has."""
YES_NO = ("no", "yes")
TOP_CODE = 60
RACE = "Drawn"
JPEG_QUALITY = 88
DRAWING = 2
"""Raised whenever the same options draw other images than before."""


@dataclass(frozen=True)
class Options:
    """Draw sample portraits in the competition's layout."""

    people: int = 60
    "Persons to train on, seven images each."
    eval_people: int = 20
    "Other persons, for the eval folder; 0 for none."
    out: Path = Path("data/sample")
    "The folder to make."
    seed: int = 0
    "The same seed draws the same images."
    top_coded: bool = False
    "Write ages above 60 as 60 in train.csv, as the competition does; eval_solution.csv keeps the drawn age."
    glasses: float | None = None
    "Share of persons with glasses, told in a column; when left out some wear them, and no table says who."
    renew: bool = False
    "Where other options or another version drew the folder: keep that beside it under another name, and draw anew."
    workers: int = 0
    "Processes that draw; 0: one a core."

    def __post_init__(self) -> None:
        for flag, count in (("--people", self.people), ("--eval-people", self.eval_people or len(CELLS))):
            if count < len(CELLS):
                raise UserError(f"{flag} {count}: at least {len(CELLS)}, one for every gender and age band")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: must not be negative")
        if self.glasses is not None and not 0 <= self.glasses <= 1:
            raise UserError(f"--glasses {self.glasses}: must be a share, from 0 to 1")
        if self.workers < 0:
            raise UserError(f"--workers {self.workers}: must be 0 (one a core) or more")


@dataclass(frozen=True)
class Sitting:
    """One person to draw, and where each of the images goes."""

    person: str
    female: bool
    age: int
    """Years, as drawn."""
    seed: tuple[int, int, int]
    files: dict[str, Path]
    """By image kind."""
    glasses: bool | None = None
    """By lot where None."""

    @property
    def gender(self) -> str:
        return labels.GENDERS[self.female]

    def done(self) -> bool:
        return all(file.exists() for file in self.files.values())


def main(options: Options) -> None:
    """Draw what is missing of the sample; raises `UserError` where the folder holds something else."""
    _claim(options)
    training, evaluation = plan_training(options), plan_evaluation(options)
    missing = [sitting for sitting in (*training, *evaluation) if not sitting.done()]
    tables = _tables(options, training, evaluation)
    if not missing and all(path.exists() for path in tables):
        print(f"{options.out} is already there: {_summary(options)}")
        return
    _draw_all(missing, options.workers or joblib.cpu_count())
    for path, table in tables.items():
        atomic.write_text(path, table.to_csv(index=False))
    print(f"{options.out}: {_summary(options)}")


def plan_training(options: Options) -> list[Sitting]:
    """The persons of the train folder, in the order of train.csv."""
    sittings = []
    for index, (female, age) in enumerate(sample_ages(np.random.default_rng((options.seed, TRAIN)), options.people)):
        person = f"{index + 1:06d}"
        written = min(age, TOP_CODE) if options.top_coded else age
        folder = options.out / "train" / "images" / f"{person}_{labels.GENDERS[female]}_{RACE}_{written}"
        files = {kind: folder / f"{kind}.jpg" for kind in labels.IMAGE_KINDS}
        sittings.append(Sitting(person, female, age, (options.seed, TRAIN, index), files))
    return _with_glasses(options, TRAIN, sittings)


def plan_evaluation(options: Options) -> list[Sitting]:
    """The persons of the eval folder; their images' names say nothing."""
    sittings = []
    for index, (female, age) in enumerate(sample_ages(np.random.default_rng((options.seed, EVAL)), options.eval_people)):
        person = f"{options.people + index + 1:06d}"
        folder = options.out / "eval" / "images"
        files = {kind: folder / f"{_opaque(options.seed, person, kind)}.jpg" for kind in labels.IMAGE_KINDS}
        sittings.append(Sitting(person, female, age, (options.seed, EVAL, index), files))
    return _with_glasses(options, EVAL, sittings)


def _with_glasses(options: Options, split: int, sittings: list[Sitting]) -> list[Sitting]:
    """Hand glasses to the asked share of the persons, whoever they are."""
    if options.glasses is None:
        return sittings
    wearers = np.arange(len(sittings)) < round(options.glasses * len(sittings))
    dealt = np.random.default_rng((options.seed, split, GLASSES)).permutation(wearers)
    return [replace(sitting, glasses=bool(worn)) for sitting, worn in zip(sittings, dealt, strict=True)]


def _opaque(*parts: object) -> str:
    """Forty hexadecimal digits."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:40]


def _claim(options: Options) -> None:
    """Mark the folder as a sample of these options; refuse one that is something else."""
    stamp = options.out / "sample.json"
    wanted = {"drawing": DRAWING, **asdict(options)}
    for without_effect in ("out", "renew", "workers"):
        del wanted[without_effect]
    if stamp.exists():
        found = _read_stamp(stamp)
        if found == wanted:
            return
        if not options.renew:
            raise UserError(
                f"{options.out} was drawn with other options, or by another version ({stamp.name}: "
                f"{json.dumps(found)}): --renew keeps it under another name and draws anew, --out draws elsewhere"
            )
        _put_aside(options.out)
    if options.out.is_file() or (options.out.is_dir() and any(options.out.iterdir())):
        raise UserError(f"{options.out} is there and is no sample of this command: name another folder with --out")
    atomic.write_text(stamp, json.dumps(wanted, indent=2) + "\n")


def _read_stamp(stamp: Path) -> dict[str, Any]:
    """The options that a sample was drawn with."""
    try:
        # Samples drawn before there was a choice of glasses say nothing of them.
        return {"glasses": None, **json.loads(stamp.read_text())}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{stamp} cannot be read ({error}): delete {stamp.parent} or name another with --out") from None


def _put_aside(folder: Path) -> None:
    """Rename a sample; nothing is deleted, for people keep notes and labels of their own beside the images."""
    folder = folder.resolve()
    taken = {path.name for path in folder.parent.iterdir()}
    aside = next(name for number in itertools.count(1) if (name := f"{folder.name}.old{number}") not in taken)
    try:
        folder.rename(folder.parent / aside)
    except OSError as error:
        raise UserError(f"{folder} cannot be renamed to {aside} ({error.strerror}): move it away yourself") from error
    print(f"{folder} was drawn by another version or with other options: it is now {folder.parent / aside}")


def _draw_all(sittings: list[Sitting], workers: int) -> None:
    jobs = (joblib.delayed(_draw)(sitting) for sitting in sittings)
    parallel = joblib.Parallel(n_jobs=min(workers, max(len(sittings), 1)), return_as="generator_unordered")
    with tqdm(total=len(sittings) * len(labels.IMAGE_KINDS), desc="drawing", unit="image") as bar:
        for count in parallel(jobs):
            bar.update(count)


def _draw(sitting: Sitting) -> int:
    """Draw and write one person's images; returns how many."""
    cv2.setNumThreads(1)  # One process a core already.
    portraits = draw_person(sitting.age, sitting.female, np.random.SeedSequence(sitting.seed), sitting.glasses)
    return sum(_write(sitting.files[portrait.kind], portrait) for portrait in portraits)


def _write(path: Path, portrait: Portrait) -> int:
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(encode(portrait.pixels))
    return 1


def encode(pixels: Pixels) -> bytes:
    """A JPEG file of an RGB image."""
    _, encoded = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()


def _tables(options: Options, training: list[Sitting], evaluation: list[Sitting]) -> dict[Path, pd.DataFrame]:
    """The csv files by path, in the order in which they are written."""
    tables = {options.out / "train" / "train.csv": _train_table(training)}
    if evaluation:
        solution = _solution(evaluation)
        tables[options.out / "eval" / "info.csv"] = solution[["ImageID"]].assign(ans=0)
        tables[options.out / "eval_solution.csv"] = solution
    return tables


def _train_table(sittings: Iterable[Sitting]) -> pd.DataFrame:
    rows = []
    for sitting in sittings:
        path = sitting.files[labels.NORMAL].parent.name
        rows.append((sitting.person, sitting.gender, RACE, path.rpartition("_")[2], path, *_glasses(sitting)))
    return _table(rows, ["id", "gender", "race", "age", "path"])


def _glasses(sitting: Sitting) -> tuple[str, ...]:
    """A last value of the sitter's rows, where there is anything to say."""
    return () if sitting.glasses is None else (YES_NO[sitting.glasses],)


def _table(rows: list[tuple[Any, ...]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*columns, "glasses"][: len(rows[0])])


def _solution(sittings: Iterable[Sitting]) -> pd.DataFrame:
    """Sorted by the opaque names, and so shuffled."""
    rows = []
    for sitting in sittings:
        for kind, file in sitting.files.items():
            mask = labels.mask_of(kind)
            answer = labels.encode_class(mask, int(sitting.female), labels.age_band(sitting.age))
            rows.append((file.name, answer, sitting.person, mask, sitting.gender, sitting.age, *_glasses(sitting)))
    table = _table(rows, ["ImageID", "ans", "person", "mask", "gender", "age"])
    return table.sort_values("ImageID", ignore_index=True)


def _summary(options: Options) -> str:
    each = len(labels.IMAGE_KINDS)
    text = f"{options.people} persons to train on ({options.people * each} images)"
    if options.eval_people:
        truth = options.out / "eval_solution.csv"
        text += f", {options.eval_people} others to predict ({options.eval_people * each}; the truth is in {truth})"
    return text


if __name__ == "__main__":
    run(main, Options())
