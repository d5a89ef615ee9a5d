"""Train one fold: epochs, schedule, regularisation, and a checkpoint after every epoch.

The loop knows nothing of masks, genders or ages: `FoldData` hands it datasets and samplers, and the specialist its
loss. A training that was killed continues from `resume.pt` to the same result.
"""

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import timm.layers
import timm.optim
import timm.utils
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR, OneCycleLR, ReduceLROnPlateau
from tqdm import tqdm

from shared.files import replacing
from shared.fusion.metrics import macro_f1
from shared.messages import UserError
from shared.specialist import Loss, Specialist
from shared.training.data import loader
from shared.training.inference import predict_batches, workers_per_process
from shared.training.model import CheckpointMetadata, save_weights
from shared.training.options import SchedulerName, TrainOptions
from shared.training.run_folder import CHECKPOINT, WEIGHTS, Epoch
from shared.training.sampling import FoldData
from shared.training.start import Start, initial_network

_STEPS_BETWEEN_CHECKS = 10
"""The loss is read every so many steps; each reading waits for the GPU."""


class Schedule:
    """Changes the learning rate after batches or after epochs, by a scheduler of torch."""

    def __init__(self, name: SchedulerName, optimizer: Optimizer, epochs: int, batches: int, lr: float):
        """Take the number of epochs, of batches in an epoch, and the highest learning rate."""
        self._after_batches = name in ("cosine", "one-cycle")
        self._scheduler: Any = None
        match name:
            case "cosine":
                self._scheduler = CosineAnnealingLR(optimizer, T_max=epochs * batches)
            case "one-cycle":
                self._scheduler = OneCycleLR(optimizer, max_lr=lr, total_steps=epochs * batches)
            case "step":
                thirds = {round(epochs / 3), round(2 * epochs / 3)} - {0}
                self._scheduler = MultiStepLR(optimizer, sorted(thirds), gamma=0.1)
            case "plateau":
                self._scheduler = ReduceLROnPlateau(optimizer, mode="max", factor=0.3, patience=1)

    def after_batch(self) -> None:
        if self._after_batches:
            self._scheduler.step()

    def after_epoch(self, score: float) -> None:
        """Take the score of the held-out images; bigger is better."""
        if self._scheduler is not None and not self._after_batches:
            self._scheduler.step(*([score] if isinstance(self._scheduler, ReduceLROnPlateau) else []))

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state; empty for a constant rate."""
        return self._scheduler.state_dict() if self._scheduler else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._scheduler is not None:
            self._scheduler.load_state_dict(state)


def smoothed(loss: Loss, share: float) -> Loss:
    """Return the loss with this share of every label spread evenly over all K outputs of a softmax.

    With cross-entropy this is label smoothing as in Szegedy et al., "Rethinking the Inception Architecture", 2016.
    """
    if not share:
        return loss

    def smooth(logits: Tensor, targets: Tensor) -> Tensor:
        return (1 - share) * loss(logits, targets) - share * logits.log_softmax(1).mean()

    return smooth


def mixup(images: Tensor, loss: Loss, strength: float) -> tuple[Tensor, Loss]:
    """Blend every image (B, ...) with another of the batch; the loss weighs both labels likewise.

    One share for the batch, from Beta(strength, strength); 0 changes nothing. Zhang et al., "mixup", ICLR 2018.
    """
    if not strength:
        return images, loss
    share = torch.distributions.Beta(strength, strength).sample().item()
    # Drawn on the CPU, so that all devices draw the same.
    partner = torch.randperm(len(images)).to(images.device)
    blended = share * images.float() + (1 - share) * images[partner].float()

    def loss_of_both(logits: Tensor, targets: Tensor) -> Tensor:
        return share * loss(logits, targets) + (1 - share) * loss(logits, targets[partner])

    return blended, loss_of_both


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a tree of tensors and plain values, completely or not at all."""
    # Through memory: of a full disk torch only says "unexpected pos".
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, None without a file. Only tensors and plain values are unpickled.

    Raises `UserError` if the file is incomplete or of another kind.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}); remove it to train this fold anew") from error


