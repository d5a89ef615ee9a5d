"""Train the age specialist: `python -m pipelines.age.train`."""

from dataclasses import dataclass, replace
from functools import partial

from pipelines.age.specialist import AGE
from pipelines.age.years import TopCode, censored_targets
from shared.commands import run
from shared.training.options import TrainOptions
from shared.training.run import train


@dataclass(frozen=True)
class AgeOptions(TrainOptions):
    """Train the age specialist on aligned crops, fold by fold; writes oof.csv, eval.csv, weights and run.json."""

    top_code: TopCode = "auto"
    """The label that stands for "this old or older"; auto finds it by the heap that it leaves, none knows of none."""


def main(options: AgeOptions) -> None:
    train(replace(AGE, targets=partial(censored_targets, top_code=options.top_code)), options)


if __name__ == "__main__":
    run(main, AgeOptions())
