"""Male or female?"""

from shared.labels import GENDERS
from shared.specialist import Window, classifier
from shared.training.data import augmentation

GENDER = classifier(
    name="gender",
    classes=GENDERS,
    # The whole crop: hair and neck say much where a mask hides the rest.
    window=Window(),
    augmentation=augmentation,
)
