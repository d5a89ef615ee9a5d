"""A specialist as the options of its training change it."""

import inspect
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from shared.errors import UserError
from shared.specialist import Specialist, softmax
from shared.training.options import TrainOptions
from shared.training.regularisation import smoothed


def adjusted(specialist: Specialist, options: TrainOptions) -> Specialist:
    """With the window, the strengths of the augmentation and the smoothed labels that the options ask for.

    Raises `UserError` where the window reaches beyond the crop, labels to smooth are not those of a softmax, or the
    augmentation has no such strength.
    """
    if options.label_smoothing and specialist.distribution is not softmax:
        raise UserError(
            f"--label-smoothing does not go with this head of the {specialist.name} specialist: set it to 0"
        )
    strengths = {"noise": options.noise, "holes": options.holes}
    given = {name: value for name, value in strengths.items() if value is not None}
    for name in given:
        if name not in inspect.signature(specialist.augmentation).parameters:
            raise UserError(f"--{name} does not go with the {specialist.name} specialist, whose augmentation has none")
    window = dict(zip(("side", "centre_x", "centre_y"), options.window or (), strict=False))
    try:
        return replace(
            specialist,
            window=replace(specialist.window, **window),
            augmentation=partial(specialist.augmentation, **given) if given else specialist.augmentation,
            loss=smoothed(specialist.loss, options.label_smoothing),
        )
    except ValueError as error:
        raise UserError(f"--window: {error}") from None


def resolved(specialist: Specialist, options: TrainOptions) -> dict[str, Any]:
    """The options as they take effect: what was left to the specialist, and to other options, with its value."""
    window = specialist.window
    strengths = inspect.signature(specialist.augmentation).parameters
    own = {
        "window": (window.side, window.centre_x, window.centre_y),
        **{name: strengths[name].default for name in ("noise", "holes") if name in strengths},
        "fold_lr": options.lr,
    }
    told = asdict(options)
    return {**told, **{name: value for name, value in own.items() if told[name] is None}}
