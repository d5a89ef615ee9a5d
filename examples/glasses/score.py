"""How right the glasses specialist is about persons never seen, by mask state: `python -m examples.glasses.score`.

Compares eval.csv of the run with the truth that `python shared/sample_data.py --glasses 0.5` leaves beside them.
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
    """Score the answers for the eval images of a drawn sample."""

    answers: Path = Path("outputs/glasses/eval.csv")
    """What training or predicting wrote."""
    truth: Path = Path("data/glasses/eval_solution.csv")
    """The truth: ImageID, mask, glasses."""


def main(options: Options) -> None:
    answers = read_predictions(options.answers, GLASSES.classes)
    truth = pd.read_csv(options.truth, index_col="ImageID").loc[answers.index]
    predicted = answers[list(GLASSES.classes)].to_numpy().argmax(1)
    right = GLASSES.truth(truth.reset_index())
    states = {state: (truth["mask"] == number).to_numpy() for number, state in enumerate(MASKS)}
    for name, chosen in {"all": np.full(len(truth), True), **states}.items():
        true, said = right[chosen], predicted[chosen]
        scores = f"macro F1 {macro_f1(true, said, 2):.3f}   {accuracy(true, said):.3f} right"
        print(f"{name:10}{len(true):6} images   {scores}")


if __name__ == "__main__":
    run(main, Options())
