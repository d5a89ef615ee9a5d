"""Near-duplicates: copies of one photograph in the data, found by file fingerprints and perceptual hashes.

The hash is the DCT hash "pHash" (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010) of
the aligned face: the signs of its lowest frequencies. A copy of another size, light, JPEG quality or framing has nearly
the same hash, and the mirror image is compared too. A second photograph of the same person is not a near-duplicate and
is not found.

Hashes are made of the unmasked training images with a detected face, and of all eval images with one, because their
mask states are unknown. All other images are compared by their file fingerprints only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from shared.crops import DETECTED, RETRIED, CropSet
from shared.labels import MASKS

Bits = NDArray[np.int8]
"""Hashes (N, 255) of +1 and -1."""

FACE = (slice(40, 232), slice(32, 224))
"""Rows and columns of the crop that are hashed: brows to chin, with little background."""

SIDE, LOWEST = 64, 16
"""Pixels that the face is reduced to, and frequencies per axis: 16 * 16 bits less the first, which is brightness."""

SAME_IMAGE = 0.17
"""Share of differing bits up to which training takes two hashes for one image. It is higher than in the label audit:
leaving out a person without need costs little, but a person who is both trained on and held out makes a score too
good. Among 3,710 real faces, sixteen pairs are at most 0.11 apart and no other pair is closer than 0.22."""

_BLOCK = 512
"""Hashes compared with all others at a time, to bound memory."""


def face_hash(crop: NDArray[np.uint8]) -> Bits:
    """Return the hash (255,) of an aligned crop, uint8 RGB (256, 256, 3)."""
    grey = cv2.cvtColor(crop[FACE], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    lowest = cv2.dct(small)[:LOWEST, :LOWEST].ravel()[1:]
    return np.where(lowest > np.median(lowest), 1, -1).astype(np.int8)


def mirrored(hashes: Bits) -> Bits:
    """Return the hashes (..., 255) of the mirror images: odd horizontal frequencies change their sign."""
    signs = np.ones((LOWEST, LOWEST), np.int8)
    signs[:, 1::2] = -1
    return (hashes * signs.ravel()[1:]).astype(np.int8)


class Pair(NamedTuple):
    """Two hashes that are nearly the same."""

    distance: float
    """Share of differing bits, 0 to 1; about 0.5 for unrelated images."""
    mirrored: bool
    """Whether `one` resembles the mirror image of `other`."""
    one: int
    other: int


def similar_pairs(hashes: Bits, others: Bits, limit: float) -> list[Pair]:
    """Return the pairs of hashes (N, 255) and others (M, 255) with a distance of at most `limit`, the nearest first."""
    pairs = []
    for turned in (False, True):
        compared = (mirrored(others) if turned else others).astype(np.float32).T
        for start in range(0, len(hashes), _BLOCK):
            # Of +1 and -1 vectors, the scalar product is the number of equal bits less that of differing ones.
            agreement = hashes[start : start + _BLOCK].astype(np.float32) @ compared
            distances = 0.5 - 0.5 * agreement / hashes.shape[1]
            for one, other in np.argwhere(distances <= limit).tolist():
                pairs.append(Pair(float(distances[one, other]), turned, start + one, other))
    return sorted(pairs)


class NearDuplicate(NamedTuple):
    """A known image that shows the same photograph."""

    distance: float
    """Share of bits in which the hashes differ, 0 to 1; 0 for the same file."""
    name: str
    """The name of the known image or person."""


@dataclass(frozen=True)
class KnownFaces:
    """Faces that others are compared with."""

    names: list[str]
    """How messages name them, (N)."""
    hashes: Bits
    """(N, 255)"""
    files: Mapping[str, str]
    """Fingerprints of files, to the names of what they show."""


def training_faces(table: pd.DataFrame, crops: CropSet) -> KnownFaces:
    """Return the unmasked faces of a training table, named by their persons."""
    bare = unmasked_faces(table, crops)
    return KnownFaces(bare["person"].tolist(), _face_hashes(crops, bare["image"].tolist()), {})


def eval_faces(crops: CropSet) -> KnownFaces:
    """Return the faces of all eval images, whose mask states are unknown, named by their images."""
    images = crops.index.index[_has_face(crops, crops.index.index)].tolist()
    files = {str(source): str(image) for image, source in crops.index["fingerprint"].items() if source}
    return KnownFaces(images, _face_hashes(crops, images), files)


def find_near_duplicates(
    table: pd.DataFrame, crops: CropSet, known: KnownFaces, limit: float = SAME_IMAGE
) -> dict[str, NearDuplicate]:
    """Return the persons of a training table that have a near-duplicate among the known faces, with the nearest one.

    `limit` is the share of differing bits, 0 to 1, up to which two hashes are taken for one image.
    """
    sources = crops.index["fingerprint"].reindex(table["image"])
    found = [
        (person, NearDuplicate(0.0, known.files[source]))
        for person, source in zip(table["person"], sources, strict=True)
        if source in known.files
    ]
    own = training_faces(table, crops)
    for pair in similar_pairs(own.hashes, known.hashes, limit):
        found.append((own.names[pair.one], NearDuplicate(pair.distance, known.names[pair.other])))
    # In descending order the nearest of each person comes last and stays.
    nearest = dict(sorted(found, reverse=True))
    return dict(sorted(nearest.items()))


def find_duplicate_persons(table: pd.DataFrame, crops: CropSet, limit: float) -> pd.DataFrame:
    """Return pairs of persons of a training table that are probably one person under two ids, the surest first.

    Columns: id, other, how ("same file", "look alike" or "look alike, mirrored"), distance (share of differing bits),
    image, other_image, gender ("same" or "differs"), years_apart. A pair is listed once, with its nearest images.
    """
    columns = ["id", "other", "how", "distance", "image", "other_image"]
    found = pd.DataFrame([*_same_files(table, crops), *_alike(table, crops, limit)], columns=columns)
    found = found.sort_values(["distance", "how", "id", "other"], kind="stable").drop_duplicates(["id", "other"])
    persons = table.drop_duplicates("person").set_index("person")
    one, other = (persons.loc[found[name]] for name in ("id", "other"))
    return found.assign(
        gender=np.where(one["gender"].to_numpy() == other["gender"].to_numpy(), "same", "differs"),
        years_apart=np.abs(one["age"].to_numpy() - other["age"].to_numpy()),
    ).reset_index(drop=True)


_Found = tuple[str, str, str, float, str, str]


def _same_files(table: pd.DataFrame, crops: CropSet) -> list[_Found]:
    known = table.assign(source=crops.index["fingerprint"].reindex(table["image"]).fillna("").to_numpy())
    rows: list[_Found] = []
    for _, same in known[known["source"] != ""].groupby("source", sort=False):
        first, *others = same.drop_duplicates("person").sort_values("person").to_dict("records")
        rows += [(first["person"], each["person"], "same file", 0.0, first["image"], each["image"]) for each in others]
    return rows


def _alike(table: pd.DataFrame, crops: CropSet, limit: float) -> list[_Found]:
    bare = unmasked_faces(table, crops)
    hashes = _face_hashes(crops, bare["image"].tolist())
    images = list(zip(bare["person"], bare["image"], strict=True))
    rows: list[_Found] = []
    for pair in similar_pairs(hashes, hashes, limit):
        (person, image), (other, other_image) = images[pair.one], images[pair.other]
        # Every pair comes twice, once from each side; images also match themselves.
        if person < other:
            how = "look alike, mirrored" if pair.mirrored else "look alike"
            rows.append((person, other, how, pair.distance, image, other_image))
    return rows


def unmasked_faces(table: pd.DataFrame, crops: CropSet) -> pd.DataFrame:
    """Return the rows of a training table whose image shows no mask and has a detected face."""
    return table[(table["mask"] == MASKS.index("none")).to_numpy() & _has_face(crops, table["image"])]


def _has_face(crops: CropSet, images: "pd.Series[str] | pd.Index[str]") -> NDArray[np.bool_]:
    return np.asarray(crops.index["found"].reindex(images).isin((DETECTED, RETRIED)))


def _face_hashes(crops: CropSet, images: list[str]) -> Bits:
    """Return the hashes (N, 255) of images."""
    named = tqdm(images, f"hashes of {crops.folder}", unit=" images", leave=False, disable=None)
    hashes = [face_hash(crops.read(image)) for image in named]
    return np.stack(hashes) if hashes else np.empty((0, LOWEST * LOWEST - 1), np.int8)
