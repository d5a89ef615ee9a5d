"""The options that the gender specialist is trained with unless told otherwise."""

from shared.training.options import TrainOptions

DEFAULTS = TrainOptions()
