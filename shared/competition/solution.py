"""The true classes of the eval pictures, where they are known: for scoring only, never for choosing."""

from pathlib import Path

import pandas as pd

from shared.competition.faults import Fault, describe
from shared.competition.label_values import read_age
from shared.competition.text_rows import Row, read_rows
from shared.errors import UserError
from shared.labels import CLASS_COUNT
from shared.wording import counted


def read_solution(path: Path) -> pd.DataFrame:
    """The class, 0-17, of each picture in the column `truth`; its `age` in years and `person` where the file has them.

    The file is a CSV with the columns ImageID and ans, like a submission. Indexed by picture. Raises `UserError`
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
    return pd.DataFrame.from_dict(records, orient="index").astype({"truth": int}).rename_axis("picture")


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
