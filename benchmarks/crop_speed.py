"""Compare the crop stage and facenet-pytorch's MTCNN in images per second, on the same images.

    python benchmarks/crop_speed.py --data FOLDER --rounds 3

(a) `MTCNN()` with its defaults, image by image, as in its README; (b) its `detect` on batches of 32; (c) the crop stage
from files to crops and index in a new folder, on all cores, including the start of its processes; (d) decoding alone,
on all cores: the limit. (a) and (b) process --slow random images, (c) and (d) all. The four take turns and are compared
within a round, because another job slows all of a round alike. Every file is read once beforehand, so nothing waits for
the disk. A second table has the share of found faces and the distance between the eyes of (a) and (c), by mask state.
"""

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor
from machine import describe, ratio
from PIL import Image
from tqdm import tqdm

from shared.commands import run
from shared.crops import DETECTED, LANDMARKS, RETRIED, CropSet
from shared.faces.cache import make_crops
from shared.labels import MASKS
from shared.manifest import load_evaluation, load_training, split_folders
from shared.messages import UserError

BATCH = 32


@dataclass(frozen=True)
class Options:
    """Measure the crop stage beside facenet-pytorch's MTCNN."""

    data: Path = Path("data/sample")
    """A competition folder, or its train or eval folder."""

    images: int | None = None
    """At most this many random images; with more, the start of processes matters less."""

    slow: int = 280
    """Images for (a) and (b)."""

    rounds: int = 3
    """Number of rounds."""

    workers: int = 0
    """Processes of the crop stage; 0: its default."""

    def __post_init__(self) -> None:
        if self.slow < 1 or (self.images is not None and self.slow > self.images):
            raise UserError(f"--slow {self.slow}: must be at least 1, and no more than --images")
        if self.rounds < 1:
            raise UserError(f"--rounds must be at least 1, not {self.rounds}")


@dataclass(frozen=True)
class Variant:
    """One way to process images."""

    what: str
    count: int
    """Number of images."""
    work: Callable[[], Any]


def main(options: Options) -> None:
    """Measure, and print two tables."""
    images = sampled(load(options.data), options.images)
    sample = sampled(images, options.slow)
    print(describe("facenet-pytorch", "opencv-python-headless", "joblib"))
    print(f"{len(images):,} images of {options.data}; {len(sample):,} of them for (a) and (b)")
    read_once(images["path"])
    with tempfile.TemporaryDirectory() as folder:
        variants = variants_of(images, sample, options.workers, Path(folder))
        seconds, returned = in_rounds(variants, options.rounds)
        print(speed_table(variants, seconds).to_string(index=False))
        print(found_table(sample, returned["(a)"], returned["(c)"]).to_string(index=False))


def variants_of(images: pd.DataFrame, sample: pd.DataFrame, workers: int, root: Path) -> dict[str, Variant]:
    """Return the four variants; (c) makes its crops in a new folder of `root` each time."""
    mtcnn, some, every = _mtcnn(), list(sample["path"]), list(images["path"])

    def crop() -> CropSet:
        return make_crops(images, Path(tempfile.mkdtemp(dir=root)), workers)

    return {
        "(a)": Variant("MTCNN() image by image", len(some), lambda: detect_one_by_one(mtcnn, some)),
        "(b)": Variant(f"MTCNN().detect, batches of {BATCH}", len(some), lambda: detect_in_batches(mtcnn, some)),
        "(c)": Variant("crop stage, end to end", len(every), crop),
        "(d)": Variant("decoding alone", len(every), lambda: decode_all(every)),
    }


def in_rounds(variants: Mapping[str, Variant], rounds: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return the seconds per image of each variant and round, and what each returned in the last round."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    returned: dict[str, Any] = {}
    for _ in range(rounds):
        for name, variant in variants.items():
            started = time.perf_counter()
            returned[name] = variant.work()
            seconds[name].append((time.perf_counter() - started) / variant.count)
            # joblib keeps its processes: without this, (c) would reuse those of the round before.
            get_reusable_executor().shutdown(wait=True)
    return seconds, returned


def load(data: Path) -> pd.DataFrame:
    """Return all images of train and eval: columns image, path, state (mask state if known)."""
    tables = []
    for split, folder in split_folders(data).items():
        table = load_training(folder) if split == "train" else load_evaluation(folder)
        states = [MASKS[mask] for mask in table["mask"]] if "mask" in table else "unknown"
        tables.append(table[["image", "path"]].assign(state=states, image=f"{split}/" + table["image"]))
    return pd.concat(tables, ignore_index=True)


def sampled(table: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """Return random rows in their order, the same at every run; all if `count` is None."""
    places = np.random.default_rng(0).permutation(len(table))[:count]
    return table.iloc[np.sort(places)].reset_index(drop=True)


def read_once(paths: Iterable[str]) -> None:
    """Read the files into the system's cache, so that the first variant is not slower."""
    for path in paths:
        Path(path).read_bytes()


def detect_one_by_one(mtcnn: Any, paths: Sequence[str]) -> list[np.ndarray | None]:
    """Do what `MTCNN()(image)` does; return the landmarks of the largest face, (5, 2), or None."""
    found: list[np.ndarray | None] = []
    for path in tqdm(paths, desc="(a)", unit=" images"):
        with Image.open(path) as image:
            boxes, _, landmarks = mtcnn.detect(image, landmarks=True)
            if boxes is not None:
                mtcnn.extract(image, boxes[:1], None)
        found.append(None if landmarks is None else np.array(landmarks[0], float))
    return found


def detect_in_batches(mtcnn: Any, paths: Sequence[str]) -> None:
    """`MTCNN().detect` on images of one size, 32 at a time."""
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


def speed_table(variants: Mapping[str, Variant], seconds: Mapping[str, list[float]]) -> pd.DataFrame:
    """Return images per second and ratios, medians over rounds."""
    rows = [
        (
            name,
            variant.what,
            _speed(seconds[name]),
            f"{ratio(seconds['(a)'], seconds[name]):.1f}",
            f"{ratio(seconds[name], seconds['(d)']):.1f}",
        )
        for name, variant in variants.items()
    ]
    head = ["", "what", "images/s (min-max)", "times (a)", "times slower than (d)"]
    return pd.DataFrame(rows, columns=head)


def _speed(seconds: Sequence[float]) -> str:
    speeds = [1 / each for each in seconds]
    return f"{statistics.median(speeds):,.0f} ({min(speeds):,.0f}-{max(speeds):,.0f})"


def found_table(sample: pd.DataFrame, theirs: Sequence[np.ndarray | None], crops: CropSet) -> pd.DataFrame:
    """Return the share of images with a face and the median distance of the eyes, by mask state."""
    index = crops.keep(sample["image"]).index
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
    table.insert(0, "images", rows.groupby("mask").size())
    return table.round(3).reset_index()


def _apart(one: np.ndarray | None, other: np.ndarray) -> float:
    """Mean distance of the two eyes, as a share of the eye distance."""
    assert one is not None
    return float(np.hypot(*(one[:2] - other[:2]).T).mean() / np.hypot(*(one[1] - one[0])))


if __name__ == "__main__":
    run(main, Options())
