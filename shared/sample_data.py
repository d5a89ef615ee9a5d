"""Draw sample data: portraits in the competition's layout, with their true labels.

    python shared/sample_data.py --people 60 --eval-people 20 --out data/sample --seed 0

    <out>/train/train.csv          id, gender, race, age, path
    <out>/train/SOURCE.json        says that the images are drawings
    <out>/train/images/<path>/     mask1..mask5, incorrect_mask, normal (.jpg)
    <out>/eval/info.csv            ImageID, ans (all 0)
    <out>/eval/images/             images of other persons under opaque names
    <out>/eval_solution.csv        ImageID, ans, person, mask, gender, age
    <out>/sample.json              the options of the sample

`--glasses 0.5` gives glasses to half of the persons and adds a column `glasses` to train.csv and eval_solution.csv: a
label of your own for a further specialist.

The same options draw the same images on one machine, with any number of workers. The same command completes an
interrupted sample; its tables are written last, so a sample with tables is complete.
"""

if __name__ == "__main__":
    from shared.interrupts import end_at_once_while_loading

    end_at_once_while_loading()

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from shared import files, labels
from shared.commands import run
from shared.manifest import SOURCE
from shared.messages import UserError
from shared.portraits import draw_person
from shared.portraits.person import CELLS, sample_ages
from shared.portraits.rendering import Pixels

TRAIN, EVAL = 0, 1
"""Part of the random seeds."""
GLASSES = 2**31
"""Part of a random seed that no person has."""
RACE = "Drawn"
DRAWN = {"source": "drawings", "licence": "that of face18", "credit": "drawn by face18 sample"}
"""Content of SOURCE.json: a model that was trained on a sample says so wherever it answers."""
JPEG_QUALITY = 88
DRAWING = 2
"""Version of the drawing code: raised when the same options draw other images than before."""


@dataclass(frozen=True)
class Options:
    """Draw sample portraits in the competition's layout."""

    people: int = 60
    "Training persons, seven images each."
    eval_people: int = 20
    "Other persons, for the eval folder; 0 for none."
    out: Path = Path("data/sample")
    "The folder to create."
    seed: int = 0
    "The same seed draws the same images."
    glasses: float | None = None
    "Share of persons with glasses, labelled in a column; if omitted, glasses are random and not labelled."
    workers: int = 0
    "Drawing processes; 0: one per core."

    def __post_init__(self) -> None:
        for flag, count in (("--people", self.people), ("--eval-people", self.eval_people or len(CELLS))):
            if count < len(CELLS):
                raise UserError(f"{flag} {count}: at least {len(CELLS)}, one for every gender and age band")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: must not be negative")
        if self.glasses is not None and not 0 <= self.glasses <= 1:
            raise UserError(f"--glasses {self.glasses}: must be a share, from 0 to 1")
        if self.workers < 0:
            raise UserError(f"--workers {self.workers}: must be 0 (one per core) or more")


@dataclass(frozen=True)
class Sitting:
    """One person to draw, with the file of each image."""

    person: str
    female: bool
    age: int
    """Years, as drawn."""
    seed: tuple[int, int, int]
    files: dict[str, Path]
    """By image kind."""
    glasses: bool | None = None
    """None leaves them to the seed."""

    @property
    def gender(self) -> str:
        return labels.GENDERS[self.female]

    @property
    def glasses_column(self) -> dict[str, str]:
        """The labelled glasses as a column of the tables; empty if they are not labelled."""
        return {} if self.glasses is None else {"glasses": "yes" if self.glasses else "no"}

    def done(self) -> bool:
        """Whether all images are there."""
        return all(file.exists() for file in self.files.values())


def main(options: Options) -> None:
    """Draw what is missing of the sample; raise `UserError` if the folder holds something else."""
    _claim(options)
    if not (options.out / "train" / SOURCE).exists():
        files.write_text(options.out / "train" / SOURCE, json.dumps(DRAWN, indent=2) + "\n")
    training, evaluation = plan_training(options), plan_evaluation(options)
    missing = [sitting for sitting in (*training, *evaluation) if not sitting.done()]
    tables = {options.out / "train" / "train.csv": _train_table(training)}
    if evaluation:
        solution = _solution(evaluation)
        tables[options.out / "eval" / "info.csv"] = solution[["ImageID"]].assign(ans=0)
        tables[options.out / "eval_solution.csv"] = solution
    if not missing and all(path.exists() for path in tables):
        print(f"{options.out} is already there: {_summary(options)}")
        return
    _draw_all(missing, options.workers or joblib.cpu_count())
    for path, table in tables.items():
        files.write_text(path, files.table_csv(table, index=False))
    print(f"{options.out}: {_summary(options)}")


def plan_training(options: Options) -> list[Sitting]:
    """Return the persons of the train folder, in the order of train.csv."""
    sittings = []
    for index, (female, age) in enumerate(sample_ages(np.random.default_rng((options.seed, TRAIN)), options.people)):
        person = f"{index + 1:06d}"
        folder = options.out / "train" / "images" / f"{person}_{labels.GENDERS[female]}_{RACE}_{age}"
        paths = {kind: folder / f"{kind}.jpg" for kind in labels.IMAGE_KINDS}
        sittings.append(Sitting(person, female, age, (options.seed, TRAIN, index), paths))
    return _with_glasses(options, TRAIN, sittings)


