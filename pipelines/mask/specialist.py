"""Is a mask worn, worn wrongly, or not at all?"""

from functools import partial

from shared.labels import MASKS
from shared.specialist import Window, classifier
from shared.training.data import augmentation

MASK = classifier(
    name="mask",
    classes=MASKS,
    # From the brows to below the chin: hair says nothing of masks, and a mask under the chin hangs low.
    window=Window(side=0.72, centre_y=0.62),
    # Light and colour vary more than elsewhere, for masks come in every colour.
    augmentation=partial(augmentation, light=0.3, colour=0.25),
)
