"""A fourth specialist is one folder: examples/glasses, trained at tiny size and scored on persons unseen."""

import ast
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from tiny_competition import COLUMNS, people, write_csv, write_train
from tiny_crops import write_crops
from tiny_training import FLAGS

from examples.glasses.specialist import GLASSES
from shared.crops import EYES
from shared.fusion.metrics import macro_f1
from shared.fusion.predictions import read_held_out
from shared.manifest import load_training
from shared.messages import UserError
from shared.training.options import TrainOptions
from shared.training.run import train

ROOT = Path(__file__).parents[1]
WORN = ("no", "yes")


def labelled_people(count: int) -> list[dict[str, str]]:
    """Every second of the six cells of gender and age band wears glasses, so that neither tells who does."""
    return [row | {"glasses": WORN[number // 6 % 2]} for number, row in enumerate(people(count))]


def write_labelled(folder: Path, rows: list[dict[str, str]]) -> None:
    write_csv(folder / "train.csv", (*COLUMNS, "glasses"), rows)


@pytest.fixture
def here(tmp_path: Path) -> TrainOptions:
    """Twelve persons with plain crops, half of them with glasses; no eval images."""
    folder = write_train(tmp_path / "data/train", people(12), ["normal"])
    write_labelled(folder, labelled_people(12))
    write_crops(load_training(folder), tmp_path / "crops/train")
    tiny = {**FLAGS, "batch_size": 2}
    return TrainOptions.of(data=tmp_path / "data", crops=tmp_path / "crops", outputs=tmp_path / "glasses", **tiny)


def put_on(table: pd.DataFrame, crops: Path) -> None:
    """Dark glasses on the plain crops of those who wear some: two discs where the eyes lie."""
    for number in np.flatnonzero(table["glasses"] == "yes"):
        file = str(crops / f"{number}.jpg")
        pixels = cv2.imread(file)
        for x, y in EYES:
            cv2.circle(pixels, (round(x), round(y)), 24, (10, 10, 10), -1)
        cv2.imwrite(file, pixels)


def test_it_learns_its_column_of_train_csv_for_persons_it_has_not_seen(here: TrainOptions) -> None:
    folder = write_train(here.data.data.parent / "more/train", people(36), ["mask1", "normal"])
    write_labelled(folder, labelled_people(36))
    table, crops = load_training(folder), here.data.data.parent / "more/crops"
    write_crops(table, crops / "train")
    put_on(table, crops / "train")
    train(
        GLASSES,
        here.with_values(data=folder.parent, crops=crops, folds=3, epochs=6, batch_size=8, lr=5e-3, weight_decay=0.02),
    )
    assert here.run.outputs is not None
    answers = read_held_out(here.run.outputs / "oof.csv", GLASSES.classes)
    assert len(answers) == 24
    labels = {row["id"]: WORN.index(row["glasses"]) for row in labelled_people(36)}
    assert answers["truth"].tolist() == [labels[person] for person in answers["person"]]
    # A coin would get 0.5.
    assert macro_f1(answers["truth"], answers[list(WORN)].to_numpy().argmax(1), 2) > 0.9


def test_without_the_column_the_training_says_what_to_add_and_begins_nothing(here: TrainOptions) -> None:
    write_csv(here.data.data / "train/train.csv", COLUMNS, people(12))
    with pytest.raises(UserError, match=r"lacks the column glasses.*add it"):
        train(GLASSES, here)
    assert here.run.outputs is not None
    assert not here.run.outputs.exists()


def test_a_label_that_is_no_class_is_told_with_its_person(here: TrainOptions) -> None:
    rows = labelled_people(12)
    rows[3]["glasses"] = "sun"
    rows[7]["glasses"] = ""
    write_labelled(here.data.data / "train", rows)
    with pytest.raises(UserError, match=r"glasses 'sun' of person 000004 is none of no, yes \(2 such persons\)"):
        train(GLASSES, here)


def test_labels_count_in_any_case(here: TrainOptions) -> None:
    rows = labelled_people(12)
    rows[0]["glasses"], rows[6]["glasses"] = "No", "YES"
    write_labelled(here.data.data / "train", rows)
    assert GLASSES.truth(load_training(here.data.data / "train")).tolist() == [0] * 6 + [1] * 6


def test_changed_labels_are_another_run(here: TrainOptions) -> None:
    train(GLASSES, here)
    rows = labelled_people(12)
    rows[0]["glasses"] = "yes"
    write_labelled(here.data.data / "train", rows)
    with pytest.raises(UserError, match=r"the labels, images or folds changed.*--overwrite"):
        train(GLASSES, here)


def test_the_page_shows_the_specialist_as_it_is() -> None:
    page = (ROOT / "docs/own_data.md").read_text(encoding="utf-8")
    block = page.split("```python\n")[1].split("```")[0]
    source = (ROOT / "examples/glasses/specialist.py").read_text(encoding="utf-8")
    assert ast.dump(ast.parse(block).body[0]) == ast.dump(ast.parse(source).body[-1])
