"""Search options of the age specialist: `python -m pipelines.age.tune`."""

from typing import TYPE_CHECKING, Any

from pipelines.age.options import DEFAULTS
from shared.commands import run
from shared.experiments.options import TuneOptions, common_space, screening

if TYPE_CHECKING:
    from optuna import Trial


def space(trial: "Trial") -> dict[str, Any]:
    """Age is the hardest of the three tasks: learning rate and regularisation are searched."""
    side = trial.suggest_float("side", 0.7, 1.0)
    return {
        "window": (side, 0.5, 0.5),
        **common_space(trial),
    }


def main(options: TuneOptions) -> None:
    # Imported here, so that --help does not wait for torch.
    from pipelines.age.specialist import specialist
    from shared.experiments.tuning import tune

    tune(specialist, space, options)


if __name__ == "__main__":
    run(main, TuneOptions(screening(DEFAULTS)))
