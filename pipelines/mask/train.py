"""Train the mask specialist: `python -m pipelines.mask.train`."""

from pipelines.mask.specialist import MASK
from shared.commands import run
from shared.training.options import TrainOptions
from shared.training.run import train

if __name__ == "__main__":
    run(lambda options: train(MASK, options), TrainOptions())
