"""Hashes of the faces of a crop set, made once and kept beside the crops: reading thousands of crops takes a while."""

from contextlib import suppress

import numpy as np
import pandas as pd
from tqdm import tqdm

from shared.atomic import write_text
from shared.audit.lookalikes import LOWEST, Bits, face_hash
from shared.crops import DETECTED, RETRIED, CropSet
from shared.errors import UserError
from shared.labels import MASKS

FILE = "face_hashes.csv"
"""Beside the index of the crops: picture, what its hash was made of and how, and the hash in hexadecimal digits."""

VERSION = 1
"""Of `face_hash`; raised when it would give other bits."""

_BITS = LOWEST * LOWEST - 1


def unmasked_faces(table: pd.DataFrame, crops: CropSet) -> pd.DataFrame:
    """The rows of a training table whose picture shows no mask and in which a face was found."""
    return table[(table["mask"] == MASKS.index("none")).to_numpy() & has_face(crops, table["picture"].tolist())]


def has_face(crops: CropSet, pictures: list[str]) -> np.ndarray:
    """Whether a face was found in each of these pictures, bool (N,): else the crop is a guess."""
    return np.asarray(crops.index["found"].reindex(pictures).isin((DETECTED, RETRIED)))


def face_hashes(crops: CropSet, pictures: list[str]) -> Bits:
    """The hashes (N, 255) of these pictures. Those that are not in the crops' folder yet are added there."""
    made_of = crops.index["fingerprint"].reindex(pictures)
    keys = [f"{VERSION}-{crops.recipe}-{source}" for source in made_of]
    known = _read(crops)
    missing = [place for place, picture in enumerate(pictures) if (picture, keys[place]) not in known]
    read = tqdm(missing, f"hashes of {crops.folder}", unit=" pictures", leave=False, disable=None)
    fresh = {(pictures[place], keys[place]): face_hash(crops.read(pictures[place])) for place in read}
    known |= fresh
    if fresh:
        _write(crops, known)
    bits = [known[each] for each in zip(pictures, keys, strict=True)]
    return np.stack(bits) if bits else np.empty((0, _BITS), np.int8)


Known = dict[tuple[str, str], Bits]
"""Picture and what its hash was made of, to the hash (255,)."""


def _read(crops: CropSet) -> Known:
    """What was kept; nothing where the file is not there or broken, for then it is made again."""
    known: Known = {}
    with suppress(OSError, ValueError, KeyError):
        table = pd.read_csv(crops.folder / FILE, dtype=str, keep_default_na=False)
        for picture, made_of, digits in zip(table["picture"], table["made_of"], table["hash"], strict=True):
            known[picture, made_of] = _bits(digits)
    return known


def _write(crops: CropSet, known: Known) -> None:
    rows = [(picture, made_of, np.packbits(bits > 0).tobytes().hex()) for (picture, made_of), bits in known.items()]
    table = pd.DataFrame(rows, columns=["picture", "made_of", "hash"]).drop_duplicates("picture", keep="last")
    with suppress(UserError):  # Crops may lie where nobody may write; hashes are then made each time.
        write_text(crops.folder / FILE, table.to_csv(index=False, lineterminator="\n"))


def _bits(digits: str) -> Bits:
    packed = np.frombuffer(bytes.fromhex(digits), np.uint8)
    if len(packed) * 8 - _BITS not in range(8):
        raise ValueError(f"{digits} is no hash")
    return np.where(np.unpackbits(packed, count=_BITS) == 1, 1, -1).astype(np.int8)
