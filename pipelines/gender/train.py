"""Train the gender specialist: `python -m pipelines.gender.train`."""

from shared.commands import run
from shared.training.options import TrainOptions


def main(options: TrainOptions) -> None:
    # Imported after the command line is parsed: torch takes seconds to load.
    from pipelines.gender.specialist import GENDER
    from shared.training.run import train

    train(GENDER, options)


if __name__ == "__main__":
    run(main, TrainOptions())
