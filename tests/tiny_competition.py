"""A competition folder of plain-coloured images, small enough to be made anew for every test."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from shared.labels import IMAGE_KINDS, age_band, encode_class

COLUMNS = ("id", "gender", "race", "age", "path")
EVAL_PEOPLE = (("male", 25), ("female", 45), ("male", 70))


def people(count: int) -> list[dict[str, str]]:
    """Rows of train.csv: the six cells of gender and age band in turn."""
    cells = [(gender, age) for gender in ("male", "female") for age in (20, 40, 65)]
    rows = []
    for number in range(count):
        gender, age = cells[number % len(cells)]
        id_ = f"{number + 1:06}"
        rows.append(dict(zip(COLUMNS, (id_, gender, "Asian", str(age), f"{id_}_{gender}_Asian_{age}"), strict=True)))
    return rows


def image(colour: tuple[int, int, int] = (120, 130, 140)) -> bytes:
    """A plain JPEG, 48 x 64 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (48, 64), colour).save(file, "JPEG")
    return file.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def write_train(folder: Path, rows: Sequence[Mapping[str, str]], kinds: Sequence[str] = IMAGE_KINDS) -> Path:
    """A split folder with the images `kinds` of every person; gives it back."""
    write_csv(folder / "train.csv", COLUMNS, rows)
    for row in rows:
        person = folder / "images" / row["path"]
        person.mkdir(parents=True)
        for kind in kinds:
            (person / f"{kind}.jpg").write_bytes(image())
    return folder


def write_eval(data: Path) -> Path:
    """eval/ with three images of each of `EVAL_PEOPLE`, and eval_solution.csv beside it; gives back eval/."""
    solution: list[dict[str, object]] = []
    for gender, age in EVAL_PEOPLE:
        for mask in range(3):
            answer = encode_class(mask, ("male", "female").index(gender), age_band(age))
            solution.append({"ImageID": f"{9 - len(solution)}{gender}.jpg", "ans": answer, "age": age})
    folder = data / "eval"
    write_csv(folder / "info.csv", ("ImageID", "ans"), [{"ImageID": row["ImageID"], "ans": 0} for row in solution])
    write_csv(data / "eval_solution.csv", ("ImageID", "ans", "age"), solution)
    (folder / "images").mkdir()
    for row in solution:
        (folder / "images" / str(row["ImageID"])).write_bytes(image())
    return folder
