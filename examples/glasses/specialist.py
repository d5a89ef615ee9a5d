"""Are glasses worn? The label is a column of train.csv, `yes` or `no` for every person."""

from functools import partial

from shared.specialist import Window, classifier
from shared.training.data import augmentation

GLASSES = classifier(
    name="glasses",
    classes=("no", "yes"),
    # The eyes, from temple to temple: nothing below the nose says anything of glasses.
    window=Window(side=0.56, centre_y=0.44),
    # Frames are thin lines: little blur, and no holes that could hide them.
    augmentation=partial(augmentation, blur=0.1),
)
