"""Further labelled folders (`--extra`): their persons are used for training and never held out.

A person whose photograph is also in the base data, under another id and perhaps edited, is left out: otherwise the
network would learn from an image on which it is scored.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator

from shared.crops import INDEX, UNREADABLE, CropSet, open_crops
from shared.faces.alignment import RECIPE
from shared.faces.cache import make_crops
from shared.manifest import TABLES, load_training, split_folder, split_folders
from shared.messages import UserError, counted, first_of
from shared.near_duplicates import KnownFaces, NearDuplicate, eval_faces, find_near_duplicates, training_faces
from shared.training.options import DataOptions
from shared.training.run_folder import crop_folder

NEVER_HELD_OUT = -1
"""Value of the column `fold` for extra persons."""

_MAX_NAMED = 8
"""Persons that are named in the message about near-duplicates."""


def with_extra(
    table: pd.DataFrame, crops: CropSet, options: DataOptions, accelerator: Accelerator
) -> tuple[pd.DataFrame, CropSet]:
    """Return the manifest and its crops joined with those of every `--extra` folder. Missing crops are made.

    The table gains a column `source`: "" for the base data, otherwise the folder's name, which also precedes the names
    of its images. Persons with a near-duplicate in the base data or among the eval images are left out and reported
    on stderr. Raises `UserError` if a person is in two of the folders, or crops are of another recipe.
    """
    tables, sets = [table.assign(source="")], [crops]
    if not options.extra:
        return tables[0], crops
    eval_crops = _eval_crop_folder(options)
    if accelerator.is_main_process and eval_crops is not None and not (eval_crops / INDEX).exists():
        print(
            f"note: {eval_crops} has no crops, so no person of --extra is compared with the eval images, and a person "
            "who is among both is trained on. python shared/crop_faces.py makes the crops of all splits of --data",
            file=sys.stderr,
        )
    with accelerator.main_process_first():
        base_faces = _base_faces(table, crops, eval_crops)
    for name, folder in _named_folders(options).items():
        with accelerator.main_process_first():
            further, own = _read(folder, options, crops.recipe)
            duplicates = find_near_duplicates(further, own, base_faces)
        for known, known_crops in zip(tables, sets, strict=True):
            _refuse_shared_persons(folder, further, own, known, known_crops)
        if accelerator.is_main_process and duplicates:
            print(_left_out(folder, duplicates), file=sys.stderr)
        further = further[~further["person"].isin(duplicates)].reset_index(drop=True)
        further, own = _renamed(name, further, own.keep(further["image"]), crops.folder)
        tables.append(further)
        sets.append(own)
    return pd.concat(tables, ignore_index=True), replace(crops, index=pd.concat([each.index for each in sets]))


def extra_crop_folder(crops: Path, folder: Path) -> Path:
    """Return where the crops of an extra folder are: beside those of the base data, in a folder of its name."""
    return crop_folder(crops / _name(folder), folder, "train")


def _base_faces(table: pd.DataFrame, crops: CropSet, eval_crops: Path | None) -> KnownFaces:
    """Return the unmasked faces of the base data, and all faces of its eval images if their crops have been made."""
    trained = training_faces(table, crops)
    if eval_crops is None or not (eval_crops / INDEX).exists():
        return trained
    unseen = eval_faces(open_crops(eval_crops))
    return KnownFaces(
        [*trained.names, *(f"eval's {image}" for image in unseen.names)],
        np.concatenate([trained.hashes, unseen.hashes]),
        {fingerprint: f"eval's {image}" for fingerprint, image in unseen.files.items()},
    )


def _eval_crop_folder(options: DataOptions) -> Path | None:
    """Return where the crops of the eval images belong; None if the data has no such images."""
    if "eval" not in split_folders(options.data):
        return None
    return crop_folder(options.crops, options.data, "eval")


def _left_out(folder: Path, duplicates: Mapping[str, NearDuplicate]) -> str:
    named = [f"{person} is {known.name}" for person, known in list(duplicates.items())[:_MAX_NAMED]]
    return (
        f"--extra {folder}: {counted(len(duplicates), 'person')} left out, whose photograph --data has too: "
        f"{', '.join(named)}{', ...' if len(duplicates) > _MAX_NAMED else ''}"
    )


def _named_folders(options: DataOptions) -> dict[str, Path]:
    """Return the extra folders by name; raises `UserError` if a name would be used twice for crops."""
    named: dict[str, Path] = {}
    for folder in options.extra:
        name = _name(folder)
        if name in TABLES or name in named:
            raise UserError(
                f"--extra {folder}: other crops in {options.crops} have the name {name} already; rename the folder"
            )
        named[name] = folder
    return named


def _name(folder: Path) -> str:
    resolved = folder.resolve()
    return resolved.parent.name if resolved.name in TABLES else resolved.name


def _read(folder: Path, options: DataOptions, recipe: str) -> tuple[pd.DataFrame, CropSet]:
    """Return table and crops of one extra folder without unreadable images."""
    table = load_training(split_folder(folder, "train"), skip_bad=options.skip_bad)
    crops = _crops_of(table, extra_crop_folder(options.crops, folder), recipe)
    if crops.recipe != recipe:
        raise UserError(
            f"--extra {folder}: the crops in {crops.folder} are of recipe {crops.recipe}, those of --data of {recipe}. "
            "Make both with this version of face18: python shared/crop_faces.py"
        )
    readable = (crops.index["found"] != UNREADABLE).to_numpy()
    table = table[readable].reset_index(drop=True)
    return table, crops.keep(table["image"])


def _crops_of(table: pd.DataFrame, folder: Path, recipe: str) -> CropSet:
    """Return the crops of these images. Complete crops of the wanted recipe are used as they are."""
    if (folder / INDEX).exists():
        crops = open_crops(folder)
        if crops.recipe == recipe and table["image"].isin(crops.index.index).all():
            return crops.keep(table["image"])
    if recipe != RECIPE.id:
        raise UserError(
            f"crops of recipe {recipe} are missing in {folder}, and this version makes {RECIPE.id}: "
            "make all crops again with python shared/crop_faces.py"
        )
    return make_crops(table, folder).keep(table["image"])


def _renamed(name: str, table: pd.DataFrame, crops: CropSet, base: Path) -> tuple[pd.DataFrame, CropSet]:
    """Put the folder's name before image names, and file names relative to the folder of the base crops."""
    path = os.path.relpath(crops.folder, base)
    index = crops.index.assign(file=[f"{path}/{file}" for file in crops.index["file"]])
    index.index = pd.Index([f"{name}/{image}" for image in index.index], name=index.index.name)
    table = table.assign(image=index.index.to_numpy(), fold=NEVER_HELD_OUT, source=name)
    return table, replace(crops, index=index)


def _refuse_shared_persons(
    folder: Path, table: pd.DataFrame, crops: CropSet, known: pd.DataFrame, known_crops: CropSet
) -> None:
    """Raise `UserError` if a person is known under the same id, or a file is known under another."""
    ids = table["person"][table["person"].isin(known["person"])].unique()
    if len(ids):
        raise UserError(
            f"--extra {folder}: {counted(len(ids), 'id')} of its train.csv belong to persons known already "
            f"({first_of(ids)}). Remove persons who are in both, and rename the ids of others"
        )
    same = crops.index.index[crops.index["fingerprint"].isin(known_crops.index["fingerprint"]).to_numpy()]
    if len(same):
        raise UserError(
            f"--extra {folder}: {counted(len(same), 'image')} of it are the same files as images known already "
            f"({first_of(same)}): their persons are in both. Remove them from one"
        )
