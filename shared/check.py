"""Check a competition folder and print what is in it.

python -m shared.check --data data
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shared.commands import run
from shared.folds import CELLS, assign_folds, cell_names
from shared.labels import MASKS
from shared.manifest import load_evaluation, load_training, split_folders
from shared.messages import UserError, counted, text_table


@dataclass(frozen=True)
class Options:
    """Check a competition folder and print what is in it."""

    data: Path = Path("data")
    """The competition's folder, or one split of it."""

    folds: int = 5
    """Number of folds to show; persons are assigned by gender and age band."""

    fixes: tuple[Path, ...] = ()
    """Files of label corrections; boostcamp names the one that comes with face18."""

    skip_bad: bool = False
    """Leave out faulty rows and images and list them in rejected.csv, instead of stopping."""

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UserError(f"--folds must be at least 2, not {self.folds}")


def main(options: Options) -> None:
    """Check both splits and print a summary of each; raises `UserError` with the faults of both."""
    faults = []
    for split, folder in split_folders(options.data).items():
        try:
            if split == "train":
                print(summarise_training(folder, load_training(folder, options.fixes, options.skip_bad), options.folds))
                print()
            else:
                table = load_evaluation(folder, options.skip_bad)
                persons = f" of {table['person'].nunique():,} persons" if "person" in table else ""
                print(f"{folder}: {len(table):,} images{persons} to predict")
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))


def summarise_training(folder: Path, table: pd.DataFrame, folds: int) -> str:
    """Count the images by mask state, and the persons by gender and age band, in total and in each fold.

    If there are too few persons for the folds, only the totals are shown, with the reason.
    """
    persons = table.drop_duplicates("person").set_index("person")
    try:
        assigned, remark = assign_folds(table, folds), ""
    except UserError as error:
        folds, assigned, remark = 0, pd.Series(0, persons.index), f"\n\nnot usable for training yet: {error}"
    title = f"{folder}: {counted(len(table), 'image')} of {counted(len(persons), 'person')}"
    if persons["age"].notna().any():
        youngest, oldest = persons["age"].agg(["min", "max"])
        title += f", {youngest:g} to {oldest:g} years old"
    images = [(name, f"{int((table['mask'] == mask).sum()):,}") for mask, name in enumerate(MASKS)]
    head = ["persons", "all", *(f"fold {number}" for number in range(folds))]
    names = cell_names(persons)
    counts = pd.crosstab(names, assigned.loc[names.index]).reindex([*CELLS, *{*names} - {*CELLS}], fill_value=0)
    counts.loc["together"] = counts.sum()
    rows = [[name, f"{row.sum():,}", *(f"{count:,}" for count in row[:folds])] for name, row in counts.iterrows()]
    return f"{title}\n\n{text_table(('images', 'all'), images)}\n\n{text_table(head, rows)}{remark}"


if __name__ == "__main__":
    run(main, Options())
