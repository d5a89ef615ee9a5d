"""Persons of an extra folder whose photograph is in the base data too, under another id and perhaps made anew.

A held-out person, or one of the eval pictures, would else be learnt from.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from shared.audit.twins import Faces, Twin, asked_faces, faces_of
from shared.crops import INDEX, CropSet, open_crops
from shared.manifest import split_folders
from shared.training.folders import crop_folder
from shared.training.options import TrainOptions
from shared.wording import counted

MOST = 8
"""So many are told by name."""


def faces_that_may_be_held_out(table: pd.DataFrame, crops: CropSet, options: TrainOptions) -> Faces:
    """The unmasked faces of the base data, and all of its eval pictures where their crops have been made."""
    learnt, folder = faces_of(table, crops), _eval_crops(options)
    if folder is None or not (folder / INDEX).exists():
        return learnt
    asked = asked_faces(open_crops(folder))
    return Faces(
        [*learnt.names, *(f"eval's {picture}" for picture in asked.names)],
        np.concatenate([learnt.hashes, asked.hashes]),
        {made_of: f"eval's {picture}" for made_of, picture in asked.files.items()},
    )


def _eval_crops(options: TrainOptions) -> Path | None:
    """Where the crops of the eval pictures belong; None where the data has no such pictures."""
    if "eval" not in split_folders(options.data):
        return None
    return crop_folder(options.crops, options.data, "eval")


def tell_who_is_not_compared(options: TrainOptions) -> None:
    """One line on stderr where eval pictures have no crops yet, as they have wherever training answers for them."""
    folder = _eval_crops(options)
    if folder is not None and not (folder / INDEX).exists():
        print(
            f"note: {folder} has no crops, so no person of --extra is compared with the eval pictures: whoever is "
            "among both is learnt from. python shared/crop_faces.py makes crops of all that --data has",
            file=sys.stderr,
        )


def tell(folder: Path, twins: Mapping[str, Twin]) -> None:
    """One line on stderr, where there are any."""
    if twins:
        shown = [f"{person} is {twin.name}" for person, twin in list(twins.items())[:MOST]]
        print(
            f"--extra {folder}: {counted(len(twins), 'person')} left out, whose photograph --data has too: "
            f"{', '.join(shown)}{', ...' if len(twins) > MOST else ''}",
            file=sys.stderr,
        )
