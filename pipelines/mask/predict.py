"""Answer with the trained mask specialist: `python -m pipelines.mask.predict`."""

from pipelines.mask.specialist import MASK
from shared.commands import run
from shared.training.ensemble import PredictOptions, predict

if __name__ == "__main__":
    run(lambda options: predict(MASK, options), PredictOptions())
