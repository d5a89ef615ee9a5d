"""Count the faces found in groups, portraits with a second face, and portraits that are turned upright.

    python benchmarks/group_faces.py --portraits data/sample/eval/images --every 3

A group is four portraits pasted into one image. Second faces in portraits are listed, because they may be real.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from shared.commands import run
from shared.faces.image_io import decode
from shared.faces.mtcnn_nets import load_detector
from shared.predictor.detect import detect_faces, turn

SIZE = (300, 400)
"""Width and height of a pasted portrait."""


@dataclass(frozen=True)
class Options:
    """Count faces in portraits and in groups pasted from them."""

    portraits: Path = Path("data/sample/eval/images")
    """A folder of photographs of one person each."""
    every: int = 1
    """Take every n-th of the sorted files."""
    first: int = 0
    """Index of the first file."""


def main(options: Options) -> None:
    print(describe())
    detector = load_detector("cpu")
    files = sorted(file for file in options.portraits.rglob("*") if file.is_file())[options.first :: options.every]
    second = 0
    for file in tqdm(files, unit=" portraits"):
        others = [face for face in detect_faces([file], detector)[0].faces if not face.main]
        second += bool(others)
        for face in others:
            print(f"{file}: second face {face.box.round().tolist()}, {face.probability:.2f}")
    print(f"{len(files):,} portraits: {second} with a second face")
    for degrees in (0, 90, 180, 270):
        detected = (
            detect_faces([turn(decode(file.read_bytes()).pixels, degrees)], detector, "main")[0] for file in files
        )
        upright = sum((photograph.turned + degrees) % 360 == 0 for photograph in detected)
        print(f"turned {degrees} degrees: {upright} of {len(files)} seen upright", flush=True)
    groups = list(paste(files))
    found = [min(4, len(detect_faces([group], detector)[0].faces)) for group in tqdm(groups, unit=" groups")]
    print(f"{len(groups):,} groups of four: {sum(found)} of {4 * len(groups)} faces found")


def paste(files: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    """Yield groups of four, in two rows."""
    mixed = random.Random(0).sample(files, len(files))
    for at in range(0, len(mixed) - 3, 4):
        first, second, third, fourth = (read_small(file) for file in mixed[at : at + 4])
        yield np.vstack([np.hstack([first, second]), np.hstack([third, fourth])])


def read_small(file: Path) -> NDArray[np.uint8]:
    """Read a portrait in the size that is pasted."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize(SIZE))


if __name__ == "__main__":
    run(main, Options())
