"""What is worth a try whatever is learnt: a list of changes, and a space to search; a task adds its own to both."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Trial

USUAL = (
    # Nothing but other random draws: what differs less from the baseline than these do may be chance.
    "seed=1",
    "seed=2",
    # What is shown: all of the picture or its middle, without a detector; the crop at other sizes.
    "crop=whole",
    "crop=centre",
    "size=80",
    "size=128",
    # Which pictures, and what is done to them.
    "balance=true",
    "noise=0.06",
    "holes=0.3",
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
    "views=plain",
    "views=all",
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
        "noise": trial.suggest_float("noise", 0.0, 0.15),
        "holes": trial.suggest_float("holes", 0.0, 0.8),
        "balance": trial.suggest_categorical("balance", [False, True]),
        "ema": trial.suggest_categorical("ema", [0.0, 0.98, 0.99, 0.995]),
        "scheduler": trial.suggest_categorical("scheduler", ["one-cycle", "cosine"]),
    }
