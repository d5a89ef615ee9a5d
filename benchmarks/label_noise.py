"""The best scores that noisy age labels allow: the ceiling of a perfect model when ages are estimated by annotators.

    python benchmarks/label_noise.py --data FOLDER --apart 5.6

Two annotations of one photograph differ by `--apart` years on average. If their errors are normal and independent with
standard deviation s, then apart = 2 s / sqrt(pi), the mean of |a - b|, and a model that knows every true age has a
mean absolute error of s sqrt(2 / pi). Samples of persons are simulated: true ages are labels, shrunk by the share of
their variance that is noise; labels are true ages plus noise. The perfect model predicts the true age, with the
thresholds that score best, and the gender with the given accuracy.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.commands import run
from shared.fusion.metrics import macro_f1
from shared.labels import BAND_EDGES, BANDS
from shared.messages import UserError

CUTS = (range(24, 37), range(48, 66))
"""Thresholds in years from which the best are chosen."""


@dataclass(frozen=True)
class Options:
    """Estimate the best macro F1 that age labels as noisy as these allow."""

    data: Path = Path("data")
    """A competition folder with train/train.csv."""
    apart: float = 5.6
    """Mean difference in years of two annotations of one photograph."""
    gender: float = 0.95
    """Accuracy of gender, for the ceiling over gender and band."""
    persons: int = 200
    """Persons in a sample."""
    draws: int = 400
    """Number of samples."""

    def __post_init__(self) -> None:
        for flag, value in {"--apart": self.apart, "--persons": self.persons, "--draws": self.draws}.items():
            if value <= 0:
                raise UserError(f"{flag} must be above 0, not {value}")


def main(options: Options) -> None:
    people = pd.read_csv(options.data / "train/train.csv", dtype={"id": str})
    labels = people["age"].to_numpy(np.float64)
    noise = options.apart * np.sqrt(np.pi) / 2
    if noise**2 >= labels.var():
        raise UserError(f"--apart {options.apart:g}: labels that vary by {labels.std():.1f} years would be noise alone")
    true = labels.mean() + (labels - labels.mean()) * np.sqrt(1 - noise**2 / labels.var())
    female = (people["gender"] == "female").to_numpy()
    rng = np.random.default_rng(0)
    cuts = _best_cuts(true, noise, rng)
    scores = pd.DataFrame([_score(true, female, noise, cuts, options, rng) for _ in range(options.draws)])
    print(f"standard deviation of an annotation {noise:.1f} years; the best thresholds {cuts[0]} and {cuts[1]}")
    print(f"{options.draws} draws of {options.persons} persons; mean, and from the 2.5th to the 97.5th percentile:")
    for name, values in scores.items():
        low, high = np.percentile(values, [2.5, 97.5])
        print(f"  {name:46s} {values.mean():.3f} [{low:.3f}, {high:.3f}]")


def _best_cuts(true: NDArray[np.float64], noise: float, rng: np.random.Generator) -> tuple[int, int]:
    many = rng.choice(true, 50_000)
    bands = _bands(many + rng.normal(0, noise, len(many)), BAND_EDGES)
    scores = {
        (low, high): macro_f1(bands, _bands(many, (low, high)), len(BANDS)) for low in CUTS[0] for high in CUTS[1]
    }
    return max(scores, key=lambda cuts: scores[cuts])


def _score(
    true: NDArray[np.float64],
    female: NDArray[np.bool_],
    noise: float,
    cuts: tuple[int, int],
    options: Options,
    rng: np.random.Generator,
) -> dict[str, float]:
    drawn = rng.integers(len(true), size=options.persons)
    labels = true[drawn] + rng.normal(0, noise, options.persons)
    labelled, predicted = _bands(labels, BAND_EDGES), _bands(true[drawn], cuts)
    gender = female[drawn].astype(int)
    predicted_gender = np.where(rng.random(options.persons) < options.gender, gender, 1 - gender)
    classes = 2 * len(BANDS)
    return {
        "mean error of age, years": float(np.abs(labels - true[drawn]).mean()),
        "age band, macro F1": macro_f1(labelled, predicted, len(BANDS)),
        "gender x band, macro F1, gender always correct": macro_f1(
            3 * gender + labelled, 3 * gender + predicted, classes
        ),
        f"gender x band, macro F1, gender {options.gender:.0%} correct": macro_f1(
            3 * gender + labelled, 3 * predicted_gender + predicted, classes
        ),
    }


def _bands(ages: NDArray[np.float64], edges: tuple[int, int]) -> NDArray[np.int64]:
    return np.digitize(ages, edges)


if __name__ == "__main__":
    run(main, Options())
