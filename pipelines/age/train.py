"""Train the age specialist: `python -m pipelines.age.train`."""

from dataclasses import replace
from functools import partial

from pipelines.age.options import AgeOptions
from shared.commands import run


def main(options: AgeOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.age.specialist import AGE
    from pipelines.age.years import censored_targets, known_ages
    from shared.training.run import train

    top_code = options.top_code
    targets, labels = partial(censored_targets, top_code=top_code), partial(known_ages, top_code=top_code)
    train(replace(AGE, targets=targets, labels=labels), options)


if __name__ == "__main__":
    run(main, AgeOptions())