def plan_evaluation(options: Options) -> list[Sitting]:
    """Return the persons of the eval folder; the names of their images reveal nothing."""
    folder, sittings = options.out / "eval" / "images", []
    for index, (female, age) in enumerate(
        sample_ages(np.random.default_rng((options.seed, EVAL)), options.eval_people)
    ):
        person = f"{options.people + index + 1:06d}"
        paths = {}
        for kind in labels.IMAGE_KINDS:
            name = hashlib.sha256(f"{options.seed}/{person}/{kind}".encode()).hexdigest()[:40]
            paths[kind] = folder / f"{name}.jpg"
        sittings.append(Sitting(person, female, age, (options.seed, EVAL, index), paths))
    return _with_glasses(options, EVAL, sittings)


def _with_glasses(options: Options, split: int, sittings: list[Sitting]) -> list[Sitting]:
    """Give glasses to the requested share of the persons, independent of their labels."""
    if options.glasses is None:
        return sittings
    wearers = np.arange(len(sittings)) < round(options.glasses * len(sittings))
    dealt = np.random.default_rng((options.seed, split, GLASSES)).permutation(wearers)
    return [replace(sitting, glasses=bool(worn)) for sitting, worn in zip(sittings, dealt, strict=True)]


def _claim(options: Options) -> None:
    """Write sample.json, which marks the folder as a sample of these options, unless it is there already.

    Raises `UserError` if the folder holds anything else, or a sample of other options.
    """
    stamp = options.out / "sample.json"
    wanted = {"drawing": DRAWING, **asdict(options)}
    for without_effect in ("out", "workers"):
        del wanted[without_effect]
    if stamp.exists():
        try:
            found = json.loads(stamp.read_text())
        except (OSError, ValueError) as error:
            raise UserError(
                f"{stamp} cannot be read ({error}): delete {options.out} or name another folder with --out"
            ) from None
        if found != wanted:
            raise UserError(
                f"{options.out} was drawn with other options or by another version ({stamp.name}: "
                f"{json.dumps(found)}): delete it or name another folder with --out"
            )
    elif options.out.is_file() or (options.out.is_dir() and any(options.out.iterdir())):
        raise UserError(f"{options.out} exists and is no sample of this command: name another folder with --out")
    else:
        files.write_text(stamp, json.dumps(wanted, indent=2) + "\n")


def _draw_all(sittings: list[Sitting], workers: int) -> None:
    jobs = (joblib.delayed(_draw)(sitting) for sitting in sittings)
    parallel = joblib.Parallel(n_jobs=min(workers, max(len(sittings), 1)), return_as="generator_unordered")
    with tqdm(total=len(sittings) * len(labels.IMAGE_KINDS), desc="drawing", unit="image") as bar:
        for count in parallel(jobs):
            bar.update(count)


def _draw(sitting: Sitting) -> int:
    """Draw and write the images of one person; return how many."""
    cv2.setNumThreads(1)  # There is one process per core already.
    for portrait in draw_person(sitting.age, sitting.female, np.random.SeedSequence(sitting.seed), sitting.glasses):
        with files.replacing(sitting.files[portrait.kind]) as temporary:
            temporary.write_bytes(encode(portrait.pixels))
    return len(sitting.files)


def encode(pixels: Pixels) -> bytes:
    """Return the JPEG file of an RGB image, uint8 (height, width, 3)."""
    _, encoded = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()


def _train_table(sittings: list[Sitting]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for sitting in sittings:
        path = sitting.files[labels.NORMAL].parent.name
        row = {"id": sitting.person, "gender": sitting.gender, "race": RACE, "age": sitting.age}
        rows.append({**row, "path": path, **sitting.glasses_column})
    return pd.DataFrame(rows)


def _solution(sittings: list[Sitting]) -> pd.DataFrame:
    """Return the true labels, sorted by the opaque names and so shuffled."""
    rows: list[dict[str, Any]] = []
    for sitting in sittings:
        for kind, file in sitting.files.items():
            mask = labels.mask_of(kind)
            true_class = labels.encode_class(mask, int(sitting.female), labels.age_band(sitting.age))
            row = {"ImageID": file.name, "ans": true_class, "person": sitting.person, "mask": mask}
            rows.append({**row, "gender": sitting.gender, "age": sitting.age, **sitting.glasses_column})
    return pd.DataFrame(rows).sort_values("ImageID", ignore_index=True)


def _summary(options: Options) -> str:
    each = len(labels.IMAGE_KINDS)
    text = f"{options.people} training persons ({options.people * each} images)"
    if options.eval_people:
        truth = options.out / "eval_solution.csv"
        text += f", {options.eval_people} eval persons ({options.eval_people * each} images; true labels in {truth})"
    return text


if __name__ == "__main__":
    run(main, Options())
