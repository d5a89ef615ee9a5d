"""Labels that are probably wrong, persons under two ids, and persons who are among the eval images too.

    python -m shared.label_audit                        outputs/{mask,gender,age} -> outputs/audit/
    python -m shared.label_audit --outputs outputs/demo

    audit/suspects.csv           every label that held-out predictions contradict, the surest first
    audit/fixes.csv              those above --sure, in the form that --fixes takes
    audit/duplicates.csv         persons under two ids, in the form that --group-duplicates takes
    audit/eval_duplicates.csv    persons with a photograph among the eval images, if these have crops
    audit/audit.html             all of it with faces: look before you use it

Only held-out persons are audited: train all folds to audit all. The method is confident learning (Northcutt, Jiang and
Chuang, JAIR 2021) with cleanlab. Gender and age are labels of a person, so the predictions for a person's images are
averaged first. How the mask is worn is a label of an image; as the usual error is that two images of a person were
swapped, pairs are examined too. Hard faces look like wrong labels, and networks trained on wrong labels find fewer of
them. The page shows faces: treat it like the data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.commands import run
from shared.crops import INDEX, CropSet, open_crops
from shared.files import refuse_overwriting, table_csv, write_text
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import Floats, Ints
from shared.fusion.predictions import HeldOut
from shared.html_pages import Tile, face, write_page
from shared.label_fixes import targets_of
from shared.labels import BAND_EDGES, INCORRECT, NORMAL
from shared.messages import UserError, counted
from shared.near_duplicates import eval_faces, find_duplicate_persons, find_near_duplicates, unmasked_faces
from shared.reports.finished_runs import RunOptions, read_finished_runs

SWAP = "mask swap"

CLEAR = 0.8
"""Probability of another class from which on a label is a suspect, whatever cleanlab estimates."""

SWAPPED = 0.9
"""Probability from which on two images of a person count as swapped."""

FILES = ("suspects.csv", "fixes.csv", "duplicates.csv", "eval_duplicates.csv", "audit.html")

SHOWN = 60
"""Suspects of each kind that the page shows; the tables hold all."""

TITLES = {SWAP: "Swapped masks", "gender": "Gender", "age": "Age", "mask": "Mask of one image"}


class Suspect(NamedTuple):
    """A label that predictions contradict; a row of suspects.csv."""

    field: str
    """gender, age, mask or `SWAP`."""
    id: str
    image: str
    """Kind of the image; empty for a label of the person."""
    other: str
    """Kind of the other image of a swap, otherwise empty."""
    given: str
    suggested: str
    """The class with the probability `wrong`; that of the `given` one is `right`."""
    right: float
    wrong: float
    value: str
    """What a fix would set; empty if that is not known."""
    other_value: str = ""
    """The same for `other`."""


@dataclass(frozen=True)
class Options(RunOptions):
    """Find labels that held-out predictions contradict, and persons under two ids."""

    sure: float = 0.9
    """Probability from which on a suspect goes into fixes.csv, 0.5 to 1."""

    alike: float = 0.13
    """Two unmasked faces are one image if at most this share of the bits of their hashes differs, 0 to 0.4."""

    def __post_init__(self) -> None:
        for flag, value, low, high in (("--sure", self.sure, 0.5, 1.0), ("--alike", self.alike, 0.0, 0.4)):
            if not low <= value <= high:
                raise UserError(f"{flag} must be {low:g} to {high:g}, not {value:g}")

    @property
    def folder(self) -> Path:
        return self.out or self.outputs / "audit"


def main(options: Options) -> None:
    runs = read_finished_runs(options)
    for name in FILES:
        refuse_overwriting({"--out": options.folder / name}, runs.inputs)
    if runs.table is None or runs.labels is None:
        raise UserError(f"{runs.source.data} has no train.csv to audit: name the competition folder with --data")
    crops = runs.crops or open_crops(runs.source.crops / "train")
    eval_folder = runs.source.crops / "eval"
    eval_crops = open_crops(eval_folder) if (eval_folder / INDEX).is_file() else None
    suspects = find_suspects(runs.held_out, runs.labels)
    tables = {
        "suspects": suspects,
        "fixes": _new(fixes_of(suspects, options.sure), targets_of(runs.source.fixes)),
        "duplicates": find_duplicate_persons(runs.table, crops, options.alike),
        "eval_duplicates": _eval_duplicates(runs.table, crops, eval_crops, options.alike),
    }
    for name, table in tables.items():
        write_text(options.folder / f"{name}.csv", table_csv(table, index=False, float_format="%.4f"))
    _write_page(options.folder, tables, runs.table, crops, eval_crops, [str(fix) for fix in runs.source.fixes])
    print(_summary(options, tables, runs.held_out.persons.nunique(), runs.table["person"].nunique()))


def find_suspects(held_out: HeldOut, labels: pd.DataFrame) -> pd.DataFrame:
    """Return all suspects, the surest first; columns as in `Suspect`.

    `labels` (kind, age in years) is indexed by the held-out images.
    """
    rows = [
        *_suspect_persons(held_out, labels, "gender"),
        *_suspect_persons(held_out, labels, "age"),
        *_suspect_images(held_out, labels),
    ]
    table = pd.DataFrame(rows, columns=list(Suspect._fields))
    return table.sort_values(["right", "wrong"], ascending=[True, False], kind="stable", ignore_index=True)


def contradicted(probabilities: Floats, given: Ints) -> NDArray[np.bool_]:
    """Return which labels (N,) the probabilities (N, C) contradict.

    Cleanlab estimates how many labels of each class are wrong and takes the least probable ones. It estimates none if
    errors are few, so labels against a prediction of at least `CLEAR` count too.
    Raises `UserError` if cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError:
        raise UserError("the label audit needs cleanlab: pip install 'face18[audit]'") from None
    known, places = np.unique(given, return_inverse=True)
    suspicious = probabilities.max(axis=1) >= CLEAR
    if len(known) > 1:
        # Cleanlab needs a label of every class, so classes without one are left out.
        among = np.maximum(probabilities[:, known], 1e-9)
        among = among / among.sum(axis=1, keepdims=True)
        suspicious |= find_label_issues(places, among, filter_by="prune_by_noise_rate", n_jobs=1)
    contradiction: NDArray[np.bool_] = suspicious & (probabilities.argmax(axis=1) != given)
    return contradiction


