"""Compare alignment by two eyes and by five points under a mask, with our landmarks and facenet-pytorch's.

    python benchmarks/alignment.py                                  # drawn portraits
    python benchmarks/alignment.py --data FOLDER                    # photographs with drawn masks

A masked crop should show the same section as the bare one. If the images of a person were made from one photograph,
matching points (SIFT, RANSAC) give the similarity transform, possibly mirrored, from the bare image to the masked one,
and so the true landmarks under the mask. Pairs without one are left out and counted. Landmarks of drawn portraits are
known.

The error of an alignment is the distance, in pixels of the 256-pixel crop, between the position that it gives to a
point of the face and the position given by the same alignment with true landmarks.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from machine import describe
from tqdm import tqdm

from shared.commands import run
from shared.crops import EYES
from shared.faces.alignment import eye_transform, find_faces
from shared.faces.image_io import DecodedImage, decode
from shared.faces.mtcnn_nets import load_detector
from shared.labels import MASKS, NORMAL, mask_of
from shared.manifest import load_training, split_folder
from shared.messages import UserError
from shared.portraits import draw_person

FIVE = np.array([*EYES, (128.2, 148.6), (101.9, 186.0), (154.9, 185.7)])
"""The five points that ArcFace aligns to (Deng et al. 2019), scaled so that the eyes come to lie at `EYES`."""

PLACES = {"eyes": np.array(EYES), "forehead": np.array([(128.0, 54.0)]), "chin": np.array([(128.0, 221.0)])}
"""Points at which the error is measured, in crop pixels."""

MIRRORED = [1, 0, 2, 4, 3]
MATCHES = 12
"""Matching points that a transform needs."""


@dataclass(frozen=True)
class Options:
    """Measure the error of the alignment under a mask."""

    data: Path | None = None
    """A competition folder whose images of a person come from one photograph; drawn portraits if omitted."""

    people: int = 40
    """Number of persons."""


class Case(NamedTuple):
    """An image, and the true landmarks (5, 2) by detector."""

    state: str
    pixels: np.ndarray
    truth: dict[str, np.ndarray]


class Detectors:
    """Both detectors."""

    def __init__(self) -> None:
        from facenet_pytorch import MTCNN

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About torch.load and pickles.
            self.mtcnn: Any = MTCNN()

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the landmarks (5, 2) by detector; empty unless both found a face."""
        _, _, landmarks = self.mtcnn.detect(pixels, landmarks=True)
        face = find_faces([DecodedImage(pixels, pixels.shape[1], pixels.shape[0])], load_detector("cpu"))[0]
        if landmarks is None or face is None:
            return {}
        return {"facenet-pytorch": np.array(landmarks[0], float), "face18": face.landmarks.astype(float)}


def main(options: Options) -> None:
    """Measure, and print a table by mask state."""
    detectors = Detectors()
    cases = drawn(options.people) if options.data is None else photographs(options.data, options.people, detectors)
    rows: list[dict[str, Any]] = []
    undecided = 0
    for case in cases:
        found = detectors(case.pixels)
        undecided += not (found and case.truth)
        for detector in found if case.truth else ():
            for method in (two_eyes, five_points):
                name = f"{detector}, {method.__name__.replace('_', ' ')}"
                rows.append(
                    {"mask": case.state, "landmarks, alignment": name}
                    | errors(method, found[detector], case.truth[detector])
                )
    if not rows:
        raise UserError(f"--data {options.data}: no person with a bare and a masked image made from one photograph")
    print(describe("facenet-pytorch", "opencv-python-headless"))
    print(f"{options.people} persons; {undecided} images left out: a detector found no face, or no transform was found")
    print(table(pd.DataFrame(rows)).to_string(index=False))


def drawn(people: int) -> Iterator[Case]:
    """Yield drawn portraits with their landmarks."""
    for number in tqdm(range(people), unit=" persons"):
        age, female = 18 + number * 37 % 57, number % 2 == 0
        for portrait in draw_person(age, female, np.random.SeedSequence((7, number))):
            truth = portrait.landmarks.astype(float)
            yield Case(MASKS[mask_of(portrait.kind)], portrait.pixels, {"facenet-pytorch": truth, "face18": truth})


