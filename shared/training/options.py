"""Options of training and prediction, in the groups in which they are passed on.

Every field is a flag of the command line without a prefix (`options.optimisation.lr` is `--lr`), and a key of a
`--config` file. This module loads neither torch nor NumPy, so that `--help` and bad flags are answered at once.

    options = TrainOptions.of(data=Path("faces"), lr=0.002)
    options = options.with_values(epochs=4)
    options.values()["lr"]
"""

import math
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import tyro

from shared.messages import UserError
from shared.tracking import Tracker
from shared.weights import FACE_BACKBONES

DEFAULT_BACKBONE = "tf_efficientnet_lite0"

READY = "ready"
"""The start that means the ready-made model."""

DEFAULT_SIZE = 112
"""Pixels a side, for backbones that were not trained on faces."""

DeviceName = Literal["auto", "cpu", "cuda"]

Freeze = Literal["auto", "body", "none"]

ExtraBalance = Literal["base", "own"]

Precision = Literal["no", "fp16", "bf16"]

Rgb = tuple[float, float, float]
"""Red, green and blue."""

KeptEpoch = Literal["last", "best"]

SchedulerName = Literal["step", "cosine", "one-cycle", "plateau", "none"]

TtaName = Literal["none", "flip", "all"]

WITHOUT_EFFECT = (
    *("data", "extra", "crops", "outputs", "config", "fixes", "group_duplicates", "skip_bad", "overwrite"),
    *("only_fold", "join", "predict_eval", "device", "workers", "track"),
)
"""Options that say where the work is done and how fast. They do not change the trained weights: the labels and images
that some of them name are compared by their fingerprint."""


def _require(flag: str, value: object, holds: bool, wanted: str) -> None:
    """Raise `UserError` unless the value of a flag is what is wanted."""
    if not holds:
        raise UserError(f"{flag} must be {wanted}, not {value}")


@dataclass(frozen=True)
class DataOptions:
    """Which images are learnt from, and how persons are split into folds."""

    data: Path = Path("data")
    """The competition folder: train/train.csv with train/images, and eval/info.csv with eval/images."""
    crops: Path = Path("crops")
    """The folder of crops that shared/crop_faces.py made of --data."""
    folds: int = 5
    """Number of folds. Each fold holds out one part of the persons."""
    extra: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """A further folder with train.csv and images/. Its persons are used for training and never held out."""
    fixes: tuple[Path, ...] = ()
    """CSV files of label corrections (id, image, field, value), or boostcamp for those that come with face18."""
    group_duplicates: Path | None = None
    """A CSV file of persons that appear under two ids (id, other), as shared.label_audit writes it. Both ids are kept
    in one fold."""
    skip_bad: bool = False
    """Leave out rows of train.csv and info.csv that cannot be used, and list them in rejected.csv."""

    def __post_init__(self) -> None:
        _require("--folds", self.folds, self.folds >= 2, "at least 2")


@dataclass(frozen=True)
class ModelOptions:
    """The network and what it sees of a crop."""

    backbone: str | None = None
    """Name of a timm model, also hf-hub:OWNER/NAME for one on the Hugging Face Hub. When left out, that of --start."""
    start: str | None = None
    """The weights to start from: ready (the ready-made model, which knows faces), a bundle, or a run folder. When left
    out, ready; with --backbone, the backbone's own pretrained weights."""
    pretrained: bool = True
    """--no-pretrained starts from random weights."""
    freeze: Freeze = "auto"
    """body trains the head alone, in seconds; none trains all layers; auto is body if --start is ready, otherwise none.
    With body, features of every image are computed once and kept beside its crop; options of the optimiser but
    --weight-decay, and augmentation, have no effect."""
    size: int | None = None
    """Side of the network's input in pixels. When left out 112, or that of a backbone that was trained on faces."""
    window: tuple[float, float, float] | None = None
    """The square of the crop that the network sees: side, centre x and centre y, as shares of the crop's side. When
    left out that of a backbone that was trained on faces, otherwise the specialist's own."""
    mean: Rgb | None = None
    """RGB mean, 0 to 1, for normalising images. The backbone's own when left out."""
    std: Rgb | None = None
    """RGB standard deviation, 0 to 1, for normalising images. The backbone's own when left out."""
    dropout: float = 0.0
    """Dropout rate before the head, 0 to below 1."""

    def __post_init__(self) -> None:
        random = not self.pretrained
        _require("--start", self.start, self.start is None or not random, "left out with --no-pretrained")
        _require("--backbone", self.backbone, self.backbone is not None or not random, "named with --no-pretrained")
        _require("--size", self.size, self.size is None or self.size >= 32, "at least 32 pixels")
        _require("--dropout", self.dropout, 0 <= self.dropout < 1, "0 to below 1")

    @property
    def starts_from(self) -> str | None:
        """The start as it takes effect; None for the backbone's own or random weights."""
        return self.start or (READY if self.backbone is None else None)

    @property
    def trains_head_alone(self) -> bool:
        """Whether the body is frozen, as it takes effect."""
        return self.freeze == "body" or (self.freeze == "auto" and self.starts_from == READY)

    @property
    def input_size(self) -> int:
        """Side of the network's input in pixels, as it takes effect."""
        known = FACE_BACKBONES.get(self.backbone or "")
        return self.size or (known.size if known else DEFAULT_SIZE)

    @property
    def input_window(self) -> tuple[float, float, float] | None:
        """The window as it takes effect; None for the specialist's own."""
        known = FACE_BACKBONES.get(self.backbone or "")
        return self.window or (known.window if known else None)


