"""The words that options take, away from what they choose: a command line is understood before torch is loaded."""

from typing import Literal

DEFAULT_BACKBONE = "tf_efficientnet_lite0"

DeviceName = Literal["auto", "cpu", "cuda"]

ExtraBalance = Literal["base", "own"]

Precision = Literal["no", "fp16", "bf16"]

Rgb = tuple[float, float, float]
"""Red, green, blue."""

SchedulerName = Literal["step", "cosine", "one-cycle", "plateau", "none"]

ViewsName = Literal["plain", "flip", "all"]
