"""One tiny competition with crops for all faults, and results that nothing disturbed to compare with."""

from pathlib import Path

import numpy as np
import pandas as pd
from commands import Place
from drawn_faces import encode, write_portraits
from tiny_competition import people, write_csv, write_eval, write_train
from tiny_crops import write_crops
from tiny_runs import write_runs

from shared.crops import INDEX
from shared.faces.alignment import RECIPE
from shared.manifest import load_evaluation, load_training


def build(folder: Path) -> Place:
    """12 persons and 9 images to answer, their crops, and the runs of three specialists."""
    write_train(folder / "data/train", people(12))
    write_eval(folder / "data")
    labelled = load_training(folder / "data/train")
    write_current_crops(labelled, labelled, folder / "crops/train")
    write_current_crops(load_evaluation(folder / "data/eval"), labelled, folder / "crops/eval")
    write_runs(folder / "data", folder / "runs")
    return Place(folder)


def write_current_crops(images: pd.DataFrame, like: pd.DataFrame, out: Path) -> None:
    """Crops coloured after the labels of `like`, which the crop stage takes for its own and up to date."""
    write_crops(like.head(len(images)).assign(image=images["image"].to_numpy()), out)
    sources = [Path(path) for path in images["path"]]
    index = pd.read_csv(out / INDEX, dtype={"image": str}).assign(
        recipe=RECIPE.id,
        size=[source.stat().st_size for source in sources],
        mtime_ns=[source.stat().st_mtime_ns for source in sources],
    )
    index.to_csv(out / INDEX, index=False)


def add_portraits(place: Place) -> None:
    """`place.portraits`, for the crop stage: fourteen drawn faces, a wall without a face and an empty file."""
    images = place.portraits / "images"
    names = write_portraits(images)["image"].tolist()
    (images / "wall.png").write_bytes(encode(np.full((400, 300, 3), 90, np.uint8), "PNG"))
    (images / "empty.jpg").write_bytes(b"")
    rows = [{"ImageID": name, "ans": 0} for name in [*names, "wall.png", "empty.jpg"]]
    write_csv(place.portraits / "info.csv", ("ImageID", "ans"), rows)
