"""What the age specialist's training can be told beyond what all are told."""

from dataclasses import dataclass
from typing import Literal

from shared.training.options import TrainOptions

TopCode = int | Literal["auto", "none"]


@dataclass(frozen=True)
class AgeOptions(TrainOptions):
    """Train the age specialist on aligned crops, fold by fold; writes oof.csv, eval.csv, weights and run.json."""

    top_code: TopCode = "auto"
    """The label that stands for "this old or older"; auto finds it by the heap that it leaves, none knows of none."""
