"""Predict with the trained gender specialist: `python -m pipelines.gender.predict`."""

from shared.commands import run
from shared.training.options import PredictOptions


def main(options: PredictOptions) -> None:
    # Imported after the command line is parsed: torch takes seconds to load.
    from pipelines.gender.specialist import GENDER
    from shared.training.inference import predict

    predict(GENDER, options)


if __name__ == "__main__":
    run(main, PredictOptions())
