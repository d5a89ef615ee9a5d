"""The words that options take, away from what they choose: a command line is understood before torch is loaded.

The options that the three specialists' `train` and `predict` commands share. Loads nothing heavy.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from shared.messages import UserError
from shared.tracking import Tracker

DEFAULT_BACKBONE = "tf_efficientnet_lite0"

DeviceName = Literal["auto", "cpu", "cuda"]

ExtraBalance = Literal["base", "own"]

Precision = Literal["no", "fp16", "bf16"]

Rgb = tuple[float, float, float]
"""Red, green, blue."""

SchedulerName = Literal["step", "cosine", "one-cycle", "plateau", "none"]

TtaName = Literal["none", "flip", "all"]


# Where the work is done and how fast, but not what comes out of it.
_WITHOUT_EFFECT = (
    *("data", "extra", "crops", "outputs", "config", "fixes", "group_duplicates", "skip_bad", "overwrite"),
    *("only_fold", "answer_eval", "device", "workers", "track"),
)


@dataclass(frozen=True)
class TrainOptions:
    """Train one specialist on aligned crops, fold by fold; writes oof.csv, eval.csv, weights and run.json."""

    data: Path = Path("data")
    """The competition folder: train/train.csv with train/images, eval/info.csv with eval/images."""
    crops: Path = Path("crops")
    """What shared/crop_faces.py made of it."""
    outputs: Path | None = None
    """Where the results go; outputs/TASK when left out."""
    config: Path | None = None
    """A TOML file of options, such as a tuning leaves; the command line wins over it."""
    folds: int = 5
    """The persons are split into this many parts; each fold holds one of them out."""
    only_fold: int | None = None
    """Train this fold alone, 0 to FOLDS-1; later calls add the others."""
    epochs: int = 8
    """Passes over the training images."""
    size: int = 112
    """Pixels a side of what the network sees."""
    batch_size: int = 32
    """Images per step, on each process."""
    lr: float = 1e-3
    """The highest learning rate (AdamW)."""
    weight_decay: float = 0.02
    """AdamW's, on weights but not on biases and norms."""
    scheduler: SchedulerName = "one-cycle"
    """How the learning rate changes: step (a third of the way, twice, to a tenth), cosine, one-cycle, plateau, none."""
    backbone: str = DEFAULT_BACKBONE
    """Any timm model name."""
    pretrained: bool = True
    """Start from ImageNet weights; --no-pretrained from random ones."""
    dropout: float = 0.0
    """Before the head, 0 to below 1."""
    label_smoothing: float = 0.0
    """Share of every label that is spread evenly over all outputs, 0 to below 1."""
    mixup: float = 0.0
    """Lay every training image over another, in proportions drawn from Beta(MIXUP, MIXUP); 0 mixes nothing."""
    window: tuple[float, float, float] | None = None
    """The square of the crop that is looked at: side, centre x and y, as shares of the crop; else the specialist's."""
    noise: float | None = None
    """Largest standard deviation of noise on training images, as a share of the range; else the specialist's."""
    holes: float | None = None
    """How often holes are cut into training images, 0 to 1; else the specialist's."""
    balance: bool = False
    """Draw images so that every class of this specialist comes equally often."""
    extra: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """A further folder with train.csv and images/, learnt from and never held out; may be given again for more."""
    extra_draws: float = 1.0
    """How often an epoch shows an image of the extra folders in the mean; every one of the base data comes once."""
    extra_epochs: int = 0
    """Passes over the extra persons alone before the first fold; every fold starts from what they taught."""
    fold_lr: float | None = None
    """The highest learning rate of the folds after --extra-epochs, which are at LR; LR too when left out."""
    extra_balance: ExtraBalance = "base"
    """Draw extra persons so that gender, age band and mask are as frequent as in the base data; own: as they come."""
    drawn_masks: float = 0.3
    """Share of the masked images shown that are the bare one of that person with a mask drawn on it; where all are
    bare, above 0 draws masks as often as the base data, or else the competition, has them. 0 draws none, nor the
    beards, hands, close cuts and the like that come with them."""
    ema: float = 0.0
    """Decay of the moving average of the weights that is scored and kept, with warm-up; 0 switches it off."""
    tta: TtaName = "flip"
    """Test-time views averaged: the crop alone, with its mirror image, or those and four small shifts of both (ten
    looks)."""
    mean: Rgb | None = None
    """RGB mean, 0 to 1, that images are normalised with; the backbone's own when left out."""
    std: Rgb | None = None
    """RGB standard deviation, 0 to 1, likewise."""
    answer_eval: bool = True
    """Answer for the eval images too, where the data has any."""
    mixed_precision: Precision = "no"
    """Half precision where the device is faster with it."""
    device: DeviceName = "auto"
    """auto takes a GPU where there is one."""
    workers: int = 1
    """Processes that read and augment images beside the training; 0 reads in the training process."""
    seed: int = 0
    """Of weights, drawing order, augmentation and dropout; the folds do not depend on it."""
    fixes: tuple[Path, ...] = ()
    """Label corrections (id, image, field, value), such as shared/fixes/boostcamp.csv."""
    group_duplicates: Path | None = None
    """Keep persons under two ids in one fold: pairs of them (id, other), as shared.label_audit writes."""
    track: Tracker = "none"
    """Send what lands in runs.csv to a local MLflow store too, mlflow.db beside it."""
    skip_bad: bool = False
    """Leave rows of train.csv and info.csv out that cannot be used, and list them in rejected.csv."""
    overwrite: bool = False
    """Discard what a run with other options left in the outputs folder; one with the same options goes on."""

    def __post_init__(self) -> None:
        requirements = {
            "--folds": (self.folds >= 2, "at least 2", self.folds),
            "--only-fold": (self.only_fold in (None, *range(self.folds)), f"0 to {self.folds - 1}", self.only_fold),
            "--epochs": (self.epochs >= 1, "at least 1", self.epochs),
            "--size": (self.size >= 32, "at least 32 pixels", self.size),
            "--batch-size": (self.batch_size >= 2, "at least 2, for batch norm", self.batch_size),
            "--lr": (0 < self.lr < math.inf, "above 0", self.lr),
            "--weight-decay": (0 <= self.weight_decay < math.inf, "0 or more", self.weight_decay),
            "--dropout": (0 <= self.dropout < 1, "0 to below 1", self.dropout),
            "--extra-epochs": (
                self.extra_epochs == 0 or (self.extra_epochs > 0 and bool(self.extra)),
                "0 or more, and needs --extra FOLDER",
                self.extra_epochs,
            ),
            "--fold-lr": (
                self.fold_lr is None or (0 < self.fold_lr < math.inf and self.extra_epochs > 0),
                "above 0, and needs --extra-epochs",
                self.fold_lr,
            ),
            "--extra-draws": (0 <= self.extra_draws < math.inf, "0 or more", self.extra_draws),
            "--drawn-masks": (0 <= self.drawn_masks <= 1, "0 to 1", self.drawn_masks),
            "--label-smoothing": (0 <= self.label_smoothing < 1, "0 to below 1", self.label_smoothing),
            "--mixup": (0 <= self.mixup < math.inf, "0 or more", self.mixup),
            "--noise": (self.noise is None or 0 <= self.noise <= 1, "0 to 1", self.noise),
            "--holes": (self.holes is None or 0 <= self.holes <= 1, "0 to 1", self.holes),
            "--ema": (0 <= self.ema < 1, "0 to below 1", self.ema),
            "--workers": (self.workers >= 0, "0 or more", self.workers),
            "--seed": (0 <= self.seed < 2**32, "0 to 4294967295", self.seed),
        }
        for flag, (holds, wanted, value) in requirements.items():
            if not holds:
                raise UserError(f"{flag} must be {wanted}, not {value}")

    def identity(self) -> dict[str, Any]:
        """The options that decide the numbers, as JSON knows them; two runs that agree in them may share a folder."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name not in _WITHOUT_EFFECT
        }


@dataclass(frozen=True)
class PredictOptions:
    """Answer for images with a trained specialist: the mean over its folds and over test-time views."""

    data: Path = Path("data")
    """A competition folder, or any folder with info.csv and images/."""
    crops: Path = Path("crops")
    """Where the crops of these images are; those that are missing are made."""
    outputs: Path | None = None
    """The run whose weights are used; outputs/TASK when left out."""
    out: Path | None = None
    """The file to write; eval.csv of the run when left out."""
    tta: TtaName | None = None
    """Test-time views averaged: the crop alone, with its mirror image, or those and four small shifts of both (ten
    looks); those that the run was trained with when left out, by which held-out persons were answered too."""
    batch_size: int = 64
    """Images per step."""
    mixed_precision: Precision = "no"
    """Half precision where the device is faster with it."""
    device: DeviceName = "auto"
    """auto takes a GPU where there is one."""
    workers: int = 1
    """Processes that read images beside the network; 0 reads in the same process."""
    skip_bad: bool = False
    """Leave rows of info.csv out that cannot be used, and list them in rejected.csv."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"--batch-size must be at least 1, not {self.batch_size}")
        if self.workers < 0:
            raise UserError(f"--workers must be 0 or more, not {self.workers}")
