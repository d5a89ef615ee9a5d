"""Options of the age specialist found by trial: `python -m pipelines.age.tune`."""

from typing import TYPE_CHECKING, Any

from pipelines.age.options import DEFAULTS
from shared.commands import run
from shared.experiments.options import TuneOptions, screening, usual_space

if TYPE_CHECKING:
    from optuna import Trial


def space(trial: "Trial") -> dict[str, Any]:
    """The weakest of the three: how fast it learns, and what holds it back from learning persons by heart."""
    side = trial.suggest_float("side", 0.7, 1.0)
    return {
        "window": (side, 0.5, 0.5),
        **usual_space(trial),
    }


def main(options: TuneOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.age.heads import specialist
    from shared.experiments.tuning import tune

    tune(specialist, space, options)


if __name__ == "__main__":
    run(main, TuneOptions(screening(DEFAULTS)))
