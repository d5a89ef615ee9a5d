"""How old? A distribution over years; its bands are cut at 30 and 60."""

from functools import partial

from pipelines.age.years import (
    YEARS,
    age_loss,
    age_targets,
    known_ages,
    limited_ages,
    mean_absolute_error,
    year_columns,
)
from shared.fusion.ages import band_masses
from shared.labels import BANDS, age_band
from shared.specialist import Specialist, Window
from shared.training.data import augmentation

AGE = Specialist(
    name="age",
    classes=BANDS,
    # Face and hairline, without much of what surrounds them.
    window=Window(side=0.9, centre_y=0.5),
    # Wrinkles are fine detail: little blur.
    augmentation=partial(augmentation, blur=0.1),
    outputs=YEARS,
    truth=lambda table: table["age"].map(age_band).to_numpy("int64"),
    targets=age_targets,
    partly_known=limited_ages,
    loss=age_loss,
    class_probabilities=band_masses,
    details=year_columns,
    labels=known_ages,
    further_scores=mean_absolute_error,
)