def _suspect_persons(held_out: HeldOut, labels: pd.DataFrame, task: str) -> Iterator[Suspect]:
    classes = SPECIALISTS[task]
    means = held_out.predictions[task].select_dtypes("number").groupby(held_out.persons.to_numpy()).mean()
    first = pd.Series(held_out.truth[task], held_out.persons.to_numpy())
    given = first[~first.index.duplicated()].loc[means.index].to_numpy()
    probabilities = means[list(classes)].to_numpy(np.float64)
    for place in map(int, np.flatnonzero(contradicted(probabilities, given))):
        each, right, wrong = probabilities[place], given[place], int(probabilities[place].argmax())
        value = classes[wrong]
        if task == "age":
            value = _age_fix(means["age"].iloc[place], wrong, labels["age"].max()) if "age" in means else ""
        yield Suspect(task, means.index[place], "", "", classes[right], classes[wrong], each[right], each[wrong], value)


def _age_fix(years: float, band: int, oldest: float) -> str:
    """Return whole years within the band, at most the oldest label, which may stand for "or older"."""
    low, high = (0, *BAND_EDGES)[band], (*BAND_EDGES, max(oldest, BAND_EDGES[-1]) + 1)[band] - 1
    return f"{min(max(int(years), low), high):g}"


def _suspect_images(held_out: HeldOut, labels: pd.DataFrame) -> Iterator[Suspect]:
    """Yield swapped images of a person, then single images with a wrong mask label that are in no swap."""
    names = SPECIALISTS["mask"]
    probabilities = held_out.predictions["mask"][list(names)].to_numpy(np.float64)
    given, kinds, persons = held_out.truth["mask"], labels["kind"].to_numpy(), held_out.persons.to_numpy()
    wrong = contradicted(probabilities, given)
    places = pd.Series(np.arange(len(given))).groupby(persons)
    for person in dict.fromkeys(persons[wrong]):
        own = places.get_group(person).to_numpy()
        swaps = _swaps(own, probabilities, given, wrong)
        for (one, other), probability in swaps.items():
            mask, instead = names[given[one]], names[given[other]]
            pair = (kinds[one], kinds[other], mask, instead, 1 - probability, probability, instead, mask)
            yield Suspect(SWAP, person, *pair)
        swapped = {place for pair in swaps for place in pair}
        for place in (place for place in own if wrong[place] and place not in swapped):
            each, right, instead = probabilities[place], given[place], int(probabilities[place].argmax())
            label = (names[right], names[instead], each[right], each[instead], names[instead])
            yield Suspect("mask", person, kinds[place], "", *label)