AfterEpoch = Callable[[int, Epoch], None]
"""Called with the fold and each of its epochs, after a resume with the earlier ones again. It may raise to stop."""


def ignore_epoch(fold: int, epoch: Epoch) -> None:
    """Do nothing after an epoch."""
    del fold, epoch


class FoldTraining:
    """One network, trained on the images of the other folds and scored on those of its own."""

    def __init__(
        self,
        specialist: Specialist,
        options: TrainOptions,
        data: FoldData,
        folder: Path,
        accelerator: Accelerator,
        start: Start | None = None,
    ):
        """Take the fold's folder, and weights to start from instead of the backbone's own."""
        self._specialist = specialist
        self._options = options
        self._data = data
        self._folder = folder
        self._accelerator = accelerator
        self._history: list[Epoch] = []
        batch_size, workers = options.optimisation.batch_size, workers_per_process(options.run.workers, accelerator)
        self._train_loader, self._held_out_loader = accelerator.prepare(
            loader(data.train, data.sampler, batch_size, workers),
            loader(data.held_out, data.held_out_sampler, batch_size, workers),
        )
        self._prepare_network(start)
        backbone = self._bare.architecture
        metadata = CheckpointMetadata.of(specialist, backbone, options.model.input_size, data.recipe)
        self._metadata = metadata if start is None else replace(metadata, origin=start.metadata.origin)

    def _prepare_network(self, start: Start | None) -> None:
        model, learning = self._options.model, self._options.optimisation
        if self._accelerator.scaler is not None:
            # That of the fold before has its own scale.
            self._accelerator.scaler = torch.amp.GradScaler(self.device.type)
        set_seed(self._data.seed)
        self._bare = initial_network(model, self._specialist, start)
        if self._accelerator.num_processes > 1 and self.device.type != "cpu":
            # Batch norms then see the whole batch, as in one process. torch has none for the CPU: see `_score`.
            self._bare = timm.layers.convert_sync_batchnorm(self._bare)
        groups = timm.optim.param_groups_weight_decay(self._bare, learning.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=learning.lr)
        steps = len(self._train_loader)
        self._schedule = Schedule(learning.scheduler, optimizer, learning.epochs, steps, learning.lr)
        self._network, self._optimizer = self._accelerator.prepare(self._bare, optimizer)
        self._average = timm.utils.ModelEmaV3(self._bare, learning.ema, use_warmup=True) if learning.ema else None

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self._accelerator.device

    @property
    def _scored(self) -> nn.Module:
        """The network that is scored and kept: the moving average if there is one."""
        return self._average.module if self._average else self._bare

    def run(self, after_epoch: Callable[[Epoch], None]) -> list[Epoch]:
        """Train the missing epochs and return the history; the weights are then in the fold's folder.

        Raises `UserError` when the loss is no longer finite.
        """
        self._resume()
        for epoch in self._history:
            after_epoch(epoch)
        epochs, steps = self._options.optimisation.epochs, len(self._train_loader)
        with tqdm(
            total=epochs * steps,
            initial=len(self._history) * steps,
            desc=f"{self._specialist.name} {self._folder.name}",
            unit="step",
            disable=not self._accelerator.is_main_process,
        ) as bar:
            while len(self._history) < epochs:
                self._history.append(self._one_epoch(bar))
                self._keep()
                after_epoch(self._history[-1])
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
        """Go once over the training images and return the mean loss."""
        epoch, steps = len(self._history), len(self._train_loader)
        # All random draws from here on depend on the epoch and the process alone, and so are the same after a resume.
        set_seed((self._data.seed + 1000003 * (epoch + 1)) % 2**32, device_specific=True)
        self._data.sampler.epoch = epoch
        self._network.train()
        total = torch.zeros((), device=self.device)
        for step, (images, targets) in enumerate(self._train_loader, start=1):
            total += self.train_step(images, targets)
            if self._average is not None:
                self._average.update(self._bare, step=epoch * steps + step)
            bar.update()
            if step % _STEPS_BETWEEN_CHECKS == 0 or step == steps:
                bar.set_postfix(loss=f"{self._checked_mean(total, step):.3f}", refresh=False)
        return self._checked_mean(total, steps)

    def train_step(self, images: Tensor, targets: Tensor) -> Tensor:
        """Learn from one batch on `device` and return its loss, a scalar."""
        seen, loss_of = mixup(images, self._specialist.loss, self._options.optimisation.mixup)
        with self._accelerator.autocast():
            logits = self._network(seen)
        loss = loss_of(logits.float(), targets)
        self._accelerator.backward(loss)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._schedule.after_batch()
        return loss.detach()

    def _checked_mean(self, total: Tensor, steps: int) -> float:
        # Over all processes, so that they stop together.
        mean = self._accelerator.reduce(total, "mean").item() / steps
        if not math.isfinite(mean):
            learning = self._options.optimisation
            half = ", --mixed-precision no" if learning.mixed_precision != "no" else ""
            raise UserError(
                f"the loss of {self._specialist.name} {self._folder.name} became {mean} in epoch {len(self._history)}: "
                f"try a lower --lr (now {learning.lr:g}), --scheduler one-cycle{half}. "
                "The epochs before it are kept; --overwrite starts anew"
            )
        return mean

    def _score(self) -> float:
        """Return macro F1 over the specialist's own classes on every held-out image."""
        if self._accelerator.num_processes > 1:
            # On the CPU, batch norms see the images of their own process; those of the first one count.
            for buffer in self._scored.buffers():
                torch.distributed.broadcast(buffer, 0)
        batches = ([images] for images, _ in self._held_out_loader)
        distribution = predict_batches(self._specialist, [(self._scored, 0)], batches, "none", self._accelerator)[0]
        predicted = self._specialist.class_probabilities(distribution).argmax(1)
        return macro_f1(self._data.truth, predicted, len(self._specialist.classes))

    def _keep(self) -> None:
        """Write the weights if this epoch is to be kept so far, then the checkpoint to resume from."""
        if not self._accelerator.is_main_process:
            return
        learning, scores = self._options.optimisation, [epoch.macro_f1 for epoch in self._history]
        best = scores.index(max(scores)) == len(scores) - 1
        if best if learning.keep == "best" else len(scores) == learning.epochs:
            save_weights(self._folder / WEIGHTS, self._scored.state_dict(), self._metadata)
        save_checkpoint(self._folder / CHECKPOINT, self._state())

    def _state(self) -> dict[str, Any]:
        scaler = self._accelerator.scaler
        return {
            "processes": self._accelerator.num_processes,
            "history": [asdict(epoch) for epoch in self._history],
            "network": self._bare.state_dict(),
            "average": self._average.module.state_dict() if self._average else {},
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": scaler.state_dict() if scaler else {},
        }

    def _resume(self) -> None:
        """Continue from the checkpoint.

        Raises `UserError` if it is of another network or version, or was trained by another number of processes, each
        of which has its own random draws.
        """
        path = self._folder / CHECKPOINT
        state = load_checkpoint(path)
        if state is None:
            return
        before, now = state.get("processes", 1), self._accelerator.num_processes
        if before != now:
            raise UserError(
                f"{path}: the number of processes was {before}, now {now}. Continue with {before} (torchrun "
                f"--nproc_per_node), or remove this file to train the fold anew"
            )
        try:
            self._load(state)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            backbone = self._options.model.backbone
            raise UserError(
                f"{path} is not of this training ({backbone}): remove it to train this fold anew"
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
