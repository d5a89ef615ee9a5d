"""How many planted label errors and duplicate persons the label audit finds.

    python benchmarks/label_audit.py --people 100 --planted 5
    python benchmarks/label_audit.py --data FOLDER --people 200 --planted 10

The gender of some persons is flipped, others become 30 years older or younger, the image without a mask is swapped with
that of a mask worn wrongly, and some persons get a second id with images that are cropped, lit and compressed anew, one
of them mirrored. Specialists are trained on these labels in five folds by person, and the audit reads their held-out
predictions. The specialists are logistic regressions on frozen ImageNet features: weaker than fine-tuned networks, but
trained in a minute. Results are in docs/reports.md.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from samples import draw, labelled
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from shared import label_audit
from shared.commands import run
from shared.crops import CropSet
from shared.folds import assign_folds
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import OOF, write_predictions
from shared.label_audit import SWAP
from shared.labels import GENDERS, INCORRECT, NORMAL, age_band
from shared.messages import UserError, text_table
from shared.training.model import DEFAULT_BACKBONE, create_backbone

FOLDS = 5
SIDE = 112
"""Input size of the frozen network in pixels."""

KINDS = ("gender", "age", SWAP)


@dataclass(frozen=True)
class Options:
    """Plant label errors and duplicate persons, and count those that the audit finds."""

    data: Path | None = None
    """Competition folder to plant errors in. Default: drawn sample portraits."""
    people: int = 100
    """Number of persons; the first ones of --data."""
    planted: int = 5
    """Persons of each kind of error, and of duplicates."""
    seed: int = 0
    """Seed of the choice of persons."""
    out: Path = Path("outputs/planted")
    """New folder to work in."""

    def __post_init__(self) -> None:
        if self.people < 4 * self.planted:
            raise UserError(f"--people {self.people} must be at least four times --planted {self.planted}")
        if self.out.exists():
            raise UserError(f"--out {self.out} exists: remove it, or name another folder")


@dataclass(frozen=True)
class Planted:
    """Ids of persons."""

    wrong: dict[str, set[str]]
    """By kind of error."""
    copies: set[tuple[str, str]]
    """Pairs of an original and its duplicate."""


def main(options: Options) -> None:
    source = options.data or draw(options.out / "drawn", options.people)
    data = options.out / "data"
    planted = plant(source / "train", data / "train", options)
    table, crops = labelled(data, options.out / "crops")
    write_stand_ins(options.out, table, features(table["image"].tolist(), crops))
    label_audit.main(label_audit.Options(options.out, data=data, crops=options.out / "crops", fixes=()))
    print(f"\n{scores(options.out / 'audit', planted)}")


def plant(source: Path, target: Path, options: Options) -> Planted:
    """Copy a split folder, with label errors and duplicates in the copy."""
    random = np.random.default_rng(options.seed)
    table = pd.read_csv(source / "train.csv", dtype=str).head(options.people)
    for path in table["path"]:
        shutil.copytree(source / "images" / path, target / "images" / path)
    groups = random.permutation(table.index)[: 4 * options.planted].reshape(4, -1)
    for row in groups[0]:
        table.loc[row, "gender"] = GENDERS[1 - GENDERS.index(table.loc[row, "gender"].lower())]
    for row in groups[1]:
        age = float(table.loc[row, "age"])
        table.loc[row, "age"] = f"{age + 30 if age < 45 else age - 30:g}"
    for row in groups[2]:
        exchange(target / "images" / table.loc[row, "path"])
    again = table.loc[groups[3]].assign(id=[f"copy{place}" for place in range(options.planted)])
    for place, (path, copy) in enumerate(zip(again["path"], again["id"], strict=True)):
        copy_person(target / "images" / path, target / "images" / copy, place == 0, random)
    pd.concat([table, again.assign(path=again["id"])]).to_csv(target / "train.csv", index=False)
    wrong = {kind: set(table.loc[rows, "id"]) for kind, rows in zip(KINDS, groups, strict=False)}
    wrong["mask"] = set()  # No error of a single image is planted, so every such suspect is a false alarm.
    return Planted(wrong, set(zip(table.loc[groups[3], "id"], again["id"], strict=True)))


def exchange(folder: Path) -> None:
    """Swap the image without a mask and that of a mask worn wrongly."""
    bare, wrong = (next(folder.glob(f"{kind}.*")) for kind in (NORMAL, INCORRECT))
    aside = folder / "aside"
    bare.rename(aside)
    wrong.rename(folder / f"{NORMAL}{wrong.suffix}")
    aside.rename(folder / f"{INCORRECT}{bare.suffix}")


def copy_person(source: Path, target: Path, mirrored: bool, random: np.random.Generator) -> None:
    """Crop up to 8 % of each side, change brightness by up to 20 %, compress with JPEG quality 60 to 92."""
    target.mkdir()
    for file in source.iterdir():
        pixels = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise UserError(f"{file} cannot be read: errors are planted in sound images only")
        height, width = pixels.shape[:2]
        top, bottom, left, right = random.uniform(0, 0.08, 4) * (height, height, width, width)
        cut = pixels[int(top) : height - int(bottom), int(left) : width - int(right)]
        lit = np.clip(cut * random.uniform(0.8, 1.2) + random.uniform(-15, 15), 0, 255).astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(60, 93))]
        cv2.imwrite(str(target / f"{file.stem}.jpg"), lit[:, ::-1] if mirrored else lit, quality)


def features(images: Sequence[str], crops: CropSet) -> NDArray[np.float32]:
    """Return features (N, F) of a frozen ImageNet network."""
    network = create_backbone(DEFAULT_BACKBONE, 0, 0.0, pretrained=True).eval()
    found = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(images), 32), "features", unit="batch"):
            small = [cv2.resize(crops.read(image), (SIDE, SIDE)) for image in images[start : start + 32]]
            seen = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 127.5 - 1
            maps = network.forward_features(seen)  # type: ignore[operator]
            found.append(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1).numpy())
    return np.concatenate(found)


def write_stand_ins(out: Path, table: pd.DataFrame, seen: NDArray[np.float32]) -> None:
    """Write oof.csv of three specialists that were trained on the wrong labels in folds by person."""
    folds = table["person"].map(assign_folds(table, FOLDS)).to_numpy()
    labels = {"mask": table["mask"], "gender": table["gender"], "age": table["age"].map(age_band)}
    for task, classes in SPECIALISTS.items():
        truth = labels[task].to_numpy()
        predictions = pd.DataFrame(0.0, index=table.index, columns=list(classes))
        for fold in range(FOLDS):
            out_of = folds == fold
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=300))
            predictions.loc[out_of, list(classes)] = model.fit(seen[~out_of], truth[~out_of]).predict_proba(
                seen[out_of]
            )
            if task == "age":
                years = make_pipeline(StandardScaler(), Ridge(3000)).fit(seen[~out_of], table["age"][~out_of])
                predictions.loc[out_of, "age"] = years.predict(seen[out_of]).clip(0, 100)
        known = table[["image", "person"]].assign(fold=folds, truth=truth)
        write_predictions(out / task / OOF, pd.concat([known, predictions], axis="columns"))


def scores(audit: Path, planted: Planted) -> str:
    """Return a table: a row per kind of error with planted, suspected and found ones, and those in fixes.csv."""
    suspects, fixes, pairs = (
        pd.read_csv(audit / f"{name}.csv", dtype=str, keep_default_na=False)
        for name in ("suspects", "fixes", "duplicates")
    )
    rows = []
    for kind, wrong in planted.wrong.items():
        found = set(suspects["id"][suspects["field"] == kind])
        fixed = found & set(fixes["id"][fixes["field"] == kind.partition(" ")[0]])
        rows.append([*_row(kind, wrong, found), len(fixed), len(fixed & wrong)])
    found_pairs = set(zip(pairs["id"], pairs["other"], strict=True))
    rows.append([*_row("two ids", planted.copies, found_pairs), "", ""])
    head = ("", "planted", "suspects", "right", "recall", "precision", "fixes", "right")
    return text_table(head, rows)


def _row(name: str, wrong: set[str] | set[tuple[str, str]], found: set[str] | set[tuple[str, str]]) -> list[object]:
    right = len(wrong & found)
    recall, precision = right / max(len(wrong), 1), right / max(len(found), 1)
    return [name, len(wrong), len(found), right, f"{recall:.2f}", f"{precision:.2f}"]


if __name__ == "__main__":
    run(main, Options())
