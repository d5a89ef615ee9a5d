"""Options of `ablate` and `tune`, and the changes and search space that all tasks share. Loads nothing heavy."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shared.messages import UserError
from shared.training.options import DEFAULT_BACKBONE, TrainOptions

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class AblateOptions:
    """Measure single changes against a baseline on the same held-out persons. Finished trainings are reused."""

    train: TrainOptions = field(default_factory=TrainOptions)
    """The baseline. --outputs is the folder of all trainings and of the table (default: outputs/TASK-ablation)."""
    change: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """OPTION=VALUE of training; repeatable. Several in quotes are one change. Default: the list of the task."""
    seeds: int = 2
    """Trainings of each row, with SEED, SEED + 1, ... From 2 on, intervals include the luck of training."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UserError(f"--seeds must be at least 1, not {self.seeds}")


@dataclass(frozen=True)
class TuneOptions:
    """Search options with Optuna. Several of these commands can share a study, and a stopped one continues."""

    train: TrainOptions = field(default_factory=TrainOptions)
    """What all trials share. --outputs is the folder of the study (default: outputs/TASK-tuning)."""
    trials: int = 30
    """Number of finished trials to stop at, those of other workers and earlier calls included."""
    minutes: float | None = None
    """Stop after this time; the next call continues the running trial."""
    storage: str | None = None
    """Keep the study in a PostgreSQL database that workers of several machines share, such as
    postgresql+psycopg://user@host/database, instead of study.db in --outputs. The password is taken from the
    environment variable PGPASSWORD or from ~/.pgpass."""
    prune: bool = True
    """Stop trials early that are below the median of the others."""

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UserError(f"--trials must be at least 1, not {self.trials}")
        if self.storage is not None:
            _check_address(self.storage)
        if self.minutes is not None and not self.minutes > 0:
            raise UserError(f"--minutes must be above 0, not {self.minutes}")


def _check_address(storage: str) -> None:
    """Raise `UserError`, without the address, unless it is one of PostgreSQL without a password."""
    user = storage.partition("://")[2].rpartition("@")[0]
    if ":" in user or "password=" in storage:
        raise UserError(
            "--storage must not hold a password: every user of this machine could read it there, and runs.csv would "
            "keep it. Put it into the environment variable PGPASSWORD or into ~/.pgpass"
        )
    if not storage.startswith("postgresql+psycopg://"):
        raise UserError(f"--storage must begin with postgresql+psycopg://, and {storage} does not")


def screening(defaults: TrainOptions) -> TrainOptions:
    """Return options for quick screening of a whole network: ImageNet start, one fold, small images, few epochs."""
    return defaults.with_values(backbone=DEFAULT_BACKBONE, only_fold=0, epochs=4, size=96)


def label_options(options: TrainOptions) -> dict[str, Any]:
    """Return the options that change labels and folds but are not in `TrainOptions.identity()`, as JSON values."""
    pairs = options.data.group_duplicates
    values = {
        "fixes": [str(file.resolve()) for file in options.data.fixes],
        "group_duplicates": str(pairs.resolve()) if pairs else None,
        "skip_bad": options.data.skip_bad,
    }
    return {name: value for name, value in values.items() if value}


def cache_key(options: TrainOptions) -> str:
    """Return a hash of the options that change training; fold and TTA choices reuse the trained networks."""
    extra = [str(folder.absolute()) for folder in options.data.extra]
    content = json.dumps([options.identity(), extra, label_options(options)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def refuse_several_processes(command: str) -> None:
    """Raise `UserError` under torchrun or accelerate launch: each process would follow a list of its own."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            f"{command} trains one network after another and cannot share one among processes: start it without "
            "torchrun. Several tune commands at once share one study, each on a GPU of its own (CUDA_VISIBLE_DEVICES)"
        )


COMMON_CHANGES = (
    "size=80",
    "size=128",
    # Sampling and augmentation.
    "balance=true",
    "mixup=0.2",
    "drawn_masks=0",
    # Regularisation.
    "dropout=0.2",
    "label_smoothing=0.05",
    "weight_decay=0.1",
    # Optimisation.
    "lr=0.0005",
    "lr=0.002",
    "ema=0.99",
    "scheduler=step",
    "scheduler=cosine",
    "scheduler=none",
    # Backbones. Those without installed weights start from random ones; compare them with pretrained=false.
    "backbone=tf_efficientnet_lite1",
    "backbone=tf_efficientnet_lite2",
    "pretrained=false",
    "backbone=resnet18 pretrained=false",
    "backbone=mobilenetv3_large_100 pretrained=false",
    # Test-time augmentation: predicts with the baseline's own networks.
    "tta=none",
    "tta=all",
)
"""Changes that every task measures against its own defaults."""


def common_space(trial: "Trial") -> dict[str, Any]:
    """Return the options that every task searches: learning rate, schedule and regularisation."""
    return {
        "lr": trial.suggest_float("lr", 3e-4, 4e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.2, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "mixup": trial.suggest_categorical("mixup", [0.0, 0.1, 0.2, 0.4]),
        "balance": trial.suggest_categorical("balance", [False, True]),
        "ema": trial.suggest_categorical("ema", [0.0, 0.98, 0.99, 0.995]),
        "scheduler": trial.suggest_categorical("scheduler", ["one-cycle", "cosine"]),
    }