def _swaps(own: Ints, probabilities: Floats, given: Ints, wrong: NDArray[np.bool_]) -> dict[tuple[int, int], float]:
    """Return pairs of a person's images that were probably swapped, with the probability; each image is in one pair."""
    found = {}
    for one, other in combinations(map(int, own), 2):
        if given[one] != given[other] and (wrong[one] or wrong[other]):
            as_given = probabilities[one, given[one]] * probabilities[other, given[other]]
            swapped = probabilities[one, given[other]] * probabilities[other, given[one]]
            found[one, other] = float(swapped / max(swapped + as_given, 1e-12))
    taken: dict[tuple[int, int], float] = {}
    for pair, probability in sorted(found.items(), key=lambda item: -item[1]):
        if probability > SWAPPED and not set(pair) & {place for known in taken for place in known}:
            taken[pair] = probability
    return taken


def fixes_of(suspects: pd.DataFrame, sure: float) -> pd.DataFrame:
    """Return the label fixes (id, image, field, value) of suspects with a probability of at least `sure`."""
    rows = []
    for suspect in suspects[(suspects["wrong"] >= sure) & (suspects["value"] != "")].to_dict("records"):
        field = "mask" if suspect["field"] == SWAP else suspect["field"]
        rows.append((suspect["id"], suspect["image"], field, suspect["value"]))
        if suspect["other"]:
            rows.append((suspect["id"], suspect["other"], field, suspect["other_value"]))
    return pd.DataFrame(rows, columns=["id", "image", "field", "value"])


def _new(fixes: pd.DataFrame, known: set[str]) -> pd.DataFrame:
    """Leave out labels that were fixed already: --fixes refuses two fixes of one label."""
    targets = [" ".join(filter(None, row)) for row in zip(fixes["id"], fixes["image"], fixes["field"], strict=True)]
    return fixes.loc[[target not in known for target in targets]]


def _eval_duplicates(table: pd.DataFrame, crops: CropSet, eval_crops: CropSet | None, limit: float) -> pd.DataFrame:
    """Return persons with a photograph among the eval images: id, distance, eval_image."""
    found = {} if eval_crops is None else find_near_duplicates(table, crops, eval_faces(eval_crops), limit)
    rows = [(person, duplicate.distance, duplicate.name) for person, duplicate in found.items()]
    return pd.DataFrame(rows, columns=["id", "distance", "eval_image"])


def _write_page(
    folder: Path,
    tables: dict[str, pd.DataFrame],
    table: pd.DataFrame,
    crops: CropSet,
    eval_crops: CropSet | None,
    known_fixes: list[str],
) -> None:
    suspects, duplicates = tables["suspects"], tables["duplicates"]
    kinds = {title: suspects[suspects["field"] == kind] for kind, title in TITLES.items()}
    fixes = " ".join([*known_fixes, str(folder / "fixes.csv")])
    flags = f"--fixes {fixes} --group-duplicates {folder / 'duplicates.csv'}"
    write_page(
        folder / "audit.html",
        "audit.html",
        title="face18: label audit",
        lead=(
            f"{counted(len(suspects), 'label')} contradicted by held-out predictions, "
            f"{counted(len(duplicates), 'pair')} of ids that may be one person, and "
            f"{counted(len(tables['eval_duplicates']), 'person')} with a photograph among the eval images."
        ),
        limit=SHOWN,
        suspects=[
            (title, len(found), _suspect_tiles(found.head(SHOWN), table, crops)) for title, found in kinds.items()
        ],
        duplicates=(len(duplicates), _duplicate_tiles(duplicates.head(SHOWN), crops)),
        eval_duplicates=(
            len(tables["eval_duplicates"]),
            _eval_tiles(tables["eval_duplicates"], table, crops, eval_crops),
        ),
        eval_compared=eval_crops is not None,
        fix_count=len(tables["fixes"]),
        commands=[f"python -m pipelines.{task}.train {flags}" for task in SPECIALISTS],
    )


