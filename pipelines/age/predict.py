"""Predict with the trained age specialist: `python -m pipelines.age.predict`."""

from shared.commands import run
from shared.training.options import PredictOptions


def main(options: PredictOptions) -> None:
    # Imported after the command line is parsed: torch takes seconds to load.
    from pipelines.age.specialist import head_of
    from shared.training.inference import predict

    predict(head_of(options.outputs), options)


if __name__ == "__main__":
    run(main, PredictOptions())
