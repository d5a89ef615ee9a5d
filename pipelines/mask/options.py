"""The options that the mask specialist is trained with unless told otherwise."""

from shared.training.options import TrainOptions

DEFAULTS = TrainOptions(label_smoothing=0.05)