def _suspect_tiles(suspects: pd.DataFrame, table: pd.DataFrame, crops: CropSet) -> list[Tile]:
    persons, tiles = table.groupby("person"), []
    for suspect in suspects.to_dict("records"):
        kinds = [kind for kind in (suspect["image"], suspect["other"]) if kind] or [NORMAL, INCORRECT]
        own = persons.get_group(suspect["id"]).drop_duplicates("kind").set_index("kind")["image"]
        # A person without an unmasked image is shown by any image.
        shown = [own[kind] for kind in kinds if kind in own] or [*own.iloc[:1]]
        years = f" ({suspect['value']} years)" if suspect["field"] == "age" and suspect["value"] else ""
        lines = [
            f"{suspect['given']} {suspect['right']:.2f}",
            f"{suspect['suggested']} {suspect['wrong']:.2f}{years}",
        ]
        if suspect["field"] == SWAP:
            lines = [f"{suspect['image']} and {suspect['other']} swapped, {suspect['wrong']:.2f}"]
        name = " ".join((suspect["id"], "" if suspect["other"] else suspect["image"])).strip()
        tiles.append(Tile(name, lines, _faces(crops, shown)))
    return tiles


def _duplicate_tiles(pairs: pd.DataFrame, crops: CropSet) -> list[Tile]:
    return [
        Tile(
            f"{pair['id']} and {pair['other']}",
            (
                f"{pair['how']}, {pair['distance']:.2f}",
                f"gender {pair['gender']}, "
                + ("age unknown" if np.isnan(pair["years_apart"]) else f"{pair['years_apart']:.0f} years apart"),
            ),
            _faces(crops, [pair["image"], pair["other_image"]]),
        )
        for pair in pairs.to_dict("records")
    ]


def _eval_tiles(found: pd.DataFrame, table: pd.DataFrame, crops: CropSet, eval_crops: CropSet | None) -> list[Tile]:
    if eval_crops is None or found.empty:
        return []
    bare = unmasked_faces(table, crops).drop_duplicates("person").set_index("person")["image"]
    return [
        Tile(
            f"{row['id']} and eval's {row['eval_image']}",
            (f"{row['distance']:.2f}",),
            [*_faces(crops, [*bare[bare.index == row["id"]]]), *_faces(eval_crops, [row["eval_image"]])],
        )
        for row in found.sort_values("distance", kind="stable").head(SHOWN).to_dict("records")
    ]


def _faces(crops: CropSet, images: list[str]) -> list[str]:
    return [face(crops.read(image)) for image in images if image in crops.index.index]


def _summary(options: Options, tables: dict[str, pd.DataFrame], audited: int, persons: int) -> str:
    lines = [f"labels of {audited:,} of {persons:,} persons audited (those that were held out)"]
    for field, count in tables["suspects"]["field"].value_counts().items():
        lines.append(f"  {field}: {counted(int(count), 'suspect')}")
    lines.append(f"{counted(len(tables['fixes']), 'label')} in fixes.csv (--sure {options.sure:g})")
    lines.append(f"{counted(len(tables['duplicates']), 'pair')} of ids that may be one person")
    if len(tables["eval_duplicates"]):
        lines.append(
            f"{counted(len(tables['eval_duplicates']), 'person')} with a photograph among the eval images "
            "(eval_duplicates.csv): scores on eval are not all of unseen persons"
        )
    lines.append(f"look at {options.folder / 'audit.html'} before you use them")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, Options())
