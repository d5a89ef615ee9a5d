"""Answer with the trained age specialist: `python -m pipelines.age.predict`."""

from pipelines.age.specialist import AGE
from shared.commands import run
from shared.training.ensemble import PredictOptions, predict

if __name__ == "__main__":
    run(lambda options: predict(AGE, options), PredictOptions())
