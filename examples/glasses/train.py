"""Train the glasses specialist: `python -m examples.glasses.train`. See docs/own_data.md."""

from examples.glasses.specialist import GLASSES
from shared.commands import run
from shared.training.options import TrainOptions
from shared.training.run import train

if __name__ == "__main__":
    run(lambda options: train(GLASSES, options), TrainOptions())
