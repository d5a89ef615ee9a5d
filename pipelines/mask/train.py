"""Train the mask specialist: `python -m pipelines.mask.train`."""

from shared.commands import run
from shared.training.options import TrainOptions


def main(options: TrainOptions) -> None:
    # Imported after the command line is parsed: torch takes seconds to load.
    from pipelines.mask.specialist import MASK
    from shared.training.run import train

    train(MASK, options)


if __name__ == "__main__":
    run(main, TrainOptions())
