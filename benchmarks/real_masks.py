"""Do drawn masks teach real ones? The mask specialist, trained on bare faces alone, before photographs of real masks.

    python benchmarks/real_masks.py --other ../shared/data/faces

Some of the bare faces are trained on, with masks drawn on them; the others must be answered `none`, the photographs of
masks worn right `worn`, and images whose masks another program drew (`--other`, with eval_solution.csv) as it says.
With `--other` the real masks are also cut out and laid on its bare faces, right and wrongly (`real_cloth.py`).
Stages already done are not run again; `--run FOLDER` asks a specialist that was trained otherwise.
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
    """Train the mask specialist on bare faces with drawn masks, and ask it about real ones."""

    bare: Path = Path("../shared/data/extra")
    """Labelled bare faces: train.csv and images/."""
    worn: Path = Path("../shared/data/real_worn")
    """Photographs of masks that are all worn right: info.csv and images/."""
    other: Path | None = None
    """A data set whose eval images are known (eval_solution.csv), with masks that another program drew."""
    run: Path | None = None
    """A mask specialist that is trained already, perhaps on some of --bare, or all of them."""
    out: Path = Path("outputs/real_masks")
    """Where lists, crops, run and answers go."""
    persons: int = 1500
    """How many of the bare faces to train on."""
    epochs: int = 3
    """Passes over them."""
    size: int = 96
    """Pixels a side of what the network sees."""


def main(options: Options) -> None:
    trained = _split(options)
    model = options.run or options.out / "mask"
    if options.run is None:
        run_stage("-m", "shared.crop_faces", "--data", trained, "--out", options.out / "crops/bare")
        where = ("--data", trained, "--crops", options.out / "crops/bare", "--outputs", model)
        effort = ("--folds", 10, "--only-fold", 0, "--epochs", options.epochs, "--size", options.size)
        run_stage("-m", "pipelines.mask.train", *where, *effort)
    started = time.perf_counter()
    asked = {
        "real, worn right": (_ask(options, model, "worn", options.worn), WORN),
        "bare" if options.run else "bare, not seen": (_ask(options, model, "unseen", options.out / "unseen"), NONE),
    }
    lines = [_line(title, *each) for title, each in asked.items()]
    scores = {f"right: {title}": _right(*each) for title, each in asked.items()}
    if options.other is not None:
        answers = _ask(options, model, "other", options.other)
        truth = read_solution(options.other / "eval_solution.csv")["truth"].loc[answers.index].to_numpy() // 6
        lines += [_line(f"--other, {name}", answers[truth == state], state) for state, name in enumerate(MASKS)]
        score = macro_f1(truth, answers.to_numpy().argmax(1), len(MASKS))
        lines.append(f"{'--other, macro F1':<28}{score:>31.3f}")
        scores["macro_f1"] = score
        cloth = _ask_real_cloth(options, model, answers.index[truth == NONE])
        lines += [_line(f"real cloth, {way}", of_way, WAYS[way]) for way, of_way in cloth.items()]
        scores |= {f"right: real cloth, {way}": _right(of_way, WAYS[way]) for way, of_way in cloth.items()}
    print(f"\n{'':<28}{'images':>9}{'right':>8}" + "".join(f"{name:>11}" for name in MASKS))
    print("\n".join(lines))
    data, recipe = origin([model])
    record(Record("score", "mask", model, time.perf_counter() - started, scores, asdict(options), data, recipe))


def _split(options: Options) -> Path:
    """Write train.csv of the first persons in a random order, and info.csv of the others; gives the former's folder."""
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


def _ask(options: Options, model: Path, name: str, data: Path) -> pd.DataFrame:
    """The specialist's probabilities for the eval images of a folder; says how their faces were found."""
    out = options.out / f"{name}.csv"
    where = ("--data", data, "--crops", options.out / "crops" / name, "--outputs", model, "--out", out)
    run_stage("-m", "pipelines.mask.predict", *where)
    print(f"{name}:", _crops(options, name).index["found"].value_counts().to_dict())
    return read_predictions(out, MASKS)[list(MASKS)]


def _crops(options: Options, name: str) -> CropSet:
    folder = options.out / "crops" / name
    return open_crops(folder if (folder / "index.csv").exists() else folder / "eval")


def _ask_real_cloth(options: Options, model: Path, bare: pd.Index) -> dict[str, pd.DataFrame]:
    """The answers to masks of `--worn` laid on these faces of `--other`, for each way."""
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
    answers = _ask(options, model, "cloth", folder)
    return {way: answers[answers.index.map(ways) == way] for way in WAYS}


def _line(title: str, answers: pd.DataFrame, state: int) -> str:
    given = np.bincount(answers.to_numpy().argmax(1), minlength=len(MASKS))
    return f"{title:<28}{given.sum():>9}{_right(answers, state):>8.3f}" + "".join(f"{count:>11}" for count in given)


def _right(answers: pd.DataFrame, state: int) -> float:
    """The share of images for which the state is the most probable."""
    return float((answers.to_numpy().argmax(1) == state).mean())


if __name__ == "__main__":
    run(main, Options())
