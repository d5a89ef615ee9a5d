"""Pictures per second of the crop stage beside facenet-pytorch's MTCNN, on the same pictures in one run.

    python benchmarks/crop_speed.py --data ../shared/data/faces --pictures 4000

(a) `MTCNN()` with its defaults, picture by picture, as its README shows; (b) its `detect` with defaults on batches of
32; (c) our stage end to end, from files to crops and index in a fresh folder, on all cores, the start of its processes
included; (d) decoding the files alone, on all cores: the floor. (a) and (b) are measured on a share of the
pictures. Found by (a) and (c), and how far their eyes lie apart, by mask state.
"""

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import joblib
import numpy as np
import pandas as pd
from machine import describe
from PIL import Image
from tqdm import tqdm

from shared.commands import run
from shared.crop_faces import make_crops
from shared.crops import DETECTED, LANDMARKS, RETRIED, CropSet
from shared.errors import UserError
from shared.labels import MASKS
from shared.manifest import load_evaluation, load_training, split_folders

BATCH = 32

Result = TypeVar("Result")


@dataclass(frozen=True)
class Options:
    """Measure the crop stage beside facenet-pytorch's MTCNN."""

    data: Path = Path("data/sample")
    """A competition folder, or one of its halves."""

    pictures: int = 4000
    """At most so many of its pictures, drawn by lot."""

    slow: int = 280
    """Of these, so many for MTCNN picture by picture and in batches."""

    workers: int = 0
    """Processes of our stage; 0: as the command chooses."""

    def __post_init__(self) -> None:
        if not 0 < self.slow <= self.pictures:
            raise UserError(f"--slow {self.slow}: must be from 1 to --pictures {self.pictures}")


def main(options: Options) -> None:
    """Measure, and print two tables."""
    pictures = sampled(load(options.data), options.pictures)
    sample = sampled(pictures, options.slow)
    print(describe("facenet-pytorch", "opencv-python-headless", "joblib"))
    print(f"{len(pictures):,} pictures of {options.data}; {len(sample):,} of them for (a) and (b)")
    one_by_one, found = timed(len(sample), lambda: detect_one_by_one(list(sample["path"])))
    batched, _ = timed(len(sample), lambda: detect_in_batches(list(sample["path"])))
    with tempfile.TemporaryDirectory() as folder:
        ours, crops = timed(len(pictures), lambda: make_crops(pictures, Path(folder), options.workers))
    decoding, _ = timed(len(pictures), lambda: decode_all(list(pictures["path"])))
    print(speed_table({"(a)": one_by_one, "(b)": batched, "(c)": ours, "(d)": decoding}).to_string(index=False))
    print(found_table(sample, found, crops).to_string(index=False))


def load(data: Path) -> pd.DataFrame:
    """All pictures of both halves; columns picture, path, state (mask state where it is known)."""
    tables = []
    for split, folder in split_folders(data).items():
        table = load_training(folder) if split == "train" else load_evaluation(folder)
        states = [MASKS[mask] for mask in table["mask"]] if "mask" in table else "unknown"
        tables.append(table[["picture", "path"]].assign(state=states, picture=f"{split}/" + table["picture"]))
    return pd.concat(tables, ignore_index=True)


def sampled(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Rows drawn by lot, the same at every run, in their order. (Even steps would meet but one of seven kinds.)"""
    places = np.random.default_rng(0).permutation(len(table))[:count]
    return table.iloc[np.sort(places)].reset_index(drop=True)


def timed(count: int, work: Callable[[], Result]) -> tuple[float, Result]:
    """Pictures per second of wall clock, and what the work returns."""
    started = time.perf_counter()
    result = work()
    return count / (time.perf_counter() - started), result


def detect_one_by_one(paths: Sequence[str]) -> list[np.ndarray | None]:
    """What `MTCNN()(image)` does, with the landmarks: the largest face's five, shape (5, 2), or None."""
    mtcnn, found = _mtcnn(), []
    for path in tqdm(paths, desc="(a)", unit=" pictures"):
        with Image.open(path) as image:
            boxes, _, landmarks = mtcnn.detect(image, landmarks=True)
            if boxes is not None:
                mtcnn.extract(image, boxes[:1], None)
        found.append(None if landmarks is None else np.array(landmarks[0], float))
    return found


def detect_in_batches(paths: Sequence[str]) -> None:
    """`MTCNN().detect` on pictures of one size, 32 at a time."""
    mtcnn = _mtcnn()
    by_size: dict[tuple[int, int], list[str]] = {}
    for path in paths:
        with Image.open(path) as image:
            by_size.setdefault(image.size, []).append(path)
    batches = [group[at : at + BATCH] for group in by_size.values() for at in range(0, len(group), BATCH)]
    for batch in tqdm(batches, desc="(b)", unit=" batches"):
        mtcnn.detect([Image.open(path) for path in batch], landmarks=True)


def decode_all(paths: Sequence[str]) -> None:
    """Read and decode on all cores; OpenCV does not hold Python's lock meanwhile."""
    cores = joblib.cpu_count()
    joblib.Parallel(cores, backend="threading")(joblib.delayed(_decode)(paths[at::cores]) for at in range(cores))


def _decode(paths: Sequence[str]) -> None:
    for path in paths:
        cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)


def _mtcnn() -> Any:
    from facenet_pytorch import MTCNN

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.load's word on pickles.
        return MTCNN()


def speed_table(speeds: dict[str, float]) -> pd.DataFrame:
    """Pictures per second and the ratios that matter."""
    what = {
        "(a)": "MTCNN() picture by picture",
        "(b)": f"MTCNN().detect, batches of {BATCH}",
        "(c)": "our stage, end to end",
        "(d)": "decoding alone",
    }
    rows = [
        (name, what[name], f"{speed:,.0f}", f"{speed / speeds['(a)']:.1f}", f"{speeds['(d)'] / speed:.1f}")
        for name, speed in speeds.items()
    ]
    return pd.DataFrame(rows, columns=["", "what", "pictures/s", "times (a)", "(d) is so many times faster"])


def found_table(sample: pd.DataFrame, theirs: Sequence[np.ndarray | None], crops: CropSet) -> pd.DataFrame:
    """Share of pictures in which a face was found, and the median distance of the eyes, by mask state."""
    index = crops.keep(sample["picture"]).index
    ours = index[LANDMARKS].to_numpy(float).reshape(-1, 5, 2)
    rows = pd.DataFrame(
        {
            "mask": sample["state"],
            "found by (a)": [landmarks is not None for landmarks in theirs],
            "found by (c)": index["found"].isin([DETECTED, RETRIED]).to_numpy(),
            "at once": (index["found"] == DETECTED).to_numpy(),
        }
    )
    rows["eyes apart"] = [
        _apart(one, other) if both else np.nan
        for one, other, both in zip(theirs, ours, rows["found by (a)"] & rows["found by (c)"], strict=True)
    ]
    table = rows.groupby("mask").agg({**dict.fromkeys(rows.columns[1:4], "mean"), "eyes apart": "median"})
    table.insert(0, "pictures", rows.groupby("mask").size())
    return table.round(3).reset_index()


def _apart(one: np.ndarray | None, other: np.ndarray) -> float:
    """Mean distance of the two eyes, as a share of the eye distance."""
    assert one is not None
    return float(np.hypot(*(one[:2] - other[:2]).T).mean() / np.hypot(*(one[1] - one[0])))


if __name__ == "__main__":
    run(main, Options())
