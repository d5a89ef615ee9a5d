"""Train the age specialist: `python -m pipelines.age.train`."""

from dataclasses import replace
from functools import partial

from pipelines.age.options import AgeOptions
from shared.commands import run


def main(options: AgeOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.age.specialist import AGE
    from pipelines.age.years import censored_targets
    from shared.training.run import train

    train(replace(AGE, targets=partial(censored_targets, top_code=options.top_code)), options)


if __name__ == "__main__":
    run(main, AgeOptions())
