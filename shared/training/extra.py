"""Further labelled folders (`--extra`): their persons are learnt from, and never held out."""

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
from accelerate import Accelerator

from shared.crop_faces import make_crops
from shared.crops import INDEX, UNREADABLE, CropSet, open_crops
from shared.errors import UserError
from shared.faces.recipe import RECIPE
from shared.manifest import TABLES, load_training, split_folder
from shared.training.folders import crop_folder
from shared.training.options import TrainOptions
from shared.wording import counted, first_of

NEVER_HELD_OUT = -1
"""What stands in the column `fold` of extra persons."""


def with_extra(
    table: pd.DataFrame, crops: CropSet, options: TrainOptions, accelerator: Accelerator
) -> tuple[pd.DataFrame, CropSet]:
    """The manifest and its crops joined with those of every `--extra` folder; crops that are missing are made.

    The table gains a column `source`: "" for the base data, else the folder's name, which is also put before the names
    of its pictures. Raises `UserError` where a person is in two of the folders, or crops are of another recipe.
    """
    tables, indices = [table.assign(source="")], [crops.index]
    for name, folder in _named(options).items():
        with accelerator.main_process_first():
            further, index = _read(name, folder, options, crops)
        for known, known_index in zip(tables, indices, strict=True):
            _refuse_shared_persons(folder, further, index, known, known_index)
        tables.append(further)
        indices.append(index)
    return pd.concat(tables, ignore_index=True), replace(crops, index=pd.concat(indices))


def summary(table: pd.DataFrame) -> list[dict[str, object]]:
    """What run.json says of the extra folders: name, persons, pictures."""
    extra = table[table["source"] != ""]
    return [
        {"folder": name, "persons": int(rows["person"].nunique()), "pictures": len(rows)}
        for name, rows in extra.groupby("source", sort=False)
    ]


def extra_crop_folder(crops: Path, folder: Path) -> Path:
    """The crops of an extra folder lie beside those of the base data, in a folder of its name."""
    return crop_folder(crops / _name(folder), folder, "train")


def _named(options: TrainOptions) -> dict[str, Path]:
    """The extra folders by name; raises `UserError` where two would share one, or one is none."""
    named: dict[str, Path] = {}
    for folder in options.extra:
        name = _name(folder)
        if name in TABLES or name in named:
            raise UserError(f"--extra {folder}: {name} names other crops in {options.crops} already; rename the folder")
        named[name] = folder
    return named


def _name(folder: Path) -> str:
    whole = folder.resolve()
    return whole.parent.name if whole.name in TABLES else whole.name


def _read(name: str, folder: Path, options: TrainOptions, base: CropSet) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table and index of one extra folder, its files named from that of the base crops; unreadable ones left out."""
    table = load_training(split_folder(folder, "train"), skip_bad=options.skip_bad)
    crops = _crops_of(table, extra_crop_folder(options.crops, folder), base.recipe)
    if crops.recipe != base.recipe:
        raise UserError(
            f"--extra {folder}: the crops in {crops.folder} are of recipe {crops.recipe}, those of --data of "
            f"{base.recipe}. "
            "Make both with this version of face18: python shared/crop_faces.py"
        )
    readable = (crops.index["found"] != UNREADABLE).to_numpy()
    way = os.path.relpath(crops.folder, base.folder)
    index = crops.index[readable].assign(file=[f"{way}/{file}" for file in crops.index["file"][readable]])
    index.index = pd.Index([f"{name}/{picture}" for picture in index.index], name=index.index.name)
    kept = table[readable].reset_index(drop=True)
    return kept.assign(picture=index.index.to_numpy(), fold=NEVER_HELD_OUT, source=name), index


def _crops_of(table: pd.DataFrame, folder: Path, recipe: str) -> CropSet:
    """The crops of these pictures, made where they are not there; those of the wanted recipe are taken as they are."""
    if (folder / INDEX).exists():
        crops = open_crops(folder)
        if crops.recipe == recipe and table["picture"].isin(crops.index.index).all():
            return crops.keep(table["picture"])
    if recipe != RECIPE.id:
        raise UserError(
            f"crops of recipe {recipe} are missing in {folder}, and this version makes {RECIPE.id}: "
            "make all crops again with python shared/crop_faces.py"
        )
    return make_crops(table, folder).keep(table["picture"])


def _refuse_shared_persons(
    folder: Path, table: pd.DataFrame, index: pd.DataFrame, known: pd.DataFrame, known_index: pd.DataFrame
) -> None:
    """One seen in training must not be held out: neither under one id, nor by one file under two."""
    ids = table["person"][table["person"].isin(known["person"])].unique()
    if len(ids):
        raise UserError(
            f"--extra {folder}: {counted(len(ids), 'id')} of its train.csv belong to persons known already "
            f"({first_of(ids)}). Leave out whoever is in both, and rename the ids of others"
        )
    twins = index.index[index["fingerprint"].isin(known_index["fingerprint"]).to_numpy()]
    if len(twins):
        raise UserError(
            f"--extra {folder}: {counted(len(twins), 'picture')} of it are the same files as pictures known already "
            f"({first_of(twins)}): their persons are in both. Leave them out of one"
        )