def photographs(data: Path, people: int, detectors: Detectors) -> Iterator[Case]:
    """Yield masked images with the landmarks detected in the bare one, carried over."""
    persons = list(load_training(split_folder(data, "train")).groupby("person", sort=False))[:people]
    for _, images in tqdm(persons, unit=" persons"):
        bare = images[images["kind"] == NORMAL]["path"]
        if bare.empty:
            continue
        pixels = decode(Path(bare.iloc[0]).read_bytes()).pixels
        landmarks = detectors(pixels)
        for row in images[images["kind"] != NORMAL].itertuples():
            masked = decode(Path(str(row.path)).read_bytes()).pixels
            yield Case(MASKS[mask_of(str(row.kind))], masked, carry_over(landmarks, pixels, masked))


def carry_over(landmarks: dict[str, np.ndarray], bare: np.ndarray, masked: np.ndarray) -> dict[str, np.ndarray]:
    """Map the bare image's landmarks to the masked one; empty if the images do not match."""
    straight, mirrored = _register(bare, masked), _register(bare[:, ::-1], masked)
    if max(straight[0], mirrored[0]) < MATCHES:
        return {}
    if straight[0] >= mirrored[0]:
        return {name: cv2.transform(points[None], straight[1])[0] for name, points in landmarks.items()}
    flip = np.array([bare.shape[1] - 1, 0]), np.array([-1, 1])
    turned = {name: (flip[0] + flip[1] * points)[MIRRORED] for name, points in landmarks.items()}
    return {name: cv2.transform(points[None], mirrored[1])[0] for name, points in turned.items()}


def _register(one: np.ndarray, other: np.ndarray) -> tuple[int, np.ndarray]:
    """Return the number of points that agree on a similarity from `one` to `other`, and that transform, 2x3."""
    sift = cv2.SIFT.create(1500, contrastThreshold=0.01)
    greys = [cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY) for pixels in (one, other)]
    (points, what), (others, whats) = (sift.detectAndCompute(grey, None) for grey in greys)
    if what is None or whats is None or len(whats) < 2:
        return 0, np.eye(2, 3)
    pairs = cv2.BFMatcher().knnMatch(what, whats, k=2)
    good = [best for best, second in pairs if best.distance < 0.8 * second.distance]
    if len(good) < MATCHES:
        return 0, np.eye(2, 3)
    source = np.array([points[match.queryIdx].pt for match in good])
    target = np.array([others[match.trainIdx].pt for match in good])
    transform, agree = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=2, maxIters=5000)
    return (0, np.eye(2, 3)) if transform is None else (int(agree.sum()), transform)


def two_eyes(landmarks: np.ndarray) -> np.ndarray:
    """Align as the crop stage does."""
    return eye_transform(landmarks[:2])


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Return the least-squares similarity of all five points to `FIVE` (in complex numbers a*z + b)."""
    z, w = (points @ [1, 1j] for points in (landmarks, FIVE))
    (a, b), *_ = np.linalg.lstsq(np.stack([z, np.ones(5)], 1), w)
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def errors(method: Any, landmarks: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the error in crop pixels, by place."""
    right = method(truth)
    back = cv2.invertAffineTransform(right)
    shown = {
        name: cv2.transform(cv2.transform(points[None], back), method(landmarks))[0] for name, points in PLACES.items()
    }
    return {name: float(np.hypot(*(shown[name] - points).T).mean()) for name, points in PLACES.items()}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return medians and 90th percentiles of the errors."""
    groups = rows.groupby(["mask", "landmarks, alignment"], sort=False)
    result = pd.DataFrame({"images": groups.size()})
    for name in PLACES:
        result[f"{name} median"] = groups[name].median().round(1)
        result[f"{name} p90"] = groups[name].quantile(0.9).round(1)
    return result.reset_index().sort_values(["mask", "landmarks, alignment"])


if __name__ == "__main__":
    run(main, Options())
