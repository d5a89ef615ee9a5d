"""Train the age specialist: `python -m pipelines.age.train`."""

from pipelines.age.options import DEFAULTS, AgeOptions
from shared.commands import run


def main(options: AgeOptions) -> None:
    # Imported after the command line is parsed: torch takes seconds to load.
    from pipelines.age.specialist import specialist
    from shared.training.run import train

    train(specialist(options), options)


if __name__ == "__main__":
    run(main, DEFAULTS)
