"""The contact sheet of the audit: every suspect and every pair with its faces, so that people can judge."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from shared.audit.hashes import unmasked_faces
from shared.audit.suspects import SWAP
from shared.crops import CropSet
from shared.labels import INCORRECT, NORMAL
from shared.reports.charts import face
from shared.reports.page import Section, Tile, paragraph, plain_text, tiles, write_page
from shared.wording import counted

MOST = 60
"""So many suspects of each kind are shown; the tables hold all."""

TITLES = {SWAP: "Masks that changed places", "gender": "Gender", "age": "Age", "mask": "Mask of one picture"}


def write_sheet(
    path: Path, lead: str, sections: Sequence[Section], sure: pd.DataFrame, known: Sequence[Path] = ()
) -> None:
    """Write the page; `sure` are the fixes, beside the files of those that are `known` already."""
    write_page(path, "face18: label audit", lead, [*sections, _how_to_use(path.parent, sure, known)])


def suspect_sections(suspects: pd.DataFrame, table: pd.DataFrame, crops: CropSet) -> list[Section]:
    """A section for each kind of label; `table` is the training table."""
    return [_suspects(kind, title, table, crops, suspects) for kind, title in TITLES.items()]


def _suspects(kind: str, title: str, table: pd.DataFrame, crops: CropSet, suspects: pd.DataFrame) -> Section:
    mine = suspects[suspects["field"] == kind]
    if mine.empty:
        return Section(title, [paragraph("None.", "soft")])
    told = paragraph(_shown(len(mine)), "soft")
    return Section(title, [told, tiles(_suspect_tiles(mine.head(MOST), table, crops))])


def _suspect_tiles(suspects: pd.DataFrame, table: pd.DataFrame, crops: CropSet) -> Iterator[Tile]:
    persons = table.groupby("person")
    for suspect in suspects.to_dict("records"):
        kinds = [kind for kind in (suspect["picture"], suspect["other"]) if kind] or [NORMAL, INCORRECT]
        mine = persons.get_group(suspect["id"]).drop_duplicates("kind").set_index("kind")["picture"]
        # Where a person has no unmasked picture, whatever there is.
        shown = [mine[kind] for kind in kinds if kind in mine] or [*mine.iloc[:1]]
        years = f" ({suspect['value']} years)" if suspect["field"] == "age" and suspect["value"] else ""
        said = f"{suspect['given']} {suspect['right']:.2f}\n{suspect['suggested']} {suspect['wrong']:.2f}{years}"
        if suspect["field"] == SWAP:
            said = f"{suspect['picture']} and {suspect['other']} swapped, {suspect['wrong']:.2f}"
        yield Tile(
            _faces(crops, shown),
            " ".join((suspect["id"], "" if suspect["other"] else suspect["picture"])).strip(),
            said,
        )


def pair_section(pairs: pd.DataFrame, crops: CropSet) -> Section:
    """Persons under two ids."""

    def tile(pair: Mapping[Hashable, Any]) -> Tile:
        text = f"{pair['how']}, {pair['distance']:.2f}\ngender {pair['gender']}, {pair['years_apart']:.0f} years apart"
        return Tile(_faces(crops, [pair["picture"], pair["other_picture"]]), f"{pair['id']} and {pair['other']}", text)

    if pairs.empty:
        return Section("Persons under two ids", [paragraph("None found.", "soft")])
    made = (tile(pair) for pair in pairs.head(MOST).to_dict("records"))
    text = f"The number is the share of bits in which the hashes of the pictures differ. {_shown(len(pairs))}"
    return Section("Persons under two ids", [paragraph(text, "soft"), tiles(made)])


def asked_section(asked: pd.DataFrame, table: pd.DataFrame, crops: CropSet, eval_crops: CropSet | None) -> Section:
    """Persons to learn from whose photograph is among the eval pictures; None of those crops: nobody was compared."""
    title = "Persons whom eval asks about too"
    if eval_crops is None:
        return Section(title, [paragraph("Not compared: the eval pictures have no crops.", "soft")])
    if asked.empty:
        return Section(title, [paragraph("None found.", "soft")])
    bare = unmasked_faces(table, crops).drop_duplicates("person").set_index("person")["picture"]

    def tile(twin: Mapping[Hashable, Any]) -> Tile:
        own = [bare[twin["id"]]] if twin["id"] in bare else []
        faces = [*_faces(crops, own), *_faces(eval_crops, [twin["eval_picture"]])]
        return Tile(faces, f"{twin['id']} and eval's {twin['eval_picture']}", f"{twin['distance']:.2f}")

    text = (
        "The same photograph, by the hashes of its faces: scores on eval are a little too good by these persons, or "
        f"too bad where the two labels differ. {_shown(len(asked))}"
    )
    nearest_first = asked.sort_values("distance", kind="stable").head(MOST)
    return Section(title, [paragraph(text, "soft"), tiles(tile(twin) for twin in nearest_first.to_dict("records"))])


def _shown(count: int) -> str:
    return f"{count:,}, the surest first." if count <= MOST else f"The surest {MOST} of {count:,}."


def _faces(crops: CropSet, pictures: Sequence[str]) -> list[str]:
    return [face(crops.read(picture)) for picture in pictures if picture in crops.index.index]


def _how_to_use(folder: Path, sure: pd.DataFrame, known: Sequence[Path]) -> Section:
    text = (
        f"fixes.csv holds {counted(len(sure), 'correction')} that the networks are sure of. Delete the lines that are "
        "wrong, then train with it; duplicates.csv keeps persons under two ids in one fold."
    )
    fixes = " ".join(map(str, (*known, folder / "fixes.csv")))
    flags = f"--fixes {fixes} --group-duplicates {folder / 'duplicates.csv'}"
    commands = "\n".join(f"python -m pipelines.{task}.train {flags}" for task in ("mask", "gender", "age"))
    return Section("What to do with it", [paragraph(text), plain_text(commands, wrap=True)])
