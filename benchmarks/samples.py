"""Sample portraits and their crops for the benchmarks that are not given others."""

from pathlib import Path

import joblib
import pandas as pd

from shared.crop_faces import make_crops
from shared.crops import CropSet
from shared.manifest import load_evaluation, load_training
from shared.sample_data import Options, main


def draw(folder: Path, people: int, eval_people: int = 6) -> Path:
    """Portraits of so many persons in the competition's layout."""
    main(Options(people=people, eval_people=eval_people, out=folder / "data"))
    return folder / "data"


def labelled(data: Path, crops: Path) -> tuple[pd.DataFrame, CropSet]:
    """The manifest of the training images and their crops, made where they are missing."""
    table = load_training(data / "train")
    return table, make_crops(table, crops / "train")


def repeated(images: pd.DataFrame, count: int, folder: Path) -> None:
    """An eval folder of `count` images, each a file of its own, however few there are to copy."""
    (folder / "images").mkdir(parents=True)
    paths = [Path(path) for path in images["path"]]
    names = [f"{number:06}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        (folder / "images" / name).write_bytes(paths[number % len(paths)].read_bytes())
    pd.DataFrame({"ImageID": names, "ans": 0}).to_csv(folder / "info.csv", index=False)


def evaluation(data: Path) -> pd.DataFrame:
    """The images to answer, `image` and `path`."""
    return load_evaluation(data / "eval")


def cores() -> int:
    return joblib.cpu_count()
