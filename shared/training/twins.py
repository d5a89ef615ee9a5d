"""Persons of an extra folder whose photograph is in the base data too, under another id and perhaps made anew.

A held-out person, or one of the eval pictures, would else be learnt from. Told by the hash of
`shared.audit.lookalikes`, so known again after another framing, light or quality; a person's second photograph is not.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from shared.audit.hashes import face_hashes, has_face, unmasked_faces
from shared.audit.lookalikes import Bits, distances, mirrored
from shared.crops import INDEX, CropSet, open_crops
from shared.manifest import split_folders
from shared.training.folders import crop_folder
from shared.training.options import TrainOptions
from shared.wording import counted

ONE_PICTURE = 0.17
"""Share of bits up to which two hashes are taken for those of one picture. More than the label audit takes: a person
left out for nothing costs little, one that is learnt from and held out makes a score too good. Of 3,710 real faces
compared each with each, sixteen pairs are up to 0.11 apart, none is between that and 0.22."""

MOST = 8
"""So many are told by name."""


class Faces(NamedTuple):
    """Faces by their hashes."""

    names: list[str]
    """Whose they are, as messages tell it."""
    hashes: Bits
    """(N, 255)"""


def faces_of(table: pd.DataFrame, crops: CropSet) -> Faces:
    """The unmasked faces of a training table."""
    bare = unmasked_faces(table, crops)
    return Faces(bare["person"].tolist(), face_hashes(crops, bare["picture"].tolist()))


def faces_that_may_be_held_out(table: pd.DataFrame, crops: CropSet, options: TrainOptions) -> Faces:
    """The unmasked faces of the base data, and all of its eval pictures, whose mask states nobody may know.

    Those of eval are known where their crops have been made, as they are wherever eval is answered for.
    """
    learnt = faces_of(table, crops)
    if "eval" not in split_folders(options.data):
        return learnt
    folder = crop_folder(options.crops, options.data, "eval")
    if not (folder / INDEX).exists():
        return learnt
    asked = open_crops(folder)
    pictures = asked.index.index[has_face(asked, asked.index.index.tolist())].tolist()
    hashes = np.concatenate([learnt.hashes, face_hashes(asked, pictures)])
    return Faces([*learnt.names, *(f"eval's {picture}" for picture in pictures)], hashes)


def find_twins(table: pd.DataFrame, crops: CropSet, known: Faces) -> dict[str, str]:
    """Persons of a training table to the nearest of the known faces, where the two are one photograph."""
    own = faces_of(table, crops)
    if not (own.names and known.names):
        return {}
    twins: dict[str, tuple[float, str]] = {}
    for hashes in (own.hashes, mirrored(own.hashes)):
        apart = distances(hashes, known.hashes)
        nearest = apart.argmin(axis=1)
        for place in (apart.min(axis=1) <= ONE_PICTURE).nonzero()[0]:
            found = float(apart[place, nearest[place]]), known.names[nearest[place]]
            twins[own.names[place]] = min(found, twins.get(own.names[place], found))
    return {person: name for person, (_, name) in sorted(twins.items())}


def tell(folder: Path, twins: dict[str, str]) -> None:
    """One line on stderr, where there are any."""
    if twins:
        shown = [f"{person} is {name}" for person, name in list(twins.items())[:MOST]]
        print(
            f"--extra {folder}: {counted(len(twins), 'person')} left out, whose photograph --data has too: "
            f"{', '.join(shown)}{', ...' if len(twins) > MOST else ''}",
            file=sys.stderr,
        )
