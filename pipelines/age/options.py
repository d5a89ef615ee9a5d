"""Options of the age specialist, beyond those of every training."""

from dataclasses import dataclass
from typing import Literal

from shared.training.options import TrainOptions

AgeLoss = Literal["years", "l1", "bands", "corn"]
TopCode = int | Literal["auto", "none"]


@dataclass(frozen=True)
class AgeOptions(TrainOptions):
    """Train the age specialist on aligned crops, fold by fold. Writes oof.csv, eval.csv, weights and run.json."""

    loss: AgeLoss = "years"
    """What is learnt: a distribution over years, the age by L1 loss, three bands by cross-entropy, or ordered years by
    CORN."""
    top_code: TopCode = "auto"
    """The label that stands for "this old or older". auto detects it by its frequency; none means that there is none.
    """


DEFAULTS = AgeOptions.of(lr=0.002)
"""Twice the usual rate: half a year less error in the tuning study, confirmed on five folds (docs/accuracy.md)."""
