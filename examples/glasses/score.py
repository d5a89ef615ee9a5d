"""Score the glasses specialist on persons never seen, by mask state: `python -m examples.glasses.score`.

Compares eval.csv of the run with the true labels that `python shared/sample_data.py --glasses 0.5` writes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from examples.glasses.specialist import GLASSES
from shared.commands import run
from shared.fusion.metrics import accuracy, macro_f1
from shared.fusion.predictions import read_predictions
from shared.labels import MASKS


@dataclass(frozen=True)
class Options:
    """Score the predictions for the eval images of a drawn sample."""

    predictions: Path = Path("outputs/glasses/eval.csv")
    """Written by training or predicting."""
    truth: Path = Path("data/glasses/eval_solution.csv")
    """True labels: ImageID, mask, glasses."""


def main(options: Options) -> None:
    table = read_predictions(options.predictions, GLASSES.classes)
    labels = pd.read_csv(options.truth, index_col="ImageID").loc[table.index]
    predicted = table[list(GLASSES.classes)].to_numpy().argmax(1)
    truth = GLASSES.truth(labels.reset_index())
    states = {state: (labels["mask"] == number).to_numpy() for number, state in enumerate(MASKS)}
    for name, chosen in {"all": np.full(len(truth), True), **states}.items():
        f1, right = macro_f1(truth[chosen], predicted[chosen], 2), accuracy(truth[chosen], predicted[chosen])
        print(f"{name:10}{chosen.sum():6} images   macro F1 {f1:.3f}   accuracy {right:.3f}")


if __name__ == "__main__":
    run(main, Options())
