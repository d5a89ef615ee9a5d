"""Score the ready-made model on photographs that it was not trained on, beside faceres, the network it starts from.

    python benchmarks/ready_model.py --utkface UTKFACE --faces FOLDER --worn REAL_WORN --bare EXTRA --out scores.json
    python benchmarks/ready_model.py --faces FOLDER --model quick.zip        another bundle, made with --onnx

Rows of folders that are not given are left out. The crop stage cuts out the main face of each image, and `Predictor`
predicts by onnxruntime. An image without a detected face is cut where faces usually are, and counts like the others.
faceres runs by PyTorch as it was published, at the input size of the ready-made model. It does not predict masks.
Without its weights (`face18 weights faceres`) its column is left out.

The predicted age is always the median of the distribution over years, as `Predictor` gives it, never the mean. The
true age is the middle of the labelled year. MAE is the mean over images of the absolute error, in years; age groups
have its median over images, too, which a few large errors do not move.
"""

import json
import statistics
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from machine import describe

from shared.commands import run
from shared.crops import CropSet
from shared.faces.cache import make_crops
from shared.files import READY_MADE, refuse_overwriting, write_text
from shared.fusion.age_intervals import Coverage
from shared.fusion.ages import age_error, median_age, middle_of_year
from shared.fusion.fusion import softmax
from shared.fusion.metrics import accuracy, macro_f1, mean_interval
from shared.fusion.rules import bands_of, mean_of_networks, temper
from shared.label_fixes import read_solution
from shared.labels import BANDS, CLASS_COUNT, GENDERS, MASKS, age_band, decode_class
from shared.manifest import load_evaluation, load_training, split_folder
from shared.messages import UserError, text_table
from shared.predictor import Predictor
from shared.predictor.ensemble import FoldNetwork, Pixels
from shared.ready_model import OUTPUTS, STARTS, split
from shared.ready_model import predict as network_logits
from shared.tables import Fault, describe_faults, read_age, read_gender, read_rows
from shared.training.model import Network

WORN, INCORRECT, NONE = range(len(MASKS))
AGE_GROUPS = ((0, 2), (3, 9), (10, 19), (20, 39), (40, 59), (60, 74), (75, 120))
"""First and last age in completed years."""
SMALL, POOR_JPEG = 48, (cv2.IMWRITE_JPEG_QUALITY, 40)
WARM_UP, TIMED = 5, 40
"""Faces predicted before CPU time is measured, and those it is measured on."""

Scores = dict[str, float]
Predict = Callable[[Sequence[Pixels]], pd.DataFrame]
"""Crops (256, 256, 3), uint8 RGB, to columns gender and band (indices), age (years), and mask if it is predicted."""


@dataclass(frozen=True)
class Options:
    """Score the ready-made model on folders of labelled photographs."""

    utkface: Path | None = None
    """UTKFace: people.csv (file, gender, age) and images/."""
    faces: Path | None = None
    """Portraits of East Asian adults (All-Age-Faces) with drawn masks, in the competition's layout: eval/info.csv,
    eval/images/, and eval_solution.csv with the column age."""
    worn: Path | None = None
    """Photographs of real masks, all worn right: info.csv and images/."""
    bare: Path | None = None
    """East Asian faces without masks: train.csv and images/. A sample of 500 is used."""
    model: Path = READY_MADE
    """The bundle to score; it must hold ONNX files."""
    crops: Path = Path("outputs/ready_model/crops")
    """Folder of the aligned crops of all sets; missing crops are made."""
    out: Path | None = None
    """Write the scores, and the coverage of the age intervals, as JSON for shared.ready_bundle."""


# The two models


def ready_made(predictor: Predictor, crops: Sequence[Pixels]) -> pd.DataFrame:
    """Predict for crops as `Predictor` does."""
    probabilities = predictor.probabilities(crops)
    classes = predictor.contents.decisions.fitted_rule.decide(probabilities)
    table = pd.DataFrame([decode_class(int(number))._asdict() for number in classes])
    decisions = predictor.contents.decisions
    low, high = decisions.intervals.ends(temper(probabilities["age"], decisions.fitted_rule.temperatures["age"]))
    return table.assign(age=median_age(mean_of_networks(probabilities["age"])), low=low, high=high)


def faceres(network: Network, like: FoldNetwork, crops: Sequence[Pixels]) -> pd.DataFrame:
    """Predict gender and age by `network`, which gets the same inputs as `like`."""
    _, gender, age = split(network_logits(network, like.inputs(crops)))
    years = softmax(age.numpy())
    bands = bands_of(years).argmax(axis=1)
    return pd.DataFrame({"gender": gender.numpy().argmax(axis=1), "band": bands, "age": median_age(years)})


def as_it_is(crop: Pixels) -> Pixels:
    return crop


