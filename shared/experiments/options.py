"""What the commands of experiments can be told. Loads nothing heavy.

What is worth a try whatever is learnt: a list of changes, and a space to search; a task adds its own to both.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shared.messages import UserError
from shared.training.options import TrainOptions

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class AblateOptions:
    """Measure single changes against a baseline, on the same persons; what was measured before is not run again."""

    train: TrainOptions = field(default_factory=TrainOptions)
    """The baseline, and with --outputs where all of it goes (outputs/TASK-ablation when left out)."""
    change: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """OPTION=VALUE of this command, also crop=whole, crop=centre, average=FOLDS; repeatable, several in quotes are one
    change. Without any, the task's own list is measured."""
    truth: Path | None = None
    """True classes of the eval images (ImageID, ans, person, age); only average=FOLDS is measured on them."""


@dataclass(frozen=True)
class TuneOptions:
    """Search options by trial; several such commands at once share a study, and a stopped one goes on."""

    train: TrainOptions = field(default_factory=TrainOptions)
    """What all trials have in common, and with --outputs where the study goes (outputs/TASK-tuning when left out)."""
    trials: int = 30
    """Stop when so many are finished, those of all workers and earlier calls counted."""
    minutes: float | None = None
    """Stop after so long; the trial at work goes on with the next call."""
    prune: bool = True
    """Give up trials that fall behind."""

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UserError(f"--trials must be at least 1, not {self.trials}")
        if self.minutes is not None and not self.minutes > 0:
            raise UserError(f"--minutes must be above 0, not {self.minutes}")


def screening(defaults: TrainOptions) -> TrainOptions:
    """The effort at which much is tried: one fold, small images, few epochs."""
    return defaults.with_values(only_fold=0, epochs=4, size=96)


def labels_of(options: TrainOptions) -> dict[str, Any]:
    """What decides labels and folds besides the data and `TrainOptions.identity()`, as JSON knows it.

    Empty by default: so what was trained and tried before this was told keeps its name.
    """
    pairs = options.data.group_duplicates
    told = {
        "fixes": [str(file.resolve()) for file in options.data.fixes],
        "group_duplicates": str(pairs.resolve()) if pairs else None,
        "skip_bad": options.data.skip_bad,
    }
    return {name: value for name, value in told.items() if value}


USUAL = (
    # Nothing but other random draws: what differs less from the baseline than these do may be chance.
    "seed=1",
    "seed=2",
    # What is shown: all of the image or its middle, without a detector; the crop at other sizes.
    "crop=whole",
    "crop=centre",
    "size=80",
    "size=128",
    # Which images, and what is done to them.
    "balance=true",
    "mixup=0.2",
    "drawn_masks=0",
    # More persons, where there are some: "extra=../shared/data/extra".
    # What holds the network back from learning them by heart.
    "dropout=0.2",
    "label_smoothing=0.05",
    "weight_decay=0.1",
    # How it learns.
    "lr=0.0005",
    "lr=0.002",
    "ema=0.99",
    "scheduler=step",
    "scheduler=cosine",
    "scheduler=none",
    # Five backbones; those without weights at hand start from random ones, beside ours from random ones.
    "backbone=tf_efficientnet_lite1",
    "backbone=tf_efficientnet_lite2",
    "pretrained=false",
    "backbone=resnet18 pretrained=false",
    "backbone=mobilenetv3_large_100 pretrained=false",
    # How trained networks are asked.
    "tta=none",
    "tta=all",
    "average=3",
    "average=5",
)
"""Each against the baseline, which is the task's own defaults."""


def usual_space(trial: "Trial") -> dict[str, Any]:
    """How fast the network learns, and what holds it back from learning persons by heart."""
    return {
        "lr": trial.suggest_float("lr", 3e-4, 4e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.2, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "mixup": trial.suggest_categorical("mixup", [0.0, 0.1, 0.2, 0.4]),
        "balance": trial.suggest_categorical("balance", [False, True]),
        "ema": trial.suggest_categorical("ema", [0.0, 0.98, 0.99, 0.995]),
        "scheduler": trial.suggest_categorical("scheduler", ["one-cycle", "cosine"]),
    }
