"""Learning-rate schedules under the names torch users know, behind two calls."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR, ReduceLROnPlateau

from shared.training.choices import SchedulerName


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
