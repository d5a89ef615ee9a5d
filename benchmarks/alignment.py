"""Does the alignment hold under a mask? Two eyes against five points, our landmarks against facenet-pytorch's.

    python benchmarks/alignment.py                                  # drawn portraits
    python benchmarks/alignment.py --data ../shared/data/faces      # photographs with drawn masks, one source a person

A crop is right when it shows under the mask what it shows of the bare face. Where the images of a person were made
from one photograph, points that match all over the images (SIFT, RANSAC) give the similarity transform, perhaps a
mirrored one, that takes the bare image to the masked one, and with it the bare landmarks to their true places under
the mask; pairs for which none is found are left out and counted. Of drawn portraits the landmarks are known.

The error of an alignment is the distance, in pixels of the 256-pixel crop, between where it puts a point of the face
and where the same kind of alignment puts it by the true landmarks.
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
"""Where the error is measured, in crop pixels."""

MIRRORED = [1, 0, 2, 4, 3]
MATCHES = 12
"""Points that must agree on a transform."""


@dataclass(frozen=True)
class Options:
    """Measure how far off the crop is under a mask."""

    data: Path | None = None
    """A competition folder whose images of a person come from one photograph; drawn portraits when not given."""

    people: int = 40
    """So many persons."""


class Case(NamedTuple):
    """An image, and by detector the landmarks that are right, shape (5, 2)."""

    state: str
    pixels: np.ndarray
    truth: dict[str, np.ndarray]


class Detectors:
    """Landmarks of an image, shape (5, 2), or None, by both."""

    def __init__(self) -> None:
        from facenet_pytorch import MTCNN

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.load's word on pickles.
            self.mtcnn: Any = MTCNN()

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """By name; empty unless both found a face."""
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
    """Portraits drawn for this, with the landmarks of the drawing."""
    for number in tqdm(range(people), unit=" persons"):
        age, female = 18 + number * 37 % 57, number % 2 == 0
        for portrait in draw_person(age, female, np.random.SeedSequence((7, number))):
            truth = portrait.landmarks.astype(float)
            yield Case(MASKS[mask_of(portrait.kind)], portrait.pixels, {"facenet-pytorch": truth, "face18": truth})


def photographs(data: Path, people: int, detectors: Detectors) -> Iterator[Case]:
    """Masked images; right is what the detectors say of the bare one, carried over."""
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
    """The bare image's landmarks in the masked one; empty where the images do not match."""
    straight, mirrored = _register(bare, masked), _register(bare[:, ::-1], masked)
    if max(straight[0], mirrored[0]) < MATCHES:
        return {}
    if straight[0] >= mirrored[0]:
        return {name: cv2.transform(points[None], straight[1])[0] for name, points in landmarks.items()}
    flip = np.array([bare.shape[1] - 1, 0]), np.array([-1, 1])
    turned = {name: (flip[0] + flip[1] * points)[MIRRORED] for name, points in landmarks.items()}
    return {name: cv2.transform(points[None], mirrored[1])[0] for name, points in turned.items()}


def _register(one: np.ndarray, other: np.ndarray) -> tuple[int, np.ndarray]:
    """How many points agree on a similarity from `one` to `other`, and that transform, 2x3."""
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
    """What the crop stage does."""
    return eye_transform(landmarks[:2])


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """The similarity that brings all five nearest to `FIVE` (least squares, in complex numbers a*z + b)."""
    z, w = (points @ [1, 1j] for points in (landmarks, FIVE))
    (a, b), *_ = np.linalg.lstsq(np.stack([z, np.ones(5)], 1), w)
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def errors(method: Any, landmarks: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Crop pixels by place."""
    right = method(truth)
    back = cv2.invertAffineTransform(right)
    shown = {
        name: cv2.transform(cv2.transform(points[None], back), method(landmarks))[0] for name, points in PLACES.items()
    }
    return {name: float(np.hypot(*(shown[name] - points).T).mean()) for name, points in PLACES.items()}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Median and 90th percentile of the errors."""
    groups = rows.groupby(["mask", "landmarks, alignment"], sort=False)
    result = pd.DataFrame({"images": groups.size()})
    for name in PLACES:
        result[f"{name} median"] = groups[name].median().round(1)
        result[f"{name} p90"] = groups[name].quantile(0.9).round(1)
    return result.reset_index().sort_values(["mask", "landmarks, alignment"])


if __name__ == "__main__":
    run(main, Options())
