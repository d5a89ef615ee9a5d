"""Corrections of labels, pairs of ids of one person, and true classes, each as a CSV file.

    id,image,field,value
    000020,normal,mask,incorrect     mask state of one image: worn, incorrect or none
    006359,,gender,flip              gender of a person: male, female, or flip for the opposite of the published label
    000017,,age,41                   age of a person in years

Corrections apply to the labels as published, so `flip` is wrong for a copy that somebody has already corrected. No
label may be corrected twice, in one file or in several: a second `flip` would silently undo the first. Corrections of
persons or images that are not in the data are only counted: a data set may be a part of the published one.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shared.labels import CLASS_COUNT, GENDERS, IMAGE_KINDS
from shared.messages import UserError, counted, first_of, listed
from shared.tables import Fault, Row, describe_faults, read_age, read_gender, read_mask, read_rows

FLIP = "flip"

SHIPPED = Path(__file__).parent / "fixes"
"""Folder of the label fixes that come with face18: boostcamp."""

Pair = tuple[str, str]
"""Two ids of one person."""


@dataclass(frozen=True)
class _Fix:
    where: str
    """File and row, for messages."""
    person: str
    kind: str
    field: str
    value: float | str
    """As in the training table, or `FLIP`."""

    @property
    def target(self) -> str:
        """The corrected label, for example "000020 normal mask" or "006359 gender"."""
        return " ".join(filter(None, (self.person, self.kind, self.field)))


def apply_fixes(table: pd.DataFrame, files: Sequence[Path]) -> pd.DataFrame:
    """Return a copy of a training table (see `manifest.load_training`) with corrected labels.

    Reports on stderr how many corrections concern images that are not in the table. Raises `UserError` listing unusable
    and contradictory corrections.
    """
    fixes = [fix for file in files for fix in _read_fixes(file)]
    _refuse_repeats(fixes)
    fixed = table.copy()
    idle = [fix for fix in fixes if not _apply(fixed, fix)]
    if idle:
        targets = first_of([fix.target for fix in idle])
        print(f"{len(idle)} of {len(fixes)} label fixes concern images that are not here: {targets}", file=sys.stderr)
    return fixed


def targets_of(files: Sequence[Path]) -> set[str]:
    """The labels that some files correct: "000020 normal mask", "006359 gender"."""
    return {fix.target for file in files for fix in _read_fixes(file)}


def _apply(table: pd.DataFrame, fix: _Fix) -> bool:
    """Correct `table` in place; return whether it has the person or image."""
    chosen = table["person"] == fix.person
    if fix.kind:
        chosen &= table["kind"] == fix.kind
    if fix.value == FLIP:
        table.loc[chosen, fix.field] = 1 - table.loc[chosen, fix.field]
    else:
        table.loc[chosen, [fix.field, *LABEL_COLUMNS.get(fix.field, ())]] = fix.value
    return bool(chosen.any())


def fixes_file(file: Path) -> Path:
    """The file with this path or, for a plain name such as `boostcamp`, the one that comes with face18."""
    shipped = SHIPPED / f"{file}.csv"
    return shipped if not file.exists() and file.parent == Path() and shipped.is_file() else file


def _read_fixes(file: Path) -> list[_Fix]:
    file = fixes_file(file)
    rows, faults = read_rows(file, ("id", "image", "field", "value"), may_be_empty=True)
    fixes = []
    for row in rows:
        try:
            fixes.append(_read_fix(file, row))
        except ValueError as error:
            faults.append(Fault(row.number, row.text["id"], str(error)))
    if faults:
        raise UserError(f"{file} has unusable label fixes:\n{describe_faults(faults)}\nCorrect them there.")
    return fixes


def _read_fix(file: Path, row: Row) -> _Fix:
    """Raises `ValueError` with the reason if the row cannot be used."""
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


LABEL_COLUMNS = {"age": ("age_low", "age_high")}
"""Further columns of the training table that a correction of a field sets."""

_READERS: dict[str, Callable[[str], float | str]] = {"mask": read_mask, "gender": _read_gender_fix, "age": read_age}


def _refuse_repeats(fixes: Sequence[_Fix]) -> None:
    first: dict[str, _Fix] = {}
    repeats = []
    for fix in fixes:
        if first.setdefault(fix.target, fix) is not fix:
            repeats.append(f"{fix.where}: {fix.target}, as in {first[fix.target].where}")
    if repeats:
        raise UserError(f"labels that are fixed twice:\n{listed(repeats)}\nKeep one of each.")


def read_pairs(file: Path) -> list[Pair]:
    """Read pairs of ids of one person, a CSV with the columns id and other; `shared.label_audit` writes such a file.

    Training with `--group-duplicates` keeps them in one fold, so that no network is scored on a face it has learnt.
    Raises `UserError` if a row names fewer than two persons.
    """
    rows, faults = read_rows(file, ("id", "other"), may_be_empty=True)
    pairs = []
    for row in rows:
        one, other = row.text["id"], row.text["other"]
        if one and other and one != other:
            pairs.append((one, other))
        else:
            faults.append(Fault(row.number, one or other, "id and other must be two persons"))
    if faults:
        raise UserError(f"{file} has rows that are no pairs of persons:\n{describe_faults(faults)}")
    return pairs


def read_solution(path: Path) -> pd.DataFrame:
    """Read the true classes of the eval images, for scoring only: a CSV with the columns ImageID and ans.

    Returns a frame indexed by image with the class 0-17 in the column `truth`, and `age` in years and `person` if the
    file has them. Raises `UserError` listing the first unusable rows.
    """
    rows, faults = read_rows(path, ("ImageID", "ans"), optional=("age", "person"))
    records: dict[str, dict[str, float | str]] = {}
    for row in rows:
        name = row.text["ImageID"]
        try:
            if name in records:
                raise ValueError("an earlier row has this ImageID")
            records[name] = _true_labels(row)
        except ValueError as error:
            faults.append(Fault(row.number, name, str(error)))
    if faults:
        raise UserError(
            f"{path} has {counted(len(faults), 'unusable row')}:\n{describe_faults(faults)}\n"
            "Correct them, or leave --truth out."
        )
    return pd.DataFrame.from_dict(records, orient="index").astype({"truth": int}).rename_axis("image")


def _true_labels(row: Row) -> dict[str, float | str]:
    label = row.text["ans"]
    if label not in map(str, range(CLASS_COUNT)):
        raise ValueError(f"ans {label!r} is no class of 0-{CLASS_COUNT - 1}")
    years = {"age": read_age(row.text["age"])} if "age" in row.text else {}
    person = {"person": row.text["person"]} if "person" in row.text else {}
    return {"truth": int(label), **years, **person}
