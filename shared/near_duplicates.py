"""Images that are nearly the same, told by a perceptual hash of the aligned face.

The signs of the lowest frequencies of a cosine transform: Zauner, "Implementation and Benchmarking of Perceptual Image
Hash Functions", 2010. They outlast another size, another light and another JPEG quality. On an aligned crop they also
outlast another framing, and the mirror image can be asked for too.

Hashes of the faces of a crop set, made once and kept beside the crops: reading thousands of crops takes a while.

Persons of a training table whose photograph is elsewhere too: among the eval images, or in other training data.

Told by the same file, or by the hash of `shared.audit.lookalikes`, so known again after another framing, light or
quality, and mirrored; a person's second photograph is not.

Persons under two ids: the same file under both, or unmasked faces that are nearly the same image.

An image is recognised again after another framing, light or quality, not a face on another photograph. Persons whose
unmasked image shows no face, or whom the images do not show unmasked, are compared by their files alone.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from shared.crops import DETECTED, RETRIED, CropSet
from shared.files import write_text
from shared.labels import MASKS
from shared.messages import UserError

Bits = NDArray[np.int8]
Distances = NDArray[np.float32]

_ROWS = 512
"""Hashes are compared with all others so many at a time: all with all may be more than memory holds."""

FACE = (slice(40, 232), slice(32, 224))
"""Rows and columns of the crop that are hashed: brows to chin, with little of what is behind the head."""

SIDE = 64
"""Pixels that the face is reduced to."""

LOWEST = 16
"""So many frequencies each way, so 256 bits less the first, which is brightness."""


class Likeness(NamedTuple):
    """Two places in a list of images, and how far apart they are."""

    one: int
    other: int
    distance: float
    """Share of bits that differ, 0-1: 0 for copies, about a half for what has nothing in common."""
    mirrored: bool


def face_hash(crop: NDArray[np.uint8]) -> Bits:
    """The hash (255,) of an aligned crop, uint8 RGB (256, 256, 3): +1 and -1."""
    grey = cv2.cvtColor(crop[FACE], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    lowest = cv2.dct(small)[:LOWEST, :LOWEST].ravel()[1:]
    return np.where(lowest > np.median(lowest), 1, -1).astype(np.int8)


def mirrored(bits: Bits) -> Bits:
    """The hash of the mirror image: odd horizontal frequencies change their sign."""
    signs = np.ones((LOWEST, LOWEST), np.int8)
    signs[:, 1::2] = -1
    return (bits * signs.ravel()[1:]).astype(np.int8)


def distances(hashes: Bits, others: Bits) -> Distances:
    """Share of bits that differ (N, M), of hashes (N, 255) and others (M, 255)."""
    same = hashes.astype(np.float32) @ others.astype(np.float32).T
    return 0.5 - 0.5 * same / hashes.shape[1]


def nearest(hashes: Bits, others: Bits) -> tuple[Distances, NDArray[np.int64]]:
    """For each of the hashes (N, 255) the distance of the nearest of the others (M, 255), M > 0, and its place."""
    found = np.zeros(len(hashes), np.float32), np.zeros(len(hashes), np.int64)
    for start in range(0, len(hashes), _ROWS):
        rows = slice(start, start + _ROWS)
        apart = distances(hashes[rows], others)
        found[0][rows], found[1][rows] = apart.min(axis=1), apart.argmin(axis=1)
    return found


def find_similar_pairs(hashes: Bits, limit: float) -> list[Likeness]:
    """The pairs among hashes (N, 255) no further apart than `limit`, as they are or mirrored; nearest first."""
    found = []
    for turned in (False, True):
        others = mirrored(hashes) if turned else hashes
        for start in range(0, len(hashes), _ROWS):
            apart = distances(hashes[start : start + _ROWS], others)
            one, other = np.nonzero(np.triu(apart <= limit, k=start + 1))
            found += [
                Likeness(start + int(i), int(j), float(apart[i, j]), turned) for i, j in zip(one, other, strict=True)
            ]
    return sorted(found, key=lambda pair: (pair.distance, pair.mirrored))


FILE = "face_hashes.csv"
"""Beside the index of the crops: image, what its hash was made of and how, and the hash in hexadecimal digits."""

VERSION = 1
"""Of `face_hash`; raised when it would give other bits."""

_BITS = LOWEST * LOWEST - 1


def unmasked_faces(table: pd.DataFrame, crops: CropSet) -> pd.DataFrame:
    """The rows of a training table whose image shows no mask and in which a face was found."""
    return table[(table["mask"] == MASKS.index("none")).to_numpy() & has_face(crops, table["image"].tolist())]


def has_face(crops: CropSet, images: list[str]) -> np.ndarray:
    """Whether a face was found in each of these images, bool (N,): else the crop is a guess."""
    return np.asarray(crops.index["found"].reindex(images).isin((DETECTED, RETRIED)))


def face_hashes(crops: CropSet, images: list[str]) -> Bits:
    """The hashes (N, 255) of these images. Those that are not in the crops' folder yet are added there."""
    made_of = crops.index["fingerprint"].reindex(images)
    keys = [f"{VERSION}-{crops.recipe}-{source}" for source in made_of]
    known = _read(crops)
    missing = [place for place, image in enumerate(images) if (image, keys[place]) not in known]
    read = tqdm(missing, f"hashes of {crops.folder}", unit=" images", leave=False, disable=None)
    fresh = {(images[place], keys[place]): face_hash(crops.read(images[place])) for place in read}
    known |= fresh
    if fresh:
        _write(crops, known)
    bits = [known[each] for each in zip(images, keys, strict=True)]
    return np.stack(bits) if bits else np.empty((0, _BITS), np.int8)


