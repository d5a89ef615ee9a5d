"""Search options of the mask specialist: `python -m pipelines.mask.tune`."""

from typing import TYPE_CHECKING, Any

from shared.commands import run
from shared.experiments.options import TuneOptions, common_space, screening
from shared.training.options import TrainOptions

if TYPE_CHECKING:
    from optuna import Trial


def space(trial: "Trial") -> dict[str, Any]:
    """A mask is large and plain: little risk of overfitting, and much to gain from the right window."""
    side = trial.suggest_float("side", 0.55, 0.9)
    # The window ends near the bottom of the crop, so that chin and lowered masks stay visible.
    centre_y = 0.98 - side / 2
    return {
        "window": (side, 0.5, centre_y),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        **common_space(trial),
    }


def main(options: TuneOptions) -> None:
    # Imported here, so that --help does not wait for torch.
    from pipelines.mask.specialist import MASK
    from shared.experiments.tuning import tune

    tune(lambda _: MASK, space, options)


if __name__ == "__main__":
    run(main, TuneOptions(screening(TrainOptions())))
