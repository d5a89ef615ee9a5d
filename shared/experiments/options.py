"""What the commands of experiments can be told. Loads nothing heavy."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from shared.errors import UserError
from shared.training.options import TrainOptions


@dataclass(frozen=True)
class AblateOptions:
    """Measure single changes against a baseline, on the same persons; what was measured before is not run again."""

    train: TrainOptions = field(default_factory=TrainOptions)
    """The baseline, and with --outputs where all of it goes (outputs/TASK-ablation when left out)."""
    change: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """OPTION=VALUE of this command, also crop=whole, crop=centre, average=FOLDS; repeatable, several in quotes are one
    change. Without any, the task's own list is measured."""
    truth: Path | None = None
    """True classes of the eval pictures (ImageID, ans, person, age); only average=FOLDS is measured on them."""


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
    """The effort at which much is tried: one fold, small pictures, few epochs."""
    return replace(defaults, only_fold=0, epochs=4, size=96)


def labels_of(options: TrainOptions) -> dict[str, Any]:
    """What decides labels and folds besides the data and `TrainOptions.identity()`, as JSON knows it.

    Empty by default: so what was trained and tried before this was told keeps its name.
    """
    pairs = options.group_duplicates
    told = {
        "fixes": [str(file.resolve()) for file in options.fixes],
        "group_duplicates": str(pairs.resolve()) if pairs else None,
        "skip_bad": options.skip_bad,
    }
    return {name: value for name, value in told.items() if value}
