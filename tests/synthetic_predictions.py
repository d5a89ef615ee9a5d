"""Held-out answers as specialists of known faults would give them: seeded, and as many persons as a test needs."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.folds import assign_folds
from shared.fusion.ages import median_age
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import HeldOut
from shared.labels import IMAGE_KINDS, age_band, mask_of

YEARS = np.arange(101)
SHARES = (0.47, 0.43, 0.10)
"""Of the age bands among persons, as in the competition."""


def held_out_predictions(
    persons: int, seed: int = 0, doubt: float = 1.0, sharpness: float = 1.0, years_off: float = 0.0, folds: int = 5
) -> HeldOut:
    """Seven images of each person, answered by three specialists.

    `doubt` is the noise of what they see, 0 for none. Their probabilities are what follows from it, raised to
    `sharpness`: above 1 they are too sure. People of 45 and more are taken for `years_off` years younger.
    """
    random = np.random.default_rng(seed)
    table = _people(persons, random)
    known = pd.DataFrame(
        {
            "image": [f"{person}/{kind}.jpg" for person in table["person"] for kind in IMAGE_KINDS],
            "mask": [mask_of(kind) for _ in table["person"] for kind in IMAGE_KINDS],
        }
    ).join(table.loc[table.index.repeat(len(IMAGE_KINDS))].reset_index(drop=True))
    truth = {
        "mask": known["mask"].to_numpy(),
        "gender": known["gender"].to_numpy(),
        "age": known["age"].map(age_band).to_numpy(),
    }
    images = pd.Index(known["image"], name="image")
    answers = {task: _answers(task, truth[task], doubt, sharpness, images, random) for task in ("mask", "gender")}
    answers["age"] = _ages(known["age"].to_numpy(), doubt, sharpness, years_off, images, random)
    folds_of = known["person"].map(assign_folds(known, folds)) if folds > 1 else pd.Series(0, known.index)
    return HeldOut(answers, truth, known["person"].set_axis(images), folds_of.set_axis(images))


def _people(count: int, random: np.random.Generator) -> pd.DataFrame:
    """Six cells in the competition's shares, and none of them empty."""
    bands = np.concatenate([[0, 1, 2], random.choice(3, count, p=SHARES)])[:count]
    ages = np.array([18, 30, 60])[bands] + random.integers(0, [12, 30, 15], (count, 3))[np.arange(count), bands]
    return pd.DataFrame(
        {"person": [f"{n:05}" for n in range(count)], "gender": random.integers(0, 2, count), "age": ages.astype(float)}
    )


def _answers(
    task: str,
    truth: NDArray[np.int64],
    doubt: float,
    sharpness: float,
    images: pd.Index,
    random: np.random.Generator,
) -> pd.DataFrame:
    """The posterior of a class seen as a unit vector under normal noise of variance `doubt`."""
    classes = list(SPECIALISTS[task])
    seen = np.eye(len(classes))[truth] + np.sqrt(doubt) * random.standard_normal((len(truth), len(classes)))
    prior = np.bincount(truth, minlength=len(classes)) / len(truth)
    logs = seen / max(doubt, 1e-3) + np.log(np.maximum(prior, 1e-3))
    return pd.DataFrame(_normalised(sharpness * logs), columns=classes, index=images)


def _ages(
    ages: NDArray[np.float64],
    doubt: float,
    sharpness: float,
    years_off: float,
    images: pd.Index,
    random: np.random.Generator,
) -> pd.DataFrame:
    """A normal distribution over years around what is seen, its bands and its median."""
    spread = 2 + 6 * doubt
    seen = ages + np.where(ages >= 45, -years_off, 0) + spread * random.standard_normal(len(ages))
    years = _normalised(-sharpness * (YEARS - seen[:, None]) ** 2 / (2 * spread**2))
    bands = np.stack([part.sum(axis=1) for part in np.split(years, (30, 60), axis=1)], axis=1)
    parts = [
        pd.DataFrame(bands, columns=list(SPECIALISTS["age"]), index=images),
        pd.DataFrame({"age": median_age(years)}, index=images),
        pd.DataFrame(years, columns=[f"year_{year}" for year in YEARS], index=images),
    ]
    return pd.concat(parts, axis="columns")


def _normalised(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
