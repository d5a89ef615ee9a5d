"""Persons under two ids: the same file under both, or unmasked faces that are nearly the same picture.

A picture is recognised again after another framing, light or quality, not a face on another photograph. Persons whose
unmasked picture shows no face, or whom the pictures do not show unmasked, are compared by their files alone.
"""

import numpy as np
import pandas as pd

from shared.audit.hashes import face_hashes, unmasked_faces
from shared.audit.lookalikes import look_alikes
from shared.crops import CropSet

SAME_FILE, LOOK_ALIKE, MIRRORED = "same file", "look alike", "look alike, mirrored"

COLUMNS = ("id", "other", "how", "distance", "picture", "other_picture", "gender", "years_apart")
"""Of a table of pairs: two persons, how they were found, the share of bits in which hashes of their pictures differ,
those pictures (ids of the manifest), whether the labels of gender agree, and how far those of age are apart."""


def find_duplicates(table: pd.DataFrame, crops: CropSet, limit: float) -> pd.DataFrame:
    """Pairs of persons of a training table that are probably one, the surest first; columns as in `COLUMNS`.

    `limit` is the share of bits, 0-1, up to which two hashes are taken for those of one picture. Each pair of persons
    is told once, by its nearest pictures.
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
    prints = crops.index["fingerprint"].reindex(table["picture"])
    known = table.assign(fingerprint=prints.to_numpy())
    known = known[known["fingerprint"].notna() & (known["fingerprint"] != "")]
    rows: list[Found] = []
    for _, same in known.groupby("fingerprint", sort=False):
        first, *others = same.drop_duplicates("person").sort_values("person").to_dict("records")
        rows += [
            (first["person"], other["person"], SAME_FILE, 0.0, first["picture"], other["picture"]) for other in others
        ]
    return rows


def _alike(table: pd.DataFrame, crops: CropSet, limit: float) -> list[Found]:
    bare = unmasked_faces(table, crops)
    hashes = face_hashes(crops, bare["picture"].tolist())
    persons = bare[["person", "picture"]].to_dict("records")
    rows: list[Found] = []
    for pair in look_alikes(hashes, limit):
        one, other = sorted((persons[pair.one], persons[pair.other]), key=lambda row: row["person"])
        if one["person"] != other["person"]:
            how = MIRRORED if pair.mirrored else LOOK_ALIKE
            rows.append((one["person"], other["person"], how, pair.distance, one["picture"], other["picture"]))
    return rows