def small(crop: Pixels) -> Pixels:
    """Shrink a crop to `SMALL` pixels a side, a face of half as many, save it as a poor JPEG, and enlarge it again."""
    _, data = cv2.imencode(".jpg", cv2.resize(crop, (SMALL, SMALL), interpolation=cv2.INTER_AREA), POOR_JPEG)
    return np.asarray(cv2.resize(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), crop.shape[:2]), np.uint8)


def predict_all(
    predict: Predict, crops: CropSet, images: Sequence[str], change: Callable[[Pixels], Pixels] = as_it_is
) -> pd.DataFrame:
    """Predict for images in batches, so that few crops are in memory."""
    batches = [images[start : start + 64] for start in range(0, len(images), 64)]
    return pd.concat([predict([change(crops.read(image)) for image in batch]) for batch in batches], ignore_index=True)


def milliseconds(predict: Predict, crops: Sequence[Pixels]) -> float:
    """Return the median CPU time of a face, predicted by itself, of all threads together."""
    faces = iter(crops)
    times = timeit.repeat(lambda: predict([next(faces)]), timer=time.process_time, number=1, repeat=len(crops))
    return 1000 * statistics.median(times[WARM_UP:])


# The sets: images (columns image, path) with their true labels, and the scores of each


def read_utkface(folder: Path) -> pd.DataFrame:
    """Read people.csv, with a column `race` or without; raises `UserError` listing the rows that cannot be used."""
    rows, faults = read_rows(folder / "people.csv", ("file", "gender", "age"))
    records = []
    for row in rows:
        file, gender, age = (row.text[column] for column in ("file", "gender", "age"))
        try:
            path, race = str(folder / "images" / file), row.text.get("race", "")
            records.append((file, path, read_gender(gender), read_age(age), race))
        except ValueError as error:
            faults.append(Fault(row.number, file, str(error)))
    if faults:
        raise UserError(f"{folder / 'people.csv'}: correct or remove these rows\n{describe_faults(faults)}")
    return pd.DataFrame(records, columns=["image", "path", "gender", "age", "race"])


def read_faces(folder: Path) -> pd.DataFrame:
    """Read the eval images and their true labels; raises `UserError` if one has no label."""
    images, solution = load_evaluation(split_folder(folder, "eval")), folder / "eval_solution.csv"
    truth = read_solution(solution)
    if "age" not in truth or not set(images["image"]) <= set(truth.index):
        raise UserError(f"{solution} needs the column age and a row for each image of eval/info.csv")
    truth = truth.loc[images["image"]].reset_index(drop=True)
    labels = pd.DataFrame([decode_class(number)._asdict() for number in truth["truth"]])
    return images[["image", "path"]].join(labels.assign(age=truth["age"]))


def read_worn(folder: Path) -> pd.DataFrame:
    return load_evaluation(split_folder(folder, "eval"))


def read_bare(folder: Path) -> pd.DataFrame:
    """Read a random sample of the bare faces, always the same."""
    bare = load_training(split_folder(folder, "train")).query(f"mask == {NONE}")
    return bare.sample(min(500, len(bare)), random_state=0)


def utkface_scores(true: pd.DataFrame, predicted: pd.DataFrame) -> Scores:
    error = np.abs(age_error(predicted["age"], true["age"]))
    scores = {
        f"UTKFace, {len(true):,} photographs: gender, accuracy": accuracy(true["gender"], predicted["gender"]),
        "UTKFace: age band, macro F1": macro_f1(true["age"].map(age_band), predicted["band"], len(BANDS)),
        "UTKFace: age, MAE in years": float(error.mean()),
        **share_of(NONE, "UTKFace: no mask predicted, share", true, predicted),
    }
    right = true["gender"] == predicted["gender"]
    ages = {f"age {first} to {last}": np.floor(true["age"]).between(first, last) for first, last in AGE_GROUPS}
    races = {f"race {race}": true["race"] == race for race in sorted(set(true["race"]) - {""})}
    for name, inside in ((name, inside) for name, inside in {**ages, **races}.items() if inside.any()):
        group = f"UTKFace, {name} ({inside.sum()})"
        scores[f"{group}: gender, accuracy"] = float(right[inside].mean())
        scores[f"{group}: age, MAE in years"] = float(error[inside].mean())
        scores[f"{group}: age, median error in years"] = float(np.median(error[inside]))
    return scores


def small_scores(true: pd.DataFrame, predicted: pd.DataFrame) -> Scores:
    name = f"UTKFace as poor JPEGs of {SMALL} pixels, faces of {SMALL // 2}"
    women = (true["gender"] == GENDERS.index("female")).to_numpy()
    return {
        f"{name}: gender, accuracy": accuracy(true["gender"], predicted["gender"]),
        f"{name}: women predicted as men, share": float((predicted["gender"] != true["gender"])[women].mean()),
        f"{name}: age, MAE in years": float(np.abs(age_error(predicted["age"], true["age"])).mean()),
        **share_of(NONE, f"{name}: no mask predicted, share", true, predicted),
    }


