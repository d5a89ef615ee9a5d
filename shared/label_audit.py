"""Labels that held-out answers contradict, by confident learning (cleanlab).

Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021.

Gender and age are labels of a person, so the answers to a person's images are averaged first. How the mask is worn is
a label of an image; and since the usual error is that two images of a person have changed places, pairs of them are
looked at too. Networks that were trained on wrong labels find fewer of them, and hard faces look like wrong labels:
suspects are to be looked at.

The contact sheet of the audit: every suspect and every pair with its faces, so that people can judge.

Labels that are probably wrong, and persons who are there under two ids or among the eval images too.

    python -m shared.label_audit                        outputs/{mask,gender,age} -> outputs/audit/
    python -m shared.label_audit --outputs outputs/demo

    audit/suspects.csv     every label that held-out answers contradict, the surest first
    audit/fixes.csv        those that the networks are sure of, in the form that --fixes takes
    audit/duplicates.csv   persons under two ids, in the form that --group-duplicates takes
    audit/eval_twins.csv   persons whose photograph is among the eval images, where these have crops
    audit/audit.html       the contact sheet of all of it: look before you use them

It knows only what was held out: train all folds to have all persons audited. The sheet holds images of faces.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.commands import run
from shared.crops import INDEX, CropSet, open_crops
from shared.files import write_text
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import Floats, Ints
from shared.fusion.predictions import HeldOut
from shared.label_fixes import targets_of
from shared.labels import BAND_EDGES, INCORRECT, NORMAL
from shared.manifest import load_training, split_folder
from shared.messages import UserError, counted
from shared.near_duplicates import (
    NearDuplicate,
    eval_faces,
    find_duplicate_persons,
    find_near_duplicates,
    unmasked_faces,
)
from shared.reports.finished_runs import (
    RunOptions,
    find_training_crops,
    read_held_out_predictions,
    read_labels,
    read_records,
    trained_on,
)
from shared.reports.page_parts import Section, Tile, face, paragraph, plain_text, tiles, write_page

SWAP = "mask swap"
BY_PERSON = ("gender", "age")

CLEAR = 0.8
"""Probability of another class from which on a label is suspected, whatever cleanlab estimates."""

COLUMNS = ("field", "id", "image", "other", "given", "suggested", "right", "wrong", "value", "other_value")
"""Of a table of suspects. `field` is gender, age, mask or `SWAP`; `image` and `other` are the names that images go
by in fixes, blank for a person; `given` and `suggested` are class names; `right` is the probability of the label as
given, `wrong` that of what is suggested; the values are what a fix would set."""


def find_suspects(held_out: HeldOut, labels: pd.DataFrame) -> pd.DataFrame:
    """All suspects, the surest first; columns as in `COLUMNS`.

    `labels` tells the kind and the age in years of the held-out images, and is indexed by them.
    """
    found = [
        *(row for task in BY_PERSON for row in _persons(held_out, labels, task)),
        *_images(held_out, labels),
    ]
    table = pd.DataFrame(found, columns=list(COLUMNS))
    return table.sort_values(["right", "wrong"], ascending=[True, False], kind="stable", ignore_index=True)


def contradicted(probabilities: Floats, given: Ints) -> NDArray[np.bool_]:
    """Which labels (N,) the probabilities (N, C) contradict; raises `UserError` where cleanlab is not installed.

    Cleanlab estimates how many labels of each class are wrong and takes the least probable ones. Where errors are so
    few that it estimates none, labels are still told against which an answer is `CLEAR`.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError:
        raise UserError("the label audit needs cleanlab: pip install 'face18[audit]'") from None
    known, places = np.unique(given, return_inverse=True)
    clear = probabilities.max(axis=1) >= CLEAR
    if len(known) > 1:
        # Classes that no label has tell nothing of labels, and cleanlab wants every class to be there.
        among = np.maximum(probabilities[:, known], 1e-9)
        among = among / among.sum(axis=1, keepdims=True)
        clear |= find_label_issues(places, among, filter_by="prune_by_noise_rate", n_jobs=1)
    contradiction: NDArray[np.bool_] = clear & (probabilities.argmax(axis=1) != given)
    return contradiction


