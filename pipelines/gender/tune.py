"""Search options of the gender specialist: `python -m pipelines.gender.tune`."""

from typing import TYPE_CHECKING, Any

from shared.commands import run
from shared.experiments.options import TuneOptions, common_space, screening
from shared.training.options import TrainOptions

if TYPE_CHECKING:
    from optuna import Trial


def space(trial: "Trial") -> dict[str, Any]:
    """Few persons with many images each: the network overfits to persons, so regularisation is searched."""
    side = trial.suggest_float("side", 0.7, 1.0)
    return {
        "window": (side, 0.5, 0.5),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        **common_space(trial),
    }


def main(options: TuneOptions) -> None:
    # Imported here, so that --help does not wait for torch.
    from pipelines.gender.specialist import GENDER
    from shared.experiments.tuning import tune

    tune(lambda _: GENDER, space, options)


if __name__ == "__main__":
    run(main, TuneOptions(screening(TrainOptions())))
