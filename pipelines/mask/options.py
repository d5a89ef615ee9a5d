"""The options that the mask specialist is trained with unless told otherwise."""

from shared.training.options import TrainOptions

DEFAULTS = TrainOptions()
