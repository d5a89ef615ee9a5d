"""Disks, files and images that are spoilt or change at random, and what must come of it."""

import shutil
import time
from pathlib import Path

import numpy as np
from commands import (
    at_work,
    files_of,
    finish,
    read_everything,
    start,
    wait_for,
)
from drawn_faces import files
from forks import fork, was_killed
from ground import Ground, crops_in
from numpy.random import Generator
from readers import IMAGES, try_images, try_tables
from rooms import small_disk

import combine
from pipelines.gender.specialist import GENDER
from shared.crops import BOX, LANDMARKS, CropSet, open_crops
from shared.messages import UserError
from shared.training.run import train

BATCH = 500
"""Files that are tried in one process."""

CUT = ("fold0/weights.safetensors", "fold0/oof.csv", "fold0/history.csv", "run.json", "eval.csv")
"""Files of a run that are cut short."""

LAST_DIGITS = 12
"""Bytes: without some of them the last number of a table is still one, near enough for its row to sum to one."""


def crop_at_once(ground: Ground, folder: Path, random: Generator) -> int:
    """Two or four runs in one folder, one of them killed now and then."""
    out = folder / "crops"
    runs = [start(ground.place.crop(out)) for _ in range(2 * random.integers(1, 3))]
    victim = runs.pop() if random.random() < 0.5 else None
    if victim is not None:
        wait_for(lambda: at_work(victim), victim)
        time.sleep(random.uniform(0, ground.seconds["crop"]))
        victim.kill()
        victim.communicate()
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 0, errors
    finish(ground.place.crop(out))
    assert crops_in(out) == ground.crops
    return 1


def change_images(ground: Ground, folder: Path, random: Generator) -> int:
    """Images vanish, are cut or replaced while they are cropped: the next run's crops are those of what is there."""
    portraits = folder / "portraits"
    shutil.copytree(ground.place.portraits, portraits)
    paths = sorted((portraits / "images").rglob("*.jpg"))
    process = start(ground.place.crop(folder / "crops", images=portraits))
    wait_for(lambda: at_work(process), process)
    changes = int(random.integers(1, 6))
    for _ in range(changes):
        time.sleep(random.uniform(0, ground.seconds["crop"] / changes))
        _change(paths[random.integers(len(paths))], random)
    _, errors = process.communicate()
    # An image of the list that is gone when a command starts is a fault of the data; while it runs it is a grey crop.
    assert process.returncode == 0 or "error:" in errors, errors
    assert "Traceback" not in errors, errors
    for path in paths:
        if not path.exists():
            path.write_bytes(files()[0])
    finish(ground.place.crop(folder / "crops", images=portraits))
    finish(ground.place.crop(folder / "anew", images=portraits))
    same_crops(open_crops(folder / "crops"), open_crops(folder / "anew"))
    return 1


def same_crops(one: CropSet, other: CropSet) -> None:
    """But for hundredths of a pixel: which images go through the nets together decides the last digits."""
    for column in ("file", "found", "faces", "fingerprint", "size", "mtime_ns", "problem"):
        assert one.index[column].equals(other.index[column]), column
    places = [*BOX, *LANDMARKS]
    np.testing.assert_allclose(one.index[places].astype(float), other.index[places].astype(float), atol=0.2)
    for image in one.index.index:
        assert np.abs(one.read(image).astype(float) - other.read(image)).mean() < 1, image


def _change(path: Path, random: Generator) -> None:
    match random.integers(3):
        case 0:
            path.unlink(missing_ok=True)
        case 1:
            path.write_bytes(files()[random.integers(len(files()))])
        case 2:
            path.write_bytes(files()[0][: random.integers(len(files()[0]))])


def fill_disk(ground: Ground, folder: Path, random: Generator) -> int:
    """A disk of any size up to what a training needs: a clear error, and it goes on with more room."""
    full = False
    with small_disk(folder / "disk", int(random.integers(4096, 2_000_000))) as disk:
        try:
            train(GENDER, ground.place.options(disk / "run"))
        except UserError as error:
            full = "cannot be written" in str(error)
            if not full:
                raise
        if (disk / "run").exists():
            read_everything(disk / "run")
            shutil.copytree(disk / "run", folder / "run")
    train(GENDER, ground.place.options(folder / "run"))
    assert files_of(folder / "run") == files_of(ground.run)
    return full


def cut_file(ground: Ground, folder: Path, random: Generator) -> int:
    """A file of a run cut short by other hands is refused by its name; removed as told, the run ends as it should."""
    run = folder / "run"
    shutil.copytree(ground.run, run)
    name = CUT[random.integers(len(CUT))]
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[: random.integers(len(whole) - LAST_DIGITS)])
    told = _refusal(ground, run, name, folder / "submission.csv")
    left = (run / name).stat().st_size
    assert str(run / name) in told, f"{name}, cut to {left} of {len(whole)} bytes: {told or 'taken'}"
    match name:
        case "run.json":
            shutil.rmtree(run)
        case "eval.csv":
            (run / name).unlink()
        case _:
            shutil.rmtree(run / "fold0")
    train(GENDER, ground.place.options(run))
    assert files_of(run) == files_of(ground.run)
    return 1


def _refusal(ground: Ground, run: Path, name: str, out: Path) -> str:
    """What the command that reads the file says; nothing where it takes it."""
    try:
        if name == "eval.csv":
            _fuse(ground, run, out)
        else:
            train(GENDER, ground.place.options(run))
    except UserError as error:
        return str(error)
    return ""


def _fuse(ground: Ground, run: Path, out: Path) -> None:
    (run / "oof.csv").unlink()  # Of other folds than those of the runs beside it, which would be refused first.
    runs = ground.place.folder / "runs"
    combine.main(combine.Options(out, ground.place.folder / "data", (runs / "mask",), (run,), (runs / "age",)))


def spoil_images(ground: Ground, folder: Path, random: Generator) -> int:
    del ground, folder
    for spoil in IMAGES.values():
        assert not was_killed(fork(try_images, spoil, BATCH, random))
        random.random()
    return BATCH * len(IMAGES)


def spoil_tables(ground: Ground, folder: Path, random: Generator) -> int:
    try_tables(ground.place, folder, BATCH, random)
    return BATCH
