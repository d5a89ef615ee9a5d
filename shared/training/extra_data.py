"""Persons of an extra folder whose photograph is in the base data too, under another id and perhaps made anew.

A held-out person, or one of the eval images, would else be learnt from.

Further labelled folders (`--extra`): their persons are learnt from, and never held out.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator

from shared.crop_faces import make_crops
from shared.crops import INDEX, UNREADABLE, CropSet, open_crops
from shared.faces.alignment import RECIPE
from shared.manifest import TABLES, load_training, split_folder, split_folders
from shared.messages import UserError, counted, first_of
from shared.near_duplicates import KnownFaces, NearDuplicate, eval_faces, find_near_duplicates, training_faces
from shared.training.options import TrainOptions
from shared.training.run_folder import crop_folder

MOST = 8
"""So many are told by name."""


def faces_that_may_be_held_out(table: pd.DataFrame, crops: CropSet, options: TrainOptions) -> KnownFaces:
    """The unmasked faces of the base data, and all of its eval images where their crops have been made."""
    learnt, folder = training_faces(table, crops), _eval_crops(options)
    if folder is None or not (folder / INDEX).exists():
        return learnt
    asked = eval_faces(open_crops(folder))
    return KnownFaces(
        [*learnt.names, *(f"eval's {image}" for image in asked.names)],
        np.concatenate([learnt.hashes, asked.hashes]),
        {made_of: f"eval's {image}" for made_of, image in asked.files.items()},
    )


def _eval_crops(options: TrainOptions) -> Path | None:
    """Where the crops of the eval images belong; None where the data has no such images."""
    if "eval" not in split_folders(options.data.data):
        return None
    return crop_folder(options.data.crops, options.data.data, "eval")


def tell_who_is_not_compared(options: TrainOptions) -> None:
    """One line on stderr where eval images have no crops yet, as they have wherever training answers for them."""
    folder = _eval_crops(options)
    if folder is not None and not (folder / INDEX).exists():
        print(
            f"note: {folder} has no crops, so no person of --extra is compared with the eval images: whoever is "
            "among both is learnt from. python shared/crop_faces.py makes crops of all that --data has",
            file=sys.stderr,
        )


def tell(folder: Path, twins: Mapping[str, NearDuplicate]) -> None:
    """One line on stderr, where there are any."""
    if twins:
        shown = [f"{person} is {twin.name}" for person, twin in list(twins.items())[:MOST]]
        print(
            f"--extra {folder}: {counted(len(twins), 'person')} left out, whose photograph --data has too: "
            f"{', '.join(shown)}{', ...' if len(twins) > MOST else ''}",
            file=sys.stderr,
        )


NEVER_HELD_OUT = -1
"""What stands in the column `fold` of extra persons."""


def with_extra(
    table: pd.DataFrame, crops: CropSet, options: TrainOptions, accelerator: Accelerator
) -> tuple[pd.DataFrame, CropSet]:
    """The manifest and its crops joined with those of every `--extra` folder; crops that are missing are made.

    The table gains a column `source`: "" for the base data, else the folder's name, which is also put before the names
    of its images. Persons whose photograph the base data has too are left out, and told on stderr. Raises `UserError`
    where a person is in two of the folders, or crops are of another recipe.
    """
    tables, sets = [table.assign(source="")], [crops]
    if not options.data.extra:
        return tables[0], crops
    if accelerator.is_main_process:
        tell_who_is_not_compared(options)
    with accelerator.main_process_first():
        held_out = faces_that_may_be_held_out(table, crops, options)
    for name, folder in _named(options).items():
        with accelerator.main_process_first():
            further, own = _read(folder, options, crops.recipe)
            twins = find_near_duplicates(further, own, held_out)
        for known, known_crops in zip(tables, sets, strict=True):
            _refuse_shared_persons(folder, further, own, known, known_crops)
        if accelerator.is_main_process:
            tell(folder, twins)
        further = further[~further["person"].isin(twins)].reset_index(drop=True)
        further, own = _joinable(name, further, own.keep(further["image"]), crops.folder)
        tables.append(further)
        sets.append(own)
    return pd.concat(tables, ignore_index=True), replace(crops, index=pd.concat([each.index for each in sets]))


def summary(table: pd.DataFrame) -> list[dict[str, object]]:
    """What run.json says of the extra folders: name, persons, images."""
    extra = table[table["source"] != ""]
    return [
        {"folder": name, "persons": int(rows["person"].nunique()), "images": len(rows)}
        for name, rows in extra.groupby("source", sort=False)
    ]


def extra_crop_folder(crops: Path, folder: Path) -> Path:
    """The crops of an extra folder lie beside those of the base data, in a folder of its name."""
    return crop_folder(crops / _name(folder), folder, "train")


def _named(options: TrainOptions) -> dict[str, Path]:
    """The extra folders by name; raises `UserError` where two would share one, or one is none."""
    named: dict[str, Path] = {}
    for folder in options.data.extra:
        name = _name(folder)
        if name in TABLES or name in named:
            raise UserError(
                f"--extra {folder}: {name} names other crops in {options.data.crops} already; rename the folder"
            )
        named[name] = folder
    return named


def _name(folder: Path) -> str:
    whole = folder.resolve()
    return whole.parent.name if whole.name in TABLES else whole.name


def _read(folder: Path, options: TrainOptions, recipe: str) -> tuple[pd.DataFrame, CropSet]:
    """Table and crops of one extra folder; unreadable images left out."""
    table = load_training(split_folder(folder, "train"), skip_bad=options.data.skip_bad)
    crops = _crops_of(table, extra_crop_folder(options.data.crops, folder), recipe)
    if crops.recipe != recipe:
        raise UserError(
            f"--extra {folder}: the crops in {crops.folder} are of recipe {crops.recipe}, those of --data of {recipe}. "
            "Make both with this version of face18: python shared/crop_faces.py"
        )
    readable = (crops.index["found"] != UNREADABLE).to_numpy()
    table = table[readable].reset_index(drop=True)
    return table, crops.keep(table["image"])


def _joinable(name: str, table: pd.DataFrame, crops: CropSet, base: Path) -> tuple[pd.DataFrame, CropSet]:
    """The same under names that tell the source, with files named from the folder of the base crops."""
    way = os.path.relpath(crops.folder, base)
    index = crops.index.assign(file=[f"{way}/{file}" for file in crops.index["file"]])
    index.index = pd.Index([f"{name}/{image}" for image in index.index], name=index.index.name)
    table = table.assign(image=index.index.to_numpy(), fold=NEVER_HELD_OUT, source=name)
    return table, replace(crops, index=index)


def _crops_of(table: pd.DataFrame, folder: Path, recipe: str) -> CropSet:
    """The crops of these images, made where they are not there; those of the wanted recipe are taken as they are."""
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


def _refuse_shared_persons(
    folder: Path, table: pd.DataFrame, crops: CropSet, known: pd.DataFrame, known_crops: CropSet
) -> None:
    """One seen in training must not be held out: neither under one id, nor by one file under two."""
    ids = table["person"][table["person"].isin(known["person"])].unique()
    if len(ids):
        raise UserError(
            f"--extra {folder}: {counted(len(ids), 'id')} of its train.csv belong to persons known already "
            f"({first_of(ids)}). Leave out whoever is in both, and rename the ids of others"
        )
    twins = crops.index.index[crops.index["fingerprint"].isin(known_crops.index["fingerprint"]).to_numpy()]
    if len(twins):
        raise UserError(
            f"--extra {folder}: {counted(len(twins), 'image')} of it are the same files as images known already "
            f"({first_of(twins)}): their persons are in both. Leave them out of one"
        )