def coverage(true: pd.DataFrame, predicted: pd.DataFrame) -> Coverage:
    """How often the 80 % intervals held the true age; every photograph counts as another person."""
    ages = middle_of_year(true["age"])
    held = ((predicted["low"] <= ages) & (ages <= predicted["high"])).to_numpy()
    bands = true["age"].map(age_band)
    return Coverage(
        *mean_interval(held.astype(float), np.arange(len(held))),
        width=float((predicted["high"] - predicted["low"]).mean()),
        error=float(np.abs(age_error(predicted["age"], true["age"])).mean()),
        persons=len(held),
        top_coded=0.0,
        by_band={name: float(held[bands == band].mean()) for band, name in enumerate(BANDS) if (bands == band).any()},
    )


def faces_scores(true: pd.DataFrame, predicted: pd.DataFrame) -> Scores:
    error = np.abs(age_error(predicted["age"], true["age"]))
    scores: Scores = {}
    for state, shown in {NONE: "no mask", WORN: "mask worn", INCORRECT: "mask worn wrongly"}.items():
        inside = (true["mask"] == state).to_numpy()
        if inside.any():
            name, part = f"East Asian adults, {shown} ({inside.sum():,})", predicted[inside]
            scores[f"{name}: gender, accuracy"] = accuracy(true["gender"][inside], part["gender"])
            scores[f"{name}: age, MAE in years"] = float(error[inside].mean())
            scores |= share_of(state, f"{name}: mask state, recall", true[inside], part)
    if "mask" in predicted:
        f1 = macro_f1(true["mask"], predicted["mask"], len(MASKS))
        scores["East Asian adults, drawn masks: mask state, macro F1"] = f1
        classes, given = (6 * each["mask"] + 3 * each["gender"] + each["band"] for each in (true, predicted))
        scores["East Asian adults, drawn masks: all 18 classes, macro F1"] = macro_f1(classes, given, CLASS_COUNT)
    return scores


def share_of(state: int, name: str, true: pd.DataFrame, predicted: pd.DataFrame) -> Scores:
    """Return the share of images with a predicted mask state; nothing if masks are not predicted."""
    return {name.format(len(true)): float((predicted["mask"] == state).mean())} if "mask" in predicted else {}


SETS: dict[str, tuple[Callable[[Path], pd.DataFrame], Callable[[pd.DataFrame, pd.DataFrame], Scores]]] = {
    "utkface": (read_utkface, utkface_scores),
    "faces": (read_faces, faces_scores),
    "worn": (read_worn, partial(share_of, WORN, "{} real masks worn right: recognised, share")),
    "bare": (read_bare, partial(share_of, NONE, "{} bare East Asian faces: no mask predicted, share")),
}
"""By the flag that names the folder: how it is read and scored."""


def main(options: Options) -> None:
    folders = {flag: getattr(options, flag) for flag in SETS if getattr(options, flag)}
    if not folders:
        raise UserError("nothing to score: name a folder with --utkface, --faces, --worn or --bare")
    refuse_overwriting({"--out": options.out}, [options.model])
    predictor = Predictor.load(options.model, runtime="onnx")
    models: dict[str, Predict] = {"ready-made": partial(ready_made, predictor)}
    try:
        # Its branch for gender and age starts from the published outputs; that for masks is untrained and not used.
        network = Network(STARTS["faceres"].backbone, OUTPUTS, dropout=0.0, pretrained=True)
        models["faceres"] = partial(faceres, network, predictor.specialists["gender"].networks[0])
    except UserError as error:
        print(f"no column of faceres: {error}")
    scores: dict[str, Scores] = {name: {} for name in models}
    covered = None
    for flag, folder in folders.items():
        read, score = SETS[flag]
        images = read(folder)
        crops = make_crops(images, options.crops / flag)
        print(f"{folder}: {crops.index['found'].value_counts().to_dict()}", flush=True)
        for name, predict in models.items():
            predicted = predict_all(predict, crops, list(images["image"]))
            scores[name] |= score(images, predicted)
            if flag == "utkface":
                scores[name] |= small_scores(images, predict_all(predict, crops, list(images["image"]), small))
                covered = asdict(coverage(images, predicted)) if "low" in predicted else covered
    own, timed = scores["ready-made"], [crops.read(image) for image in images["image"][: WARM_UP + TIMED]]
    own["CPU time of a face without detection, ms"] = milliseconds(models["ready-made"], timed)
    cells = [[row, *(f"{each[row]:#.3g}" if row in each else "" for each in scores.values())] for row in own]
    print(f"{describe('onnxruntime')}\n{text_table(('measure', *scores), cells)}")
    if options.out is not None:
        write_text(options.out, json.dumps({"scores": own, "coverage": covered}, indent=2) + "\n")


if __name__ == "__main__":
    run(main, Options())
