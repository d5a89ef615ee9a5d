"""Train the gender specialist: `python -m pipelines.gender.train`."""

from pipelines.gender.specialist import GENDER
from shared.commands import run
from shared.training.options import TrainOptions
from shared.training.run import train

if __name__ == "__main__":
    run(lambda options: train(GENDER, options), TrainOptions())
