"""Learning-rate schedules under the names torch users know, behind two calls.

What keeps a network from learning its images by heart, around any loss: label smoothing and mixup.

Where a fold stands after its last whole epoch, so that a killed training goes on to the same result.

Training on all folds but one: epochs, the best of them by held-out macro F1, resume to the same result.
"""

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm.optim
import timm.utils
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR, ReduceLROnPlateau
from tqdm import tqdm

from shared.crops import CropSet
from shared.files import replacing
from shared.folds import check_folds
from shared.fusion.metrics import macro_f1
from shared.mask_overlay.overlay import MaskOverlay
from shared.messages import UserError
from shared.specialist import Specialist
from shared.training.data import CropDataset, SequentialSampler, ShuffledSampler, batches
from shared.training.depthwise import quicken
from shared.training.inference import predict_distribution
from shared.training.model import CheckpointMetadata, Network, load_weights, save_weights
from shared.training.options import SchedulerName, TrainOptions
from shared.training.run_folder import CHECKPOINT, WEIGHTS
from shared.training.sampling import NONE, MaskStateSampler, TrainingSampler, by_state


class Schedule:
    """Steps a torch scheduler when its kind wants to be stepped: after batches, or after epochs."""

    def __init__(self, name: SchedulerName, optimizer: Optimizer, epochs: int, batches: int, lr: float):
        """`batches` are those of one epoch; `lr` is the highest rate."""
        self._per_batch: LRScheduler | None = None
        self._per_epoch: LRScheduler | None = None
        self._plateau: ReduceLROnPlateau | None = None
        match name:
            case "cosine":
                self._per_batch = CosineAnnealingLR(optimizer, T_max=epochs * batches)
            case "one-cycle":
                self._per_batch = OneCycleLR(optimizer, max_lr=lr, total_steps=epochs * batches)
            case "step":
                thirds = {round(epochs / 3), round(2 * epochs / 3)} - {0}
                self._per_epoch = MultiStepLR(optimizer, sorted(thirds), gamma=0.1)
            case "plateau":
                self._plateau = ReduceLROnPlateau(optimizer, mode="max", factor=0.3, patience=1)

    def after_batch(self) -> None:
        if self._per_batch is not None:
            self._per_batch.step()

    def after_epoch(self, score: float) -> None:
        """`score` is of the held-out persons, bigger is better."""
        if self._per_epoch is not None:
            self._per_epoch.step()
        if self._plateau is not None:
            self._plateau.step(score)

    def state_dict(self) -> dict[str, Any]:
        """Empty where nothing changes the rate."""
        return {} if self._active is None else self._active.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._active is not None:
            self._active.load_state_dict(state)

    @property
    def _active(self) -> LRScheduler | ReduceLROnPlateau | None:
        return self._per_batch or self._per_epoch or self._plateau


Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K) and targets (B, ...) to a scalar."""


def smoothed(loss: Loss, share: float) -> Loss:
    """A loss that takes this share of every label to be spread evenly over all K outputs of a softmax.

    On top of cross-entropy this is label smoothing as in Szegedy et al., "Rethinking the Inception Architecture", 2016.
    """
    if not share:
        return loss

    def smooth(logits: Tensor, targets: Tensor) -> Tensor:
        return (1 - share) * loss(logits, targets) - share * logits.log_softmax(1).mean()

    return smooth


def mixed(images: Tensor, loss: Loss, strength: float) -> tuple[Tensor, Loss]:
    """Images (B, ...) each laid over another of the batch, and the loss that asks for both labels in proportion.

    One share for the batch, from Beta(strength, strength); 0 mixes nothing. Zhang et al., "mixup", ICLR 2018.
    """
    if not strength:
        return images, loss
    share = torch.distributions.Beta(strength, strength).sample().item()
    # Drawn on the CPU: the same on every device.
    partner = torch.randperm(len(images)).to(images.device)
    both = share * images.float() + (1 - share) * images[partner].float()

    def of_both(logits: Tensor, targets: Tensor) -> Tensor:
        return share * loss(logits, targets) + (1 - share) * loss(logits, targets[partner])

    return both, of_both


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a tree of tensors and plain values, whole or not at all."""
    # Not into the file at once: of a full disk torch says "unexpected pos".
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote; None where there is nothing. Never unpickles anything but tensors and plain values.

    Raises `UserError` where the file is cut short or of another kind.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}); remove it to train this fold anew") from error


_STEPS_BETWEEN_CHECKS = 10


@dataclass(frozen=True)
class Epoch:
    """One line of a fold's history: `loss` of training images, `macro_f1` of held-out ones, seconds by the clock."""

    epoch: int
    loss: float
    macro_f1: float
    lr: float
    seconds: float


AfterEpoch = Callable[[int, Epoch], None]
"""Told of every epoch of a fold once it is kept, after a resume of the earlier ones again; what it raises stops the
training there."""


