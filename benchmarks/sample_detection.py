"""Measure how often facenet-pytorch's MTCNN finds the drawn faces, the error of its eyes, and the drawing time.

    python benchmarks/sample_detection.py --people 100

Thresholds are MTCNN's defaults. Milliseconds are CPU time of one core, including the JPEG.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

import cv2
import joblib
import numpy as np
import pandas as pd
import torch
from facenet_pytorch import MTCNN
from PIL import Image
from tqdm import tqdm

from shared import labels
from shared.commands import run
from shared.portraits import Portrait, draw_person
from shared.sample_data import Options as SampleOptions
from shared.sample_data import encode, plan_training
from shared.tracking import provenance


@dataclass(frozen=True)
class Options:
    """Measure detection shares and drawing time of the sample portraits."""

    people: int = 100
    "Persons, seven images each."
    seed: int = 0
    "Seed of the sample; its training persons are drawn."
    min_face_size: int = 20
    "Smallest face in pixels: 20 is MTCNN's default, 60 is enough for portraits and faster."


def main(options: Options) -> None:
    """Draw, detect, print."""
    cv2.setNumThreads(1)
    torch.set_num_threads(joblib.cpu_count())
    rows: list[dict[str, object]] = []
    drawing_times = []
    detector = MTCNN(keep_all=True, min_face_size=options.min_face_size)
    sittings = plan_training(SampleOptions(people=options.people, seed=options.seed))
    for sitting in tqdm(sittings, unit="person"):
        start = time.process_time()
        portraits = list(draw_person(sitting.age, sitting.female, np.random.SeedSequence(sitting.seed)))
        for portrait in portraits:
            encode(portrait.pixels)
        drawing_times.append((time.process_time() - start) / len(portraits))
        rows += detections(detector, portraits)
    report(pd.DataFrame(rows), np.array(drawing_times) * 1000, options)


def detections(detector: MTCNN, portraits: list[Portrait]) -> Iterator[dict[str, object]]:
    """Yield one row per image: mask state, number of faces, probability and eye error of the most probable one."""
    images = [Image.fromarray(portrait.pixels) for portrait in portraits]
    found = detector.detect(images, landmarks=True)
    for portrait, boxes, probabilities, points in zip(portraits, *found, strict=True):
        row: dict[str, object] = {"mask": labels.MASKS[labels.mask_of(portrait.kind)], "found": boxes is not None}
        if boxes is not None:
            eyes, truth = points[int(np.argmax(probabilities))][:2].astype(float), portrait.landmarks[:2]
            row["faces"], row["probability"] = len(boxes), float(np.max(probabilities))
            row["eye_error"] = np.linalg.norm(eyes - truth, axis=1).mean() / np.linalg.norm(truth[1] - truth[0])
        yield row


def report(table: pd.DataFrame, milliseconds: np.ndarray, options: Options) -> None:
    """Print one line per mask state, the time, the machine and the versions."""
    print(f"\n{options.people} persons, seed {options.seed}, min_face_size {options.min_face_size}")
    print("mask        images   found   share   more than one face   probability   eye error / eye distance")
    for name, group in table.groupby("mask", sort=False):
        several, seen = (group.faces > 1).sum(), group.found.sum()
        print(
            f"{name!s:10} {len(group):9} {seen:7} {group.found.mean():7.1%} {several:20} "
            f"{group.probability.mean():13.3f} {group.eye_error.mean():25.3f}"
        )
    print(f"{milliseconds.mean():.0f} ms of one core per image (slowest person {milliseconds.max():.0f})")
    about = provenance()
    print(f"{about['machine']}, {joblib.cpu_count()} cores, Python {about['python']}, ", end="")
    print(
        ", ".join(f"{name} {version(name)}" for name in ("numpy", "opencv-python-headless", "torch", "facenet-pytorch"))
    )


if __name__ == "__main__":
    run(main, Options())