def _persons(held_out: HeldOut, labels: pd.DataFrame, task: str) -> Iterator[dict[str, object]]:
    classes = SPECIALISTS[task]
    numbers = held_out.predictions[task].select_dtypes("number").groupby(held_out.persons.to_numpy()).mean()
    first = pd.Series(held_out.truth[task], held_out.persons.to_numpy())
    given = first[~first.index.duplicated()].loc[numbers.index].to_numpy()
    probabilities = numbers[list(classes)].to_numpy(np.float64)
    oldest = labels["age"].max()
    for place in map(int, np.flatnonzero(contradicted(probabilities, given))):
        said = int(probabilities[place].argmax())
        years = numbers["age"].iloc[place] if "age" in numbers else None
        yield _row(
            field=task,
            id=numbers.index[place],
            given=classes[given[place]],
            suggested=classes[said],
            right=probabilities[place, given[place]],
            wrong=probabilities[place, said],
            value=classes[said] if task == "gender" else _years(years, said, oldest),
        )


def _years(years: float | None, band: int, oldest: float) -> str:
    """Whole years within the band, none beyond the oldest label: that may stand for "or older". Blank if not known."""
    if years is None:
        return ""
    low, high = (0, *BAND_EDGES)[band], (*BAND_EDGES, max(oldest, BAND_EDGES[-1]) + 1)[band] - 1
    return f"{min(max(round(years), low), high):g}"


