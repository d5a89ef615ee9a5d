"""Sample portraits and their crops for benchmarks without --data."""

from pathlib import Path

import joblib
import pandas as pd

from shared.crops import CropSet
from shared.faces.cache import make_crops
from shared.manifest import load_evaluation, load_training
from shared.sample_data import Options, main


def draw(folder: Path, people: int, eval_people: int = 6) -> Path:
    """Draw portraits in the competition's layout; return the folder."""
    main(Options(people=people, eval_people=eval_people, out=folder / "data"))
    return folder / "data"


def labelled(data: Path, crops: Path) -> tuple[pd.DataFrame, CropSet]:
    """Return the manifest of the training images and their crops, made if missing."""
    table = load_training(data / "train")
    return table, make_crops(table, crops / "train")


def repeated(images: pd.DataFrame, count: int, folder: Path) -> None:
    """Write an eval folder of `count` images, copied in turn."""
    (folder / "images").mkdir(parents=True)
    paths = [Path(path) for path in images["path"]]
    names = [f"{number:06}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        (folder / "images" / name).write_bytes(paths[number % len(paths)].read_bytes())
    pd.DataFrame({"ImageID": names, "ans": 0}).to_csv(folder / "info.csv", index=False)


def evaluation(data: Path) -> pd.DataFrame:
    """Return the eval images: columns image and path."""
    return load_evaluation(data / "eval")


def cores() -> int:
    return joblib.cpu_count()
