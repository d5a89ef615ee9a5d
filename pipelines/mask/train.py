"""Train the mask specialist: `python -m pipelines.mask.train`."""

from pipelines.mask.options import DEFAULTS
from shared.commands import run
from shared.training.options import TrainOptions


def main(options: TrainOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.mask.specialist import MASK
    from shared.training.run import train

    train(MASK, options)


if __name__ == "__main__":
    run(main, DEFAULTS)
