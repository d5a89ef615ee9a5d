"""Persons of a training table whose photograph is elsewhere too: among the eval pictures, or in other training data.

Told by the same file, or by the hash of `shared.audit.lookalikes`, so known again after another framing, light or
quality, and mirrored; a person's second photograph is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from shared.audit.hashes import face_hashes, has_face, unmasked_faces
from shared.audit.lookalikes import Bits, mirrored, nearest
from shared.crops import CropSet

ONE_PICTURE = 0.17
"""Share of bits up to which two hashes are taken for those of one picture. More than the label audit takes: a person
left out for nothing costs little, one that is learnt from and held out makes a score too good. Of 3,710 real faces
compared each with each, sixteen pairs are up to 0.11 apart, none is between that and 0.22."""


class Twin(NamedTuple):
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
    return Faces(bare["person"].tolist(), face_hashes(crops, bare["picture"].tolist()))


def asked_faces(crops: CropSet) -> Faces:
    """All eval pictures, whose mask states nobody may know, by picture."""
    pictures = crops.index.index.tolist()
    with_face = crops.index.index[has_face(crops, pictures)].tolist()
    files = {str(made_of): str(picture) for picture, made_of in crops.index["fingerprint"].items() if made_of}
    return Faces(with_face, face_hashes(crops, with_face), files)


def find_twins(table: pd.DataFrame, crops: CropSet, known: Faces, limit: float = ONE_PICTURE) -> dict[str, Twin]:
    """Persons of a training table to the nearest of the known faces, where the two are one photograph.

    `limit` is the share of bits up to which hashes are taken for those of one picture.
    """
    found = [
        (person, Twin(0.0, known.files[made_of]))
        for person, made_of in zip(table["person"], crops.index["fingerprint"].reindex(table["picture"]), strict=True)
        if made_of in known.files
    ]
    own = faces_of(table, crops)
    if own.names and known.names:
        for hashes in (own.hashes, mirrored(own.hashes)):
            apart, places = nearest(hashes, known.hashes)
            found += [
                (own.names[place], Twin(float(apart[place]), known.names[places[place]]))
                for place in (apart <= limit).nonzero()[0]
            ]
    twins: dict[str, Twin] = {}
    for person, twin in found:
        twins[person] = min(twin, twins.get(person, twin))
    return dict(sorted(twins.items()))
