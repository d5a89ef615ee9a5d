"""Predict with the trained mask specialist: `python -m pipelines.mask.predict`."""

from shared.commands import run
from shared.training.options import PredictOptions


def main(options: PredictOptions) -> None:
    # Imported after the command line is parsed: torch takes seconds to load.
    from pipelines.mask.specialist import MASK
    from shared.training.inference import predict

    predict(MASK, options)


if __name__ == "__main__":
    run(main, PredictOptions())
