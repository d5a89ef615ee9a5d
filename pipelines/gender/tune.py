"""Options of the gender specialist found by trial: `python -m pipelines.gender.tune`."""

from typing import TYPE_CHECKING, Any

from pipelines.gender.options import DEFAULTS
from shared.commands import run
from shared.experiments.options import TuneOptions, screening, usual_space

if TYPE_CHECKING:
    from optuna import Trial


def space(trial: "Trial") -> dict[str, Any]:
    """Few persons and many images of each: what holds the network back from learning persons by heart."""
    side = trial.suggest_float("side", 0.7, 1.0)
    return {
        "window": (side, 0.5, 0.5),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        **usual_space(trial),
    }


def main(options: TuneOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.gender.specialist import GENDER
    from shared.experiments.tuning import tune

    tune(lambda _: GENDER, space, options)


if __name__ == "__main__":
    run(main, TuneOptions(screening(DEFAULTS)))
