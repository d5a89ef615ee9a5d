"""Prediction files as three specialists would write them, without training any."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.folds import assign_folds
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import write_predictions
from shared.labels import age_band, decode_class
from shared.manifest import load_training


def write_runs(competition: Path, outputs: Path, doubt: float = 0.1, seed: int = 0) -> Path:
    """Runs of all three specialists, right about every image with a probability of more than 1 - `doubt` each."""
    random = np.random.default_rng(seed)
    training = load_training(competition / "train")
    known = training[["image", "person"]].assign(fold=training["person"].map(assign_folds(training, 3)))
    labels = {"mask": training["mask"], "gender": training["gender"], "age": training["age"].map(age_band)}
    solution = pd.read_csv(competition / "eval_solution.csv").rename(columns={"ImageID": "image"})
    answers = np.array([decode_class(number) for number in solution["ans"]])
    for column, (task, classes) in enumerate(SPECIALISTS.items()):
        truth = labels[task].to_numpy()
        held_out = pd.DataFrame(almost_sure(truth, len(classes), doubt, random), columns=list(classes))
        asked = pd.DataFrame(almost_sure(answers[:, column], len(classes), doubt, random), columns=list(classes))
        if task == "age":
            asked["age"] = solution["age"] + 2.5
        write_predictions(outputs / task / "oof.csv", pd.concat([known.assign(truth=truth), held_out], axis="columns"))
        write_predictions(outputs / task / "eval.csv", pd.concat([solution["image"], asked], axis="columns"))
    return outputs


def almost_sure(
    truth: NDArray[np.int64], classes: int, doubt: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Probabilities (N, C) with at least 1 - `doubt` on the truth."""
    spread: NDArray[np.float64] = doubt * random.dirichlet(np.ones(classes), len(truth))
    spread[np.arange(len(truth)), truth] += 1 - doubt
    return spread
