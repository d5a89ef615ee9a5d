"""A competition folder with crops and the runs of three specialists on it, without training any."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from synthetic_predictions import held_out_predictions
from tiny_competition import COLUMNS, write_csv
from tiny_crops import write_crops

from shared.fusion.predictions import HeldOut, write_predictions
from shared.labels import GENDERS
from shared.manifest import load_training
from shared.tracking import Record, append

AGES = (20, 40, 65)
"""Years, for each age band."""


def write_finished(folder: Path, held_out: HeldOut, wrong: Mapping[str, Mapping[str, str]] | None = None) -> Path:
    """data/, crops/ and outputs/ below `folder`, with runs.csv telling of the first two; gives back outputs/.

    `wrong` holds labels for train.csv other than those of the truth, by field and person. The truth that runs tell is
    then wrong too, as it would be after training on such labels.
    """
    persons = pd.DataFrame({"person": held_out.persons, **held_out.truth}).drop_duplicates("person")
    known = {row.person: {"gender": GENDERS[row.gender], "age": str(AGES[row.age])} for row in persons.itertuples()}
    for field, labels in (wrong or {}).items():
        for person, label in labels.items():
            known[person][field] = label
    rows = [
        dict(zip(COLUMNS, (id_, row["gender"], "Asian", row["age"], id_), strict=True)) for id_, row in known.items()
    ]
    write_csv(folder / "data/train/train.csv", COLUMNS, rows)
    for image in held_out.persons.index:
        file = folder / "data/train/images" / image
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    table = load_training(folder / "data/train")
    write_crops(table, folder / "crops/train")
    index = folder / "crops/train/index.csv"
    # As if no two files were the same.
    pd.read_csv(index, dtype=str).assign(fingerprint=range(len(table))).to_csv(index, index=False)
    _write_runs(folder, held_out, table.set_index("image").loc[held_out.persons.index])
    return folder / "outputs"


def _write_runs(folder: Path, held_out: HeldOut, labels: pd.DataFrame) -> None:
    truth = {
        "mask": labels["mask"],
        "gender": labels["gender"],
        "age": labels["age"].map(dict(zip(AGES, range(3), strict=True))),
    }
    for task, answers in held_out.predictions.items():
        run = folder / "outputs" / task
        known = pd.DataFrame({"person": held_out.persons, "fold": held_out.folds, "truth": truth[task]})
        write_predictions(run / "oof.csv", known.join(answers))
        epochs = pd.DataFrame({"epoch": [0, 1], "loss": [1.0, 0.5], "macro_f1": [0.4, 0.8], "lr": 0.1, "seconds": 2.0})
        for part in (*(f"fold{fold}" for fold in held_out.folds.unique()), "extra"):
            (run / part).mkdir(parents=True)
            epochs.to_csv(run / part / "history.csv", index=False)
        seconds = {"fold0": 4.0, "extra": 4.0}
        told = {"options": {"lr": 0.25, "epochs": 2}, "data": "d", "recipe": "r", "seconds": seconds}
        origin = {"provenance": {"commit": "0123456789abcdef", "command": ["train.py"], "versions": {"torch": "2.15"}}}
        (run / "run.json").write_text(json.dumps({**told, **origin}))
    options = {"data": folder / "data", "crops": folder / "crops", "fixes": ()}
    entry = Record("training", "mask", folder / "outputs/mask", 4.0, {"macro_f1": 0.5}, options)
    append(folder / "outputs/runs.csv", entry)


def drawn(persons: int, doubt: float = 0.3, seed: int = 0) -> HeldOut:
    """Answers of three good specialists to so many persons."""
    return held_out_predictions(persons, seed, doubt=doubt)