def _images(held_out: HeldOut, labels: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Images of a person that have changed places, then single ones that are none of those."""
    names = SPECIALISTS["mask"]
    probabilities = held_out.predictions["mask"][list(names)].to_numpy(np.float64)
    given = held_out.truth["mask"]
    wrong = contradicted(probabilities, given)
    kinds = labels["kind"].to_numpy()
    persons = held_out.persons.to_numpy()
    places = pd.Series(np.arange(len(given))).groupby(persons)
    for person in dict.fromkeys(persons[wrong]):
        mine = places.get_group(person).to_numpy()
        swapped = _swaps(mine, probabilities, given, wrong)
        for (one, other), posterior in swapped.items():
            yield _row(
                field=SWAP,
                id=person,
                image=kinds[one],
                other=kinds[other],
                given=names[given[one]],
                suggested=names[given[other]],
                right=1 - posterior,
                wrong=posterior,
                value=names[given[other]],
                other_value=names[given[one]],
            )
        told = {place for pair in swapped for place in pair}
        for place in (place for place in mine if wrong[place] and place not in told):
            said = int(probabilities[place].argmax())
            yield _row(
                field="mask",
                id=person,
                image=kinds[place],
                given=names[given[place]],
                suggested=names[said],
                right=probabilities[place, given[place]],
                wrong=probabilities[place, said],
                value=names[said],
            )


def _swaps(mine: Ints, probabilities: Floats, given: Ints, wrong: NDArray[np.bool_]) -> dict[tuple[int, int], float]:
    """Pairs of a person's images that are likelier swapped than not, and how likely; each image in one at most."""
    likely = {}
    for one, other in combinations(mine, 2):
        if given[one] != given[other] and (wrong[one] or wrong[other]):
            as_given = probabilities[one, given[one]] * probabilities[other, given[other]]
            swapped = probabilities[one, given[other]] * probabilities[other, given[one]]
            likely[int(one), int(other)] = float(swapped / max(swapped + as_given, 1e-12))
    taken: dict[tuple[int, int], float] = {}
    for pair, posterior in sorted(likely.items(), key=lambda item: -item[1]):
        if posterior > 0.9 and not {place for other in taken for place in other} & set(pair):
            taken[pair] = posterior
    return taken


def _row(**values: object) -> dict[str, object]:
    return {**dict.fromkeys(COLUMNS, ""), **values}


def fixes_of(suspects: pd.DataFrame, sure: float) -> pd.DataFrame:
    """The corrections that suspects of a probability of `sure` or more ask for: id, image, field, value."""
    rows = []
    for suspect in suspects[(suspects["wrong"] >= sure) & (suspects["value"] != "")].to_dict("records"):
        field = "mask" if suspect["field"] == SWAP else suspect["field"]
        rows.append((suspect["id"], suspect["image"], field, suspect["value"]))
        if suspect["other"]:
            rows.append((suspect["id"], suspect["other"], field, suspect["other_value"]))
    return pd.DataFrame(rows, columns=["id", "image", "field", "value"])


MOST = 60
"""So many suspects of each kind are shown; the tables hold all."""

TITLES = {SWAP: "Masks that changed places", "gender": "Gender", "age": "Age", "mask": "Mask of one image"}


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
        kinds = [kind for kind in (suspect["image"], suspect["other"]) if kind] or [NORMAL, INCORRECT]
        mine = persons.get_group(suspect["id"]).drop_duplicates("kind").set_index("kind")["image"]
        # Where a person has no unmasked image, whatever there is.
        shown = [mine[kind] for kind in kinds if kind in mine] or [*mine.iloc[:1]]
        years = f" ({suspect['value']} years)" if suspect["field"] == "age" and suspect["value"] else ""
        said = f"{suspect['given']} {suspect['right']:.2f}\n{suspect['suggested']} {suspect['wrong']:.2f}{years}"
        if suspect["field"] == SWAP:
            said = f"{suspect['image']} and {suspect['other']} swapped, {suspect['wrong']:.2f}"
        yield Tile(
            _faces(crops, shown),
            " ".join((suspect["id"], "" if suspect["other"] else suspect["image"])).strip(),
            said,
        )


def pair_section(pairs: pd.DataFrame, crops: CropSet) -> Section:
    """Persons under two ids."""

    def tile(pair: Mapping[Hashable, Any]) -> Tile:
        text = f"{pair['how']}, {pair['distance']:.2f}\ngender {pair['gender']}, {pair['years_apart']:.0f} years apart"
        return Tile(_faces(crops, [pair["image"], pair["other_image"]]), f"{pair['id']} and {pair['other']}", text)

    if pairs.empty:
        return Section("Persons under two ids", [paragraph("None found.", "soft")])
    made = (tile(pair) for pair in pairs.head(MOST).to_dict("records"))
    text = f"The number is the share of bits in which the hashes of the images differ. {_shown(len(pairs))}"
    return Section("Persons under two ids", [paragraph(text, "soft"), tiles(made)])


def asked_section(asked: pd.DataFrame, table: pd.DataFrame, crops: CropSet, eval_crops: CropSet | None) -> Section:
    """Persons to learn from whose photograph is among the eval images; None of those crops: nobody was compared."""
    title = "Persons whom eval asks about too"
    if eval_crops is None:
        return Section(title, [paragraph("Not compared: the eval images have no crops.", "soft")])
    if asked.empty:
        return Section(title, [paragraph("None found.", "soft")])
    bare = unmasked_faces(table, crops).drop_duplicates("person").set_index("person")["image"]

    def tile(twin: Mapping[Hashable, Any]) -> Tile:
        own = [bare[twin["id"]]] if twin["id"] in bare else []
        faces = [*_faces(crops, own), *_faces(eval_crops, [twin["eval_image"]])]
        return Tile(faces, f"{twin['id']} and eval's {twin['eval_image']}", f"{twin['distance']:.2f}")

    text = (
        "The same photograph, by the hashes of its faces: scores on eval are a little too good by these persons, or "
        f"too bad where the two labels differ. {_shown(len(asked))}"
    )
    nearest_first = asked.sort_values("distance", kind="stable").head(MOST)
    return Section(title, [paragraph(text, "soft"), tiles(tile(twin) for twin in nearest_first.to_dict("records"))])


def _shown(count: int) -> str:
    return f"{count:,}, the surest first." if count <= MOST else f"The surest {MOST} of {count:,}."


def _faces(crops: CropSet, images: Sequence[str]) -> list[str]:
    return [face(crops.read(image)) for image in images if image in crops.index.index]


def _how_to_use(folder: Path, sure: pd.DataFrame, known: Sequence[Path]) -> Section:
    text = (
        f"fixes.csv holds {counted(len(sure), 'correction')} that the networks are sure of. Delete the lines that are "
        "wrong, then train with it; duplicates.csv keeps persons under two ids in one fold."
    )
    fixes = " ".join(map(str, (*known, folder / "fixes.csv")))
    flags = f"--fixes {fixes} --group-duplicates {folder / 'duplicates.csv'}"
    commands = "\n".join(f"python -m pipelines.{task}.train {flags}" for task in ("mask", "gender", "age"))
    return Section("What to do with it", [paragraph(text), plain_text(commands, wrap=True)])


@dataclass(frozen=True)
class Options(RunOptions):
    """Find labels that held-out answers contradict, and persons under two ids."""

    sure: float = 0.9
    """Suspects go into fixes.csv from this probability on, 0.5 to 1."""

    alike: float = 0.13
    """Unmasked faces are taken for one image when at most this share of their hashes' bits differs, 0 to 0.4."""

    def __post_init__(self) -> None:
        for flag, value, low, high in (("--sure", self.sure, 0.5, 1.0), ("--alike", self.alike, 0.0, 0.4)):
            if not low <= value <= high:
                raise UserError(f"{flag} must be {low:g} to {high:g}, not {value:g}")

    @property
    def folder(self) -> Path:
        return self.out or self.outputs / "audit"


@dataclass(frozen=True)
class Audit:
    """What was found."""

    suspects: pd.DataFrame
    """As `audit.suspects.find_suspects` gives them."""
    fixes: pd.DataFrame
    """id, image, field, value."""
    pairs: pd.DataFrame
    """As `audit.duplicates.find_duplicates` gives them."""
    asked: pd.DataFrame
    """Persons whose photograph is among the eval images: id, distance (of the hashes), eval_image."""


def main(options: Options) -> None:
    # Here, not above: --help need not wait for it.
    pass

    runs = options.runs()
    held_out = read_held_out_predictions(runs)
    source = trained_on(read_records(runs), runs, options.data, options.crops, options.fixes)
    table = load_training(split_folder(source.data, "train"), source.fixes, source.skip_bad)
    crops = find_training_crops(source.crops) or open_crops(source.crops / "train")
    eval_crops = open_crops(source.crops / "eval") if (source.crops / "eval" / INDEX).is_file() else None
    labels = read_labels(source, held_out)
    if labels is None:
        raise AssertionError("the table was read from there")
    suspects = find_suspects(held_out, labels)
    found = Audit(
        suspects=suspects,
        fixes=_new(fixes_of(suspects, options.sure), targets_of(source.fixes)),
        pairs=find_duplicate_persons(table, crops, options.alike),
        asked=_asked(find_near_duplicates(table, crops, eval_faces(eval_crops), options.alike) if eval_crops else {}),
    )
    write_tables(options.folder, found)
    sections = [
        *suspect_sections(found.suspects, table, crops),
        pair_section(found.pairs, crops),
        asked_section(found.asked, table, crops, eval_crops),
    ]
    lead = (
        f"{counted(len(found.suspects), 'label')} that networks which had not seen the person contradict, "
        f"{counted(len(found.pairs), 'pair')} of ids that may be one person, and {counted(len(found.asked), 'person')} "
        "whom eval asks about too. Hard faces look like wrong labels: judge by eye."
    )
    write_sheet(options.folder / "audit.html", lead, sections, found.fixes, source.fixes)
    print(_summary(options, found, held_out.persons.nunique(), table["person"].nunique()))


def _asked(twins: Mapping[str, NearDuplicate]) -> pd.DataFrame:
    rows = [(person, twin.distance, twin.name) for person, twin in twins.items()]
    return pd.DataFrame(rows, columns=["id", "distance", "eval_image"])


def _new(fixes: pd.DataFrame, known: set[str]) -> pd.DataFrame:
    """Without what was corrected already: two corrections of one label are refused by --fixes."""
    targets = [" ".join(filter(None, row)) for row in zip(fixes["id"], fixes["image"], fixes["field"], strict=True)]
    return fixes.loc[[target not in known for target in targets]]


def write_tables(folder: Path, found: Audit) -> None:
    """suspects.csv, fixes.csv, duplicates.csv and eval_twins.csv, whole or not at all."""
    tables = {
        "suspects": found.suspects,
        "fixes": found.fixes,
        "duplicates": found.pairs,
        "eval_twins": found.asked,
    }
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.4f", lineterminator="\n"))


def _summary(options: Options, found: Audit, audited: int, persons: int) -> str:
    lines = [f"labels of {audited:,} of {persons:,} persons audited (those that were held out)"]
    for field, count in found.suspects["field"].value_counts().items():
        lines.append(f"  {field}: {counted(int(count), 'suspect')}")
    lines.append(f"{counted(len(found.fixes), 'correction')} sure enough for fixes.csv (--sure {options.sure:g})")
    lines.append(f"{counted(len(found.pairs), 'pair')} of ids that may be one person")
    if len(found.asked):
        lines.append(
            f"{counted(len(found.asked), 'person')} whose photograph is among the eval images (eval_twins.csv): what "
            "is answered there is not answered of persons never seen"
        )
    lines.append(f"look at {options.folder / 'audit.html'} before you use them")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, Options())