Known = dict[tuple[str, str], Bits]
"""Image and what its hash was made of, to the hash (255,)."""


def _read(crops: CropSet) -> Known:
    """What was kept; nothing where the file is not there or broken, for then it is made again."""
    known: Known = {}
    with suppress(OSError, ValueError, KeyError):
        table = pd.read_csv(crops.folder / FILE, dtype=str, keep_default_na=False)
        for image, made_of, digits in zip(table["image"], table["made_of"], table["hash"], strict=True):
            known[image, made_of] = _bits(digits)
    return known


def _write(crops: CropSet, known: Known) -> None:
    rows = [(image, made_of, np.packbits(bits > 0).tobytes().hex()) for (image, made_of), bits in known.items()]
    table = pd.DataFrame(rows, columns=["image", "made_of", "hash"]).drop_duplicates("image", keep="last")
    with suppress(UserError):  # Crops may lie where nobody may write; hashes are then made each time.
        write_text(crops.folder / FILE, table.to_csv(index=False, lineterminator="\n"))


def _bits(digits: str) -> Bits:
    packed = np.frombuffer(bytes.fromhex(digits), np.uint8)
    if len(packed) * 8 - _BITS not in range(8):
        raise ValueError(f"{digits} is no hash")
    return np.where(np.unpackbits(packed, count=_BITS) == 1, 1, -1).astype(np.int8)


ONE_IMAGE = 0.17
"""Share of bits up to which two hashes are taken for those of one image. More than the label audit takes: a person
left out for nothing costs little, one that is learnt from and held out makes a score too good. Of 3,710 real faces
compared each with each, sixteen pairs are up to 0.11 apart, none is between that and 0.22."""


class NearDuplicate(NamedTuple):
    """What is the same photograph as one of a person's."""

    distance: float
    """Share of bits in which their hashes differ, 0 to 1; 0 for one file."""
    name: str


