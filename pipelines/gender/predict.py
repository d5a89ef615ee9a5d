"""Answer with the trained gender specialist: `python -m pipelines.gender.predict`."""

from pipelines.gender.specialist import GENDER
from shared.commands import run
from shared.training.ensemble import PredictOptions, predict

if __name__ == "__main__":
    run(lambda options: predict(GENDER, options), PredictOptions())
