"""From crops to what the three specialists say of them: the mean over test-time views, folds and runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.arrays import Floats
from shared.crops import Window
from shared.training.choices import ViewsName
from shared.training.views import VIEWS

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Member:
    """One trained network: that of a fold."""

    window: Window
    """What it sees of a crop."""
    size: int
    """Pixels a side of what it sees."""
    logits: Callable[[Pixels], NDArray[np.float32]]
    """Pictures (B, size, size, 3) to logits (B, K)."""
    network: Any = None
    """`shared.training.network.Network` where torch runs it, else None."""

    def look(self, crops: Sequence[Pixels]) -> Pixels:
        """What the network sees of crops (256, 256, 3): (B, size, size, 3)."""
        return np.stack([self.window.cut(crop, self.size) for crop in crops])


@dataclass(frozen=True)
class Run:
    """The folds of a training, which answer together."""

    members: tuple[Member, ...]
    views: ViewsName

    def distribution(self, crops: Sequence[Pixels]) -> Floats:
        """Probabilities of the outputs (B, K)."""
        return np.mean([self._said_by(member, crops) for member in self.members], axis=0)

    def _said_by(self, member: Member, crops: Sequence[Pixels]) -> Floats:
        pictures = member.look(crops)
        seen = [softmax(member.logits(np.ascontiguousarray(view.of(pictures)))) for view in VIEWS[self.views]]
        return np.mean(seen, axis=0)


@dataclass(frozen=True)
class Trained:
    """A specialist as it answers: one run, or several of which the mean counts."""

    name: str
    runs: tuple[Run, ...]

    @property
    def members(self) -> tuple[Member, ...]:
        """The networks of all runs."""
        return tuple(member for run in self.runs for member in run.members)

    def distribution(self, crops: Sequence[Pixels], batch_size: int) -> Floats:
        """Probabilities of the outputs (N, K) for N crops; at least one."""
        batches = [crops[at : at + batch_size] for at in range(0, len(crops), batch_size)]
        return np.concatenate([np.mean([run.distribution(batch) for run in self.runs], axis=0) for batch in batches])


def softmax(logits: NDArray[np.float32]) -> Floats:
    """Logits (B, K) to probabilities (B, K)."""
    powers: Floats = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