@dataclass(frozen=True)
class Faces:
    """Faces to be compared with."""

    names: list[str]
    """Whose they are, as messages tell it, (N)."""
    hashes: Bits
    """(N, 255)"""
    files: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of files, to the names of what they show."""


def faces_of(table: pd.DataFrame, crops: CropSet) -> Faces:
    """The unmasked faces of a training table, by person."""
    bare = unmasked_faces(table, crops)
    return Faces(bare["person"].tolist(), face_hashes(crops, bare["image"].tolist()))


def asked_faces(crops: CropSet) -> Faces:
    """All eval images, whose mask states nobody may know, by image."""
    images = crops.index.index.tolist()
    with_face = crops.index.index[has_face(crops, images)].tolist()
    files = {str(made_of): str(image) for image, made_of in crops.index["fingerprint"].items() if made_of}
    return Faces(with_face, face_hashes(crops, with_face), files)


def find_near_duplicates(
    table: pd.DataFrame, crops: CropSet, known: Faces, limit: float = ONE_IMAGE
) -> dict[str, NearDuplicate]:
    """Persons of a training table to the nearest of the known faces, where the two are one photograph.

    `limit` is the share of bits up to which hashes are taken for those of one image.
    """
    found = [
        (person, NearDuplicate(0.0, known.files[made_of]))
        for person, made_of in zip(table["person"], crops.index["fingerprint"].reindex(table["image"]), strict=True)
        if made_of in known.files
    ]
    own = faces_of(table, crops)
    if own.names and known.names:
        for hashes in (own.hashes, mirrored(own.hashes)):
            apart, places = nearest(hashes, known.hashes)
            found += [
                (own.names[place], NearDuplicate(float(apart[place]), known.names[places[place]]))
                for place in (apart <= limit).nonzero()[0]
            ]
    twins: dict[str, NearDuplicate] = {}
    for person, twin in found:
        twins[person] = min(twin, twins.get(person, twin))
    return dict(sorted(twins.items()))


SAME_FILE, LOOK_ALIKE, MIRRORED = "same file", "look alike", "look alike, mirrored"

COLUMNS = ("id", "other", "how", "distance", "image", "other_image", "gender", "years_apart")
"""Of a table of pairs: two persons, how they were found, the share of bits in which hashes of their images differ,
those images (ids of the manifest), whether the labels of gender agree, and how far those of age are apart."""


def find_duplicates(table: pd.DataFrame, crops: CropSet, limit: float) -> pd.DataFrame:
    """Pairs of persons of a training table that are probably one, the surest first; columns as in `COLUMNS`.

    `limit` is the share of bits, 0-1, up to which two hashes are taken for those of one image. Each pair of persons
    is told once, by its nearest images.
    """
    found = pd.DataFrame([*_same_files(table, crops), *_alike(table, crops, limit)], columns=list(COLUMNS[:6]))
    found = found.sort_values(["distance", "how", "id", "other"], kind="stable").drop_duplicates(["id", "other"])
    persons = table.drop_duplicates("person").set_index("person")
    one, other = (persons.loc[found[name]] for name in ("id", "other"))
    return found.assign(
        gender=np.where(one["gender"].to_numpy() == other["gender"].to_numpy(), "same", "differs"),
        years_apart=np.abs(one["age"].to_numpy() - other["age"].to_numpy()),
    ).reset_index(drop=True)


Found = tuple[str, str, str, float, str, str]
"""The first six of `COLUMNS`."""


def _same_files(table: pd.DataFrame, crops: CropSet) -> list[Found]:
    prints = crops.index["fingerprint"].reindex(table["image"])
    known = table.assign(fingerprint=prints.to_numpy())
    known = known[known["fingerprint"].notna() & (known["fingerprint"] != "")]
    rows: list[Found] = []
    for _, same in known.groupby("fingerprint", sort=False):
        first, *others = same.drop_duplicates("person").sort_values("person").to_dict("records")
        rows += [(first["person"], other["person"], SAME_FILE, 0.0, first["image"], other["image"]) for other in others]
    return rows


def _alike(table: pd.DataFrame, crops: CropSet, limit: float) -> list[Found]:
    bare = unmasked_faces(table, crops)
    hashes = face_hashes(crops, bare["image"].tolist())
    persons = bare[["person", "image"]].to_dict("records")
    rows: list[Found] = []
    for pair in find_similar_pairs(hashes, limit):
        one, other = sorted((persons[pair.one], persons[pair.other]), key=lambda row: row["person"])
        if one["person"] != other["person"]:
            how = MIRRORED if pair.mirrored else LOOK_ALIKE
            rows.append((one["person"], other["person"], how, pair.distance, one["image"], other["image"]))
    return rows
