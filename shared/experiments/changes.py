"""A change of a baseline, as people write it: `backbone=resnet18 pretrained=false`.

Any option of training can be changed except those that the whole experiment shares. `tta` is special: it predicts with
the networks of the baseline, so nothing is trained.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.commands import as_flags, parse
from shared.experiments.options import cache_key
from shared.messages import UserError
from shared.training.options import TrainOptions, TtaName

BASELINE = "baseline"

SHARED = ("outputs", "folds", "only_fold", "join", "data", "crops", "skip_bad", "predict_eval", "seed")
"""Options that a change cannot have, because baseline and changes must agree in them."""


@dataclass(frozen=True)
class Variant:
    """The baseline or a change of it: a training, and how its networks predict."""

    name: str
    options: TrainOptions
    """Of the training; `outputs` is the folder of the whole experiment."""
    tta: TtaName
    """Test-time augmentation of its predictions."""

    def run_folder(self, root: Path) -> Path:
        """Return the folder of the training below the experiment's, whichever change was the first to need it."""
        key = cache_key(self.options)
        words = " ".join(word for word in self.name.split() if not word.startswith("tta="))
        name = re.sub(r"[^0-9a-zA-Z_.=,-]+", "-", words or BASELINE)[:60]
        return next(root.glob(f"*-{key}"), root / f"{name}-seed{self.options.optimisation.seed}-{key}")

    def is_same(self, other: "Variant") -> bool:
        """Return whether both mean the same training and prediction."""
        return self.has_same_networks(other) and self.tta == other.tta

    def has_same_networks(self, other: "Variant") -> bool:
        """Return whether both mean the same training."""
        return cache_key(self.options) == cache_key(other.options)

    def with_seed(self, seed: int) -> "Variant":
        """Return the same variant, trained with another seed."""
        return replace(self, options=self.options.with_values(seed=seed))


def baseline(options: TrainOptions) -> Variant:
    """Return the variant that changes are compared with."""
    return Variant(BASELINE, options, options.run.tta)


def changed(start: Variant, change: str) -> Variant:
    """Return the baseline with a change, OPTION=VALUE or several of them.

    Raises `UserError` if there is no such option, no such value of it, or the experiment shares it.
    """
    values = _values(change)
    options = _changed_options(start.options, values, change)
    # The training keeps the baseline's TTA, so that it is the same training.
    return Variant(change, options.with_values(tta=start.options.run.tta), options.run.tta)


def _values(change: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in change.split():
        option, equals, value = word.partition("=")
        if not (option and equals and value):
            raise UserError(f"--change {change!r}: {word!r} is not OPTION=VALUE")
        values[option.removeprefix("--").replace("-", "_")] = value
    if not values:
        raise UserError("--change is empty: write OPTION=VALUE")
    return values


def _changed_options(options: TrainOptions, values: dict[str, str], change: str) -> TrainOptions:
    source = f"--change {change!r}"
    for name in SHARED:
        if name in values:
            flag = "--seeds" if name == "seed" else f"--{name.replace('_', '-')}"
            raise UserError(f"{source}: {name} is the same in the whole experiment: give it as {flag}")
    flags = as_flags({name: _typed(value) for name, value in values.items()}, options, source)
    try:
        # Without the file of --config, which would win over what the command line changed in the baseline.
        parsed = parse(options.with_values(config=None), flags)
    except SystemExit as stopped:
        raise UserError(f"{source}: the value is not of the kind that the option takes") from stopped
    return parsed.with_values(config=options.run.config)


def _typed(value: str) -> Any:
    if value in ("true", "false"):
        return value == "true"
    return value.split(",") if "," in value else value
