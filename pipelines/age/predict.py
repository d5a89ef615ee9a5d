"""Answer with the trained age specialist: `python -m pipelines.age.predict`."""

from shared.commands import run
from shared.training.options import PredictOptions


def main(options: PredictOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.age.specialist import AGE
    from shared.training.ensemble import predict

    predict(AGE, options)


if __name__ == "__main__":
    run(main, PredictOptions())
