"""Options of the mask specialist found by trial: `python -m pipelines.mask.tune`."""

from typing import TYPE_CHECKING, Any

from pipelines.mask.options import DEFAULTS
from shared.commands import run
from shared.experiments.options import TuneOptions, screening, usual_space

if TYPE_CHECKING:
    from optuna import Trial


def space(trial: "Trial") -> dict[str, Any]:
    """A mask is large and plain: little to learn by heart, and much to gain from a window that shows where it sits."""
    side = trial.suggest_float("side", 0.55, 0.9)
    # From below: the chin, and a mask that hangs under it, must stay in sight.
    centre_y = 0.98 - side / 2
    return {
        "window": (side, 0.5, centre_y),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        **usual_space(trial),
    }


def main(options: TuneOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.mask.specialist import MASK
    from shared.experiments.tuning import tune

    tune(lambda _: MASK, space, options)


if __name__ == "__main__":
    run(main, TuneOptions(screening(DEFAULTS)))