def ignore_epoch(fold: int, epoch: Epoch) -> None:
    """For trainings that nobody watches."""
    del fold, epoch


class FoldTraining:
    """One network, trained on the images of the other folds and scored on those of its own."""

    def __init__(
        self,
        specialist: Specialist,
        options: TrainOptions,
        table: pd.DataFrame,
        crops: CropSet,
        fold: int,
        folder: Path,
        accelerator: Accelerator,
        after_epoch: AfterEpoch = ignore_epoch,
        start: Path | None = None,
    ):
        """`table` is the manifest with a column `fold`; `start` is a weights file to begin with, not the backbone's.

        Raises `UserError` where a person is in two folds.
        """
        check_folds(table["person"], table["fold"])
        held_out = (table["fold"] == fold).to_numpy()
        self._specialist = specialist
        self._options = options
        self._seed = (options.optimisation.seed * options.data.folds + fold) % 2**32
        self._fold = fold
        self._folder = folder
        self._after_epoch = after_epoch
        self._accelerator = accelerator
        self._passport = CheckpointMetadata.of(specialist, options.model.backbone, options.model.size, crops.recipe)
        self._history: list[Epoch] = []
        self._prepare_data(table, crops, held_out)
        self._prepare_network(start)

    def _prepare_data(self, table: pd.DataFrame, crops: CropSet, held_out: NDArray[np.bool_]) -> None:
        options = self._options
        train_set, self._order = self.training_data(table, crops, ~held_out)
        held_out_set, in_order, self._truth = self.held_out_data(table, crops, held_out)
        self._train_loader, self._held_out_loader = self._accelerator.prepare(
            batches(train_set, self._order, options.optimisation.batch_size, options.run.workers),
            batches(held_out_set, in_order, options.optimisation.batch_size, options.run.workers),
        )

    def held_out_data(
        self, table: pd.DataFrame, crops: CropSet, rows: NDArray[np.bool_]
    ) -> tuple[CropDataset, SequentialSampler, NDArray[np.int64]]:
        """Images that choose the best epoch, in which order, and the true class of each as it is shown.

        They are shown as they are, but that bare faces alone cannot score masks: then these are drawn on them.
        """
        unseen = table[rows].reset_index(drop=True)
        images, order = unseen["image"].tolist(), SequentialSampler(int(rows.sum()))
        known, shown, truth = crops.keep(images), None, self._specialist.truth(unseen)
        classes = by_state(self._specialist.truth, unseen)
        if self._options.sampling.drawn_masks and (table["mask"] == NONE).all() and (classes != classes[0]).any():
            shown = MaskOverlay(unseen, known.index)
            order = drawn = MaskStateSampler(shown.drawable)
            truth = classes[drawn.states, np.arange(len(unseen))]
        targets = self._specialist.targets(table)[rows]
        window, size = self._specialist.window, self._options.model.size
        return CropDataset(known, images, targets, window, size, dressing=shown), order, truth

    def training_data(
        self, table: pd.DataFrame, crops: CropSet, rows: NDArray[np.bool_]
    ) -> tuple[CropDataset, ShuffledSampler]:
        """Images to learn from, and in which order; masks are drawn on them where that is asked for."""
        options, specialist = self._options, self._specialist
        seen = table[rows].reset_index(drop=True)
        if "source" not in seen:
            seen = seen.assign(source="")
        images = seen["image"].tolist()
        known = crops.keep(images)
        shown = MaskOverlay(seen, known.index)
        order = TrainingSampler(specialist, seen, shown.drawable, self._seed, options.sampling)
        train_set = CropDataset(
            known,
            images,
            specialist.targets(table)[rows],
            specialist.window,
            options.model.size,
            specialist.augmentation(),
            shown if options.sampling.drawn_masks else None,
            by_state(specialist.targets, table)[:, rows],
        )
        return train_set, order

    def _prepare_network(self, start: Path | None) -> None:
        model, learning = self._options.model, self._options.optimisation
        set_seed(self._seed)
        pretrained = model.pretrained and start is None
        bare = Network(
            model.backbone,
            self._specialist.outputs,
            model.dropout,
            pretrained,
            model.mean,
            model.std,
        )
        if start is not None:
            bare.load_state_dict(load_weights(start).state_dict())
        quicken(bare)
        groups = timm.optim.param_groups_weight_decay(bare, learning.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=learning.lr)
        self._schedule = Schedule(
            learning.scheduler,
            optimizer,
            learning.epochs,
            len(self._train_loader),
            learning.lr,
        )
        self._network, self._optimizer = self._accelerator.prepare(bare, optimizer)
        self._bare = bare
        self._average = timm.utils.ModelEmaV3(bare, decay=learning.ema, use_warmup=True) if learning.ema else None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._accelerator.device

    @property
    def _scored(self) -> nn.Module:
        """The network that is scored and kept: the moving average where there is one."""
        return self._average.module if self._average else self._bare

    def run(self) -> list[Epoch]:
        """Train the epochs that are missing and return the history; the best network lies in the folder, whole.

        Raises `UserError` when the loss is no longer finite.
        """
        self._resume()
        for epoch in self._history:
            self._after_epoch(self._fold, epoch)
        steps = len(self._train_loader)
        with tqdm(
            total=self._options.optimisation.epochs * steps,
            initial=len(self._history) * steps,
            desc=f"{self._specialist.name} {self._folder.name}",
            unit="step",
            disable=not self._accelerator.is_main_process,
        ) as bar:
            while len(self._history) < self._options.optimisation.epochs:
                self._history.append(self._one_epoch(bar))
                self._keep()
                self._after_epoch(self._fold, self._history[-1])
        return self._history

    def _one_epoch(self, bar: "tqdm[Any]") -> Epoch:
        started = time.perf_counter()
        lr = self._optimizer.param_groups[0]["lr"]
        loss = self.train_epoch(bar)
        score = self._score()
        self._schedule.after_epoch(score)
        bar.set_postfix(loss=f"{loss:.3f}", macro_f1=f"{score:.3f}")
        return Epoch(len(self._history), loss, score, lr, round(time.perf_counter() - started, 1))

    def train_epoch(self, bar: "tqdm[Any]") -> float:
        """One pass over the training images; gives their mean loss."""
        epoch = len(self._history)
        # Whatever draws at random from here on depends on the epoch alone, and so is the same after a resume.
        set_seed((self._seed + 1000003 * (epoch + 1)) % 2**32)
        self._order.epoch = epoch
        self._network.train()
        total = torch.zeros((), device=self._accelerator.device)
        for step, (images, targets) in enumerate(self._train_loader, start=1):
            total += self.train_step(images, targets)
            if self._average is not None:
                self._average.update(self._bare, step=epoch * len(self._train_loader) + step)
            bar.update()
            if step % _STEPS_BETWEEN_CHECKS == 0 or step == len(self._train_loader):
                bar.set_postfix(loss=f"{self._checked_mean(total, step):.3f}", refresh=False)
        return self._checked_mean(total, len(self._train_loader))

    def train_step(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Learn from one batch on `device`; gives its loss."""
        seen, loss_of = mixed(images, self._specialist.loss, self._options.optimisation.mixup)
        with self._accelerator.autocast():
            logits = self._network(seen)
        loss = loss_of(logits.float(), targets)
        self._accelerator.backward(loss)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._schedule.after_batch()
        return loss.detach()

    def _checked_mean(self, total: torch.Tensor, steps: int) -> float:
        mean = total.item() / steps
        if not math.isfinite(mean):
            half = ", --mixed-precision no" if self._options.optimisation.mixed_precision != "no" else ""
            raise UserError(
                f"the loss of {self._specialist.name} {self._folder.name} became {mean} in epoch {len(self._history)}: "
                f"try a lower --lr (now {self._options.optimisation.lr:g}), --scheduler one-cycle{half}. "
                "The epochs before it are kept; --overwrite starts anew"
            )
        return mean

    def _score(self) -> float:
        """Macro F1 over the specialist's own classes on every held-out image."""
        distribution = predict_distribution(
            self._specialist, self._scored, self._held_out_loader, "none", self._accelerator
        )
        answers = self._specialist.class_probabilities(distribution).argmax(1)
        return macro_f1(self._truth, answers, len(self._specialist.classes))

    def _keep(self) -> None:
        """The weights, where this epoch is the best; then where the training stands."""
        if not self._accelerator.is_main_process:
            return
        scores = [epoch.macro_f1 for epoch in self._history]
        if scores.index(max(scores)) == len(scores) - 1:
            save_weights(self._folder / WEIGHTS, self._scored.state_dict(), self._passport)
        save_checkpoint(self._folder / CHECKPOINT, self._state())

    def _state(self) -> dict[str, Any]:
        scaler = self._accelerator.scaler
        return {
            "history": [asdict(epoch) for epoch in self._history],
            "network": self._bare.state_dict(),
            "average": self._average.module.state_dict() if self._average else {},
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": scaler.state_dict() if scaler else {},
        }

    def _resume(self) -> None:
        """Go on where the checkpoint stands; raises `UserError` where it is of another network or version."""
        path = self._folder / CHECKPOINT
        state = load_checkpoint(path)
        if state is None:
            return
        try:
            self._load(state)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} is not of this training ({self._options.model.backbone}): remove it to train this fold anew"
            ) from error

    def _load(self, state: dict[str, Any]) -> None:
        self._history = [Epoch(**epoch) for epoch in state["history"]]
        self._bare.load_state_dict(state["network"])
        if self._average is not None:
            self._average.module.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(state["scaler"])
