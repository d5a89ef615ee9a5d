"""The glasses specialist: its label is a column of train.csv, `yes` or `no` for every person."""

from functools import partial

from shared.specialist import Window, classifier
from shared.training.data import augmentation

GLASSES = classifier(
    name="glasses",
    classes=("no", "yes"),
    # The eyes, from temple to temple: nothing below the nose shows glasses.
    window=Window(side=0.56, centre_y=0.44),
    # Frames are thin lines: little blur.
    augmentation=partial(augmentation, blur=0.1),
)
