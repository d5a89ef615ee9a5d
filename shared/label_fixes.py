"""Label corrections as data: a CSV with the columns id, image, field, value.

    id,image,field,value
    000020,normal,mask,incorrect     mask state of one image: worn, incorrect or none
    006359,,gender,flip              gender of a person: male, female, or flip for the other one than published
    000017,,age,41                   age of a person in years

Corrections are made to the labels as published, so `flip` is not for a copy that somebody mended already. No label may
be corrected twice, in one file or across files: a second `flip` would undo the first in silence. Corrections of persons
or images that are not there are counted and told, no more: taking part of a data set is fair use.

Persons under two ids as data: a CSV with the columns id and other, a row for each pair; others are for people.

`python -m shared.label_audit` writes such a file, without rows where it finds none. `--group-duplicates` of training
keeps the persons of a pair in one fold: else a network is scored on a face it has learnt. Persons that are not there
are passed over, as in label fixes.

The true classes of the eval images, where they are known: for scoring only, never for choosing.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shared.labels import CLASS_COUNT, GENDERS, IMAGE_KINDS
from shared.messages import UserError, counted, first_of, listed
from shared.tables import Fault, Row, describe, read_age, read_gender, read_mask, read_rows

FLIP = "flip"


@dataclass(frozen=True)
class _Fix:
    where: str
    person: str
    kind: str
    field: str
    value: float | str
    """As in the training table, or `FLIP`."""

    @property
    def target(self) -> str:
        return " ".join(filter(None, (self.person, self.kind, self.field)))


def apply_fixes(table: pd.DataFrame, files: Sequence[Path]) -> pd.DataFrame:
    """A training table (see `manifest.load_training`) with its labels corrected, as a copy.

    Says on stderr how many corrections met nothing. Raises `UserError` listing unusable and contradictory ones.
    """
    fixes = [fix for file in files for fix in _read_fixes(file)]
    _refuse_repeats(fixes)
    fixed = table.copy()
    idle = [fix for fix in fixes if not _apply(fixed, fix)]
    if idle:
        targets = first_of([fix.target for fix in idle])
        print(f"{len(idle)} of {len(fixes)} label fixes are of images that are not here: {targets}", file=sys.stderr)
    return fixed


def targets_of(files: Sequence[Path]) -> set[str]:
    """What the corrections of some files are about: "000020 normal mask", "006359 gender"."""
    return {fix.target for file in files for fix in _read_fixes(file)}


def _apply(table: pd.DataFrame, fix: _Fix) -> bool:
    """Correct `table` in place; whether there was anything to correct."""
    chosen = table["person"] == fix.person
    if fix.kind:
        chosen &= table["kind"] == fix.kind
    if fix.value == FLIP:
        table.loc[chosen, fix.field] = 1 - table.loc[chosen, fix.field]
    else:
        table.loc[chosen, fix.field] = fix.value
    return bool(chosen.any())


def _read_fixes(file: Path) -> list[_Fix]:
    rows, faults = read_rows(file, ("id", "image", "field", "value"), may_be_empty=True)
    fixes = []
    for row in rows:
        try:
            fixes.append(_read_fix(file, row))
        except ValueError as error:
            faults.append(Fault(row.number, row.text["id"], str(error)))
    if faults:
        raise UserError(f"{file} has label fixes that cannot be made:\n{describe(faults)}\nCorrect them there.")
    return fixes


def _read_fix(file: Path, row: Row) -> _Fix:
    """Raises `ValueError` saying what is wrong with the row."""
    kind, field = row.text["image"], row.text["field"]
    if field not in _READERS:
        raise ValueError(f"field {field!r} is none of {', '.join(_READERS)}")
    if field == "mask" and kind not in IMAGE_KINDS:
        raise ValueError(f"image {kind!r} is none of {', '.join(IMAGE_KINDS)}")
    if field != "mask" and kind:
        raise ValueError(f"{field} is of a person, so image must be blank, not {kind!r}")
    return _Fix(f"{file} row {row.number}", row.text["id"], kind, field, _READERS[field](row.text["value"]))


def _read_gender_fix(text: str) -> int | str:
    try:
        return FLIP if text.lower() == FLIP else read_gender(text)
    except ValueError:
        raise ValueError(f"gender {text!r} is none of {', '.join(GENDERS)}, {FLIP}") from None


_READERS: dict[str, Callable[[str], float | str]] = {"mask": read_mask, "gender": _read_gender_fix, "age": read_age}


def _refuse_repeats(fixes: Sequence[_Fix]) -> None:
    first: dict[str, _Fix] = {}
    repeats = [f"{fix.where}: {fix.target}, as in {first[fix.target].where}" for fix in fixes if _seen(first, fix)]
    if repeats:
        raise UserError(f"labels that are fixed twice:\n{listed(repeats)}\nKeep one of each.")


def _seen(first: dict[str, _Fix], fix: _Fix) -> bool:
    return first.setdefault(fix.target, fix) is not fix


Pair = tuple[str, str]
"""Two ids that are taken for one person."""

COLUMNS = ("id", "other")


def read_pairs(file: Path) -> list[Pair]:
    """The pairs of a file. Raises `UserError` where a row names fewer than two persons."""
    rows, faults = read_rows(file, COLUMNS, may_be_empty=True)
    pairs = []
    for row in rows:
        one, other = (row.text[name] for name in COLUMNS)
        if one and other and one != other:
            pairs.append((one, other))
        else:
            faults.append(Fault(row.number, one or other, "id and other must be two persons"))
    if faults:
        raise UserError(f"{file} has rows that are no pairs of persons:\n{describe(faults)}")
    return pairs


def read_solution(path: Path) -> pd.DataFrame:
    """The class, 0-17, of each image in the column `truth`; its `age` in years and `person` where the file has them.

    The file is a CSV with the columns ImageID and ans, like a submission. Indexed by image. Raises `UserError`
    listing the first rows that make no sense.
    """
    rows, faults = read_rows(path, ("ImageID", "ans"))
    records: dict[str, dict[str, float | str]] = {}
    for row in rows:
        try:
            records[_name(row, records)] = _answer(row)
        except ValueError as error:
            faults.append(Fault(row.number, row.text["ImageID"], str(error)))
    if faults:
        raise UserError(
            f"{path} has {counted(len(faults), 'row')} that cannot be scored against:\n{describe(faults)}\n"
            "Correct them, or leave --truth out."
        )
    return pd.DataFrame.from_dict(records, orient="index").astype({"truth": int}).rename_axis("image")


def _name(row: Row, known: dict[str, dict[str, float | str]]) -> str:
    if row.text["ImageID"] in known:
        raise ValueError("this ImageID was there already")
    return row.text["ImageID"]


def _answer(row: Row) -> dict[str, float | str]:
    answer = row.text["ans"]
    if answer not in map(str, range(CLASS_COUNT)):
        raise ValueError(f"ans {answer!r} is no class of 0-{CLASS_COUNT - 1}")
    years = {"age": read_age(row.text["age"])} if "age" in row.text else {}
    person = {"person": row.text["person"]} if "person" in row.text else {}
    return {"truth": int(answer), **years, **person}
