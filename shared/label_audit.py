"""Labels that are probably wrong, and persons who are there under two ids or among the eval pictures too.

    python -m shared.label_audit                        outputs/{mask,gender,age} -> outputs/audit/
    python -m shared.label_audit --outputs outputs/demo

    audit/suspects.csv     every label that held-out answers contradict, the surest first
    audit/fixes.csv        those that the networks are sure of, in the form that --fixes takes
    audit/duplicates.csv   persons under two ids, in the form that --group-duplicates takes
    audit/eval_twins.csv   persons whose photograph is among the eval pictures, where these have crops
    audit/audit.html       the contact sheet of all of it: look before you use them

It knows only what was held out: train all folds to have all persons audited. The sheet holds pictures of faces.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shared.atomic import write_text
from shared.audit.duplicates import find_duplicates
from shared.audit.suspects import find_suspects, fixes_of
from shared.audit.twins import Twin, asked_faces, find_twins
from shared.commands import run
from shared.competition.label_fixes import targets_of
from shared.crops import INDEX, open_crops
from shared.errors import UserError
from shared.manifest import load_training, split_folder
from shared.reports.finished_runs import (
    RunOptions,
    find_training_crops,
    read_held_out_answers,
    read_labels,
    read_records,
    trained_on,
)
from shared.wording import counted


@dataclass(frozen=True)
class Options(RunOptions):
    """Find labels that held-out answers contradict, and persons under two ids."""

    sure: float = 0.9
    """Suspects go into fixes.csv from this probability on, 0.5 to 1."""

    alike: float = 0.13
    """Unmasked faces are taken for one picture when at most this share of their hashes' bits differs, 0 to 0.4."""

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
    """id, picture, field, value."""
    pairs: pd.DataFrame
    """As `audit.duplicates.find_duplicates` gives them."""
    asked: pd.DataFrame
    """Persons whose photograph is among the eval pictures: id, distance (of the hashes), eval_picture."""


def main(options: Options) -> None:
    # Here, not above: --help need not wait for it.
    from shared.audit.sheet import asked_section, pair_section, suspect_sections, write_sheet

    runs = options.runs()
    held_out = read_held_out_answers(runs)
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
        pairs=find_duplicates(table, crops, options.alike),
        asked=_asked(find_twins(table, crops, asked_faces(eval_crops), options.alike) if eval_crops else {}),
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


def _asked(twins: Mapping[str, Twin]) -> pd.DataFrame:
    rows = [(person, twin.distance, twin.name) for person, twin in twins.items()]
    return pd.DataFrame(rows, columns=["id", "distance", "eval_picture"])


def _new(fixes: pd.DataFrame, known: set[str]) -> pd.DataFrame:
    """Without what was corrected already: two corrections of one label are refused by --fixes."""
    targets = [" ".join(filter(None, row)) for row in zip(fixes["id"], fixes["picture"], fixes["field"], strict=True)]
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
            f"{counted(len(found.asked), 'person')} whose photograph is among the eval pictures (eval_twins.csv): what "
            "is answered there is not answered of persons never seen"
        )
    lines.append(f"look at {options.folder / 'audit.html'} before you use them")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, Options())
