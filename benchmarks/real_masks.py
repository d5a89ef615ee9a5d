"""Do drawn masks generalise to real ones? Train the mask specialist on bare faces only and test it on real masks.

    python benchmarks/real_masks.py --bare EXTRA --worn REAL_WORN --other FOLDER

The plain training sees some of the bare faces with masks drawn on them. It is tested on the other bare faces, on
photographs of real masks worn right, and with `--other` on images whose masks another program drew (their
eval_solution.csv has the truth). With `--other` the real masks are also cut out and laid on its bare faces, right and
wrongly (`real_cloth.py`). Finished stages are kept; `--run FOLDER` tests a specialist that is trained already.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from real_cloth import WAYS, cut_masks, lay_masks
from stages import run_stage

from shared.commands import run
from shared.crops import CropSet, open_crops
from shared.fusion.metrics import macro_f1
from shared.fusion.predictions import read_predictions
from shared.label_fixes import read_solution
from shared.labels import MASKS
from shared.tracking import Record, origin, record

WORN, NONE = MASKS.index("worn"), MASKS.index("none")


@dataclass(frozen=True)
class Options:
    """Train the mask specialist on bare faces with drawn masks and test it on real masks."""

    bare: Path = Path("data/extra")
    """Labelled bare faces: train.csv and images/."""
    worn: Path = Path("data/real_worn")
    """Photographs of real masks, all worn right: info.csv and images/."""
    other: Path | None = None
    """A data set with eval_solution.csv and masks that another program drew."""
    run: Path | None = None
    """A trained mask specialist to test instead; it may have been trained on --bare."""
    out: Path = Path("outputs/real_masks")
    """Folder of lists, crops, run and predictions."""
    persons: int = 1500
    """Bare faces to train on."""


def main(options: Options) -> None:
    trained = _split(options)
    model = options.run or options.out / "mask"
    if options.run is None:
        run_stage("-m", "shared.crop_faces", "--data", trained, "--out", options.out / "crops/bare")
        where = ("--data", trained, "--crops", options.out / "crops/bare", "--outputs", model)
        run_stage("-m", "pipelines.mask.train", *where, "--folds", 10, "--only-fold", 0)
    started = time.perf_counter()
    tested = {
        "real, worn right": (_predict(options, model, "worn", options.worn), WORN),
        "bare" if options.run else "bare, not seen": (_predict(options, model, "unseen", options.out / "unseen"), NONE),
    }
    lines = [_line(title, *each) for title, each in tested.items()]
    scores = {f"right: {title}": _right(*each) for title, each in tested.items()}
    if options.other is not None:
        predictions = _predict(options, model, "other", options.other)
        truth = read_solution(options.other / "eval_solution.csv")["truth"].loc[predictions.index].to_numpy() // 6
        lines += [_line(f"--other, {name}", predictions[truth == state], state) for state, name in enumerate(MASKS)]
        score = macro_f1(truth, predictions.to_numpy().argmax(1), len(MASKS))
        lines.append(f"{'--other, macro F1':<28}{score:>31.3f}")
        scores["macro_f1"] = score
        cloth = _predict_real_cloth(options, model, predictions.index[truth == NONE])
        lines += [_line(f"real cloth, {way}", of_way, WAYS[way]) for way, of_way in cloth.items()]
        scores |= {f"right: real cloth, {way}": _right(of_way, WAYS[way]) for way, of_way in cloth.items()}
    print(f"\n{'':<28}{'images':>9}{'right':>8}" + "".join(f"{name:>11}" for name in MASKS))
    print("\n".join(lines))
    data, recipe = origin([model])
    record(Record("score", "mask", model, time.perf_counter() - started, scores, asdict(options), data, recipe))


def _split(options: Options) -> Path:
    """Write train.csv of random persons and info.csv of the others; return the folder of train.csv."""
    table = pd.read_csv(options.bare / "train.csv", dtype=str)
    table = table.sample(frac=1, random_state=1)
    trained, unseen = options.out / "bare", options.out / "unseen"
    for folder in (trained, unseen):
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "images").exists():
            (folder / "images").symlink_to((options.bare / "images").resolve())
    table[: options.persons].to_csv(trained / "train.csv", index=False)
    names = table["path"][options.persons :] + "/normal.jpg"
    pd.DataFrame({"ImageID": names, "ans": 0}).to_csv(unseen / "info.csv", index=False)
    return trained


def _predict(options: Options, model: Path, name: str, data: Path) -> pd.DataFrame:
    """Return the probabilities of the mask states for the eval images of a folder; print how faces were found."""
    out = options.out / f"{name}.csv"
    where = ("--data", data, "--crops", options.out / "crops" / name, "--outputs", model, "--out", out)
    run_stage("-m", "pipelines.mask.predict", *where)
    print(f"{name}:", _crops(options, name).index["found"].value_counts().to_dict())
    return read_predictions(out, MASKS)[list(MASKS)]


def _crops(options: Options, name: str) -> CropSet:
    folder = options.out / "crops" / name
    return open_crops(folder if (folder / "index.csv").exists() else folder / "eval")


def _predict_real_cloth(options: Options, model: Path, bare: pd.Index) -> dict[str, pd.DataFrame]:
    """Return the predictions for masks of `--worn` laid on these faces of `--other`, by way."""
    folder = options.out / "cloth"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    masks = cut_masks(_crops(options, "worn"))
    print(f"{len(masks)} masks cut out")
    ways = {}
    for number, (way, crop) in enumerate(lay_masks(masks, _crops(options, "other").keep(bare))):
        image = f"{number:04d}.jpg"
        cv2.imwrite(str(folder / "images" / image), cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
        ways[image] = way
    pd.DataFrame({"ImageID": list(ways), "ans": 0}).to_csv(folder / "info.csv", index=False)
    predictions = _predict(options, model, "cloth", folder)
    return {way: predictions[predictions.index.map(ways) == way] for way in WAYS}


def _line(title: str, predictions: pd.DataFrame, state: int) -> str:
    given = np.bincount(predictions.to_numpy().argmax(1), minlength=len(MASKS))
    return f"{title:<28}{given.sum():>9}{_right(predictions, state):>8.3f}" + "".join(f"{count:>11}" for count in given)


def _right(predictions: pd.DataFrame, state: int) -> float:
    """Return the share of images for which the state is the most probable."""
    return float((predictions.to_numpy().argmax(1) == state).mean())


if __name__ == "__main__":
    run(main, Options())
