"""Why a training is run: for itself, or as part of a search or a comparison."""

from dataclasses import dataclass
from pathlib import Path

from shared.training.fold import AfterEpoch, go_on


@dataclass(frozen=True)
class Purpose:
    """What a training is for, where it is part of something larger."""

    kind: str = "training"
    """What its row in the table of runs is called."""
    records: Path | None = None
    """The table of runs; the one beside the outputs folder when None."""
    after_epoch: AfterEpoch = go_on


FOR_ITSELF = Purpose()
