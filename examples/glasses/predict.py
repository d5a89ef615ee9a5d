"""Predict with the trained glasses specialist: `python -m examples.glasses.predict`."""

from examples.glasses.specialist import GLASSES
from shared.commands import run
from shared.training.inference import PredictOptions, predict

if __name__ == "__main__":
    run(lambda options: predict(GLASSES, options), PredictOptions())