@dataclass(frozen=True)
class OptimisationOptions:
    """How long and how fast the network learns, and its regularisation."""

    epochs: int = 8
    """Passes over the training images of a fold."""
    batch_size: int = 32
    """Images per step, over all processes together."""
    lr: float = 1e-3
    """Highest learning rate, of AdamW."""
    weight_decay: float = 0.005
    """Weight decay of AdamW; biases and batch norms have none. With --freeze body, the penalty of the head."""
    scheduler: SchedulerName = "one-cycle"
    """How the learning rate changes during training."""
    extra_epochs: int = 0
    """Passes over the persons of --extra alone before the first fold. Every fold starts from the resulting weights."""
    fold_lr: float | None = None
    """Highest learning rate of the folds after --extra-epochs. The same as --lr when left out."""
    label_smoothing: float = 0.0
    """Share of every label that is spread evenly over all outputs, 0 to below 1."""
    mixup: float = 0.0
    """Blend every training image with another one, in a proportion drawn from Beta(MIXUP, MIXUP). 0 switches it off."""
    ema: float = 0.0
    """Decay of an exponential moving average of the weights, which is then scored and kept. 0 switches it off."""
    keep: KeptEpoch = "last"
    """The epoch of which each fold keeps the weights. best chooses by the score on the held-out persons, which makes
    that score too good."""
    mixed_precision: Precision = "no"
    """Train in half precision where the device is faster with it. The head and the loss stay in full precision."""
    seed: int = 0
    """Random seed of initial weights, sampling, augmentation and dropout. The folds do not depend on it."""

    def __post_init__(self) -> None:
        _require("--epochs", self.epochs, self.epochs >= 1, "at least 1")
        _require("--batch-size", self.batch_size, self.batch_size >= 2, "at least 2, for batch norm")
        _require("--lr", self.lr, 0 < self.lr < math.inf, "above 0")
        _require("--weight-decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "0 or more")
        _require("--label-smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "0 to below 1")
        _require("--mixup", self.mixup, 0 <= self.mixup < math.inf, "0 or more")
        _require("--ema", self.ema, 0 <= self.ema < 1, "0 to below 1")
        _require("--seed", self.seed, 0 <= self.seed < 2**32, "0 to 4294967295")


@dataclass(frozen=True)
class SamplingOptions:
    """Which images an epoch shows, and how often."""

    balance: bool = False
    """Draw images so that every class of this specialist is equally frequent."""
    drawn_masks: float = 0.3
    """Share of masked images that are replaced by the same person's bare face with a drawn mask. Where all faces are
    bare, any value above 0 draws masks as often as the base data, or else the competition, shows them. 0 draws no
    masks, and none of the beards, hands and tight crops that are drawn together with them."""
    extra_draws: float = 1.0
    """How often an epoch shows an image of --extra on average. Every image of the base data is shown once."""
    extra_balance: ExtraBalance = "base"
    """base draws the persons of --extra with the gender, age band and mask frequencies of the base data. own draws them
    as they are."""

    def __post_init__(self) -> None:
        _require("--drawn-masks", self.drawn_masks, 0 <= self.drawn_masks <= 1, "0 to 1")
        _require("--extra-draws", self.extra_draws, 0 <= self.extra_draws < math.inf, "0 or more")


@dataclass(frozen=True)
class RunOptions:
    """Where results go, which folds are trained, and on what hardware."""

    outputs: Path | None = None
    """The folder for the results, outputs/TASK when left out. The same command continues an unfinished run there."""
    config: Path | None = None
    """A TOML file of options, such as tuning writes. The command line wins over it."""
    only_fold: int | None = None
    """Train only this fold, 0 to FOLDS - 1. Later commands add the others."""
    join: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """A run folder with folds that another machine trained on the same data with the same options. They are copied."""
    tta: TtaName = "flip"
    """Test-time augmentation: none, flip (with the mirror image), or all (also four small shifts of both: ten views).
    """
    predict_eval: bool = True
    """Also predict the eval images, if the data has any."""
    device: DeviceName = "auto"
    """auto uses a GPU if there is one."""
    workers: int = 1
    """Processes that load and augment images, for each process that trains. 0 loads them in the training process."""
    track: Tracker = "none"
    """Also log every row of runs.csv to a local MLflow store, mlflow.db beside it."""
    overwrite: bool = False
    """Discard a run with other options that is in the outputs folder."""

    def __post_init__(self) -> None:
        _require("--workers", self.workers, self.workers >= 0, "0 or more")


@dataclass(frozen=True)
class TrainOptions:
    """Train one specialist on aligned crops, fold by fold. Writes oof.csv, eval.csv, weights and run.json."""

    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    optimisation: OptimisationOptions = field(default_factory=OptimisationOptions)
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        only, learning = self.run.only_fold, self.optimisation
        _require("--only-fold", only, only in (None, *range(self.data.folds)), f"0 to {self.data.folds - 1}")
        stage = learning.extra_epochs
        frozen = self.model.trains_head_alone
        _require(
            "--extra-epochs",
            stage,
            not (frozen and stage),
            "0, since the head alone is trained; --freeze none trains all layers",
        )
        needs_extra = learning.extra_epochs == 0 or (learning.extra_epochs > 0 and bool(self.data.extra))
        _require("--extra-epochs", learning.extra_epochs, needs_extra, "0 or more, and needs --extra FOLDER")
        fold_lr = learning.fold_lr
        usable = fold_lr is None or (0 < fold_lr < math.inf and learning.extra_epochs > 0)
        _require("--fold-lr", fold_lr, usable, "above 0, and needs --extra-epochs")

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return the defaults with some options changed, named as on the command line."""
        return cls().with_values(**values)

    def with_values(self, **values: Any) -> Self:
        """Return a copy with some options changed, whichever group they are in.

        Raises `TypeError` for a name that is no option, and `UserError` for a value out of range.
        """
        changes: dict[str, Any] = {}
        for group in fields(self):
            current = getattr(self, group.name)
            if is_dataclass(current) and not isinstance(current, type):
                own = {each.name: values.pop(each.name) for each in fields(current) if each.name in values}
                changes[group.name] = replace(current, **own) if own else current
            elif group.name in values:
                changes[group.name] = values.pop(group.name)
        if values:
            raise TypeError(f"no such options: {', '.join(values)}")
        return replace(self, **changes)

    def values(self) -> dict[str, Any]:
        """Return every option by its name, without groups."""
        found: dict[str, Any] = {}
        for group in fields(self):
            current = getattr(self, group.name)
            if is_dataclass(current):
                found |= {each.name: getattr(current, each.name) for each in fields(current)}
            else:
                found[group.name] = current
        return found

    def identity(self) -> dict[str, Any]:
        """Return the options that change the weights, as JSON values. Runs that agree in them may share a folder."""
        effective = {**self.values(), "size": self.model.input_size}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in effective.items()
            if name not in WITHOUT_EFFECT
        }


@dataclass(frozen=True)
class PredictOptions:
    """Predict images with a trained specialist: the mean over its folds and over test-time augmentation."""

    data: Path = Path("data")
    """A competition folder, or any folder with info.csv and images/."""
    crops: Path = Path("crops")
    """The folder of crops. Missing crops are made."""
    outputs: Path | None = None
    """The run folder that holds the weights, outputs/TASK when left out."""
    out: Path | None = None
    """The CSV file to write, eval.csv of the run when left out."""
    tta: TtaName | None = None
    """Test-time augmentation: none, flip (with the mirror image), or all (also four small shifts of both, ten views).
    That of the training when left out."""
    batch_size: int = 64
    """Images per step."""
    mixed_precision: Precision = "no"
    """Predict in half precision where the device is faster with it."""
    device: DeviceName = "auto"
    """auto uses a GPU if there is one."""
    workers: int = 1
    """Processes that load images. 0 loads them in the main process."""
    skip_bad: bool = False
    """Leave out rows of info.csv that cannot be used, and list them in rejected.csv."""

    def __post_init__(self) -> None:
        _require("--batch-size", self.batch_size, self.batch_size >= 1, "at least 1")
        _require("--workers", self.workers, self.workers >= 0, "0 or more")
