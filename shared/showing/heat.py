"""A heat map laid over the image that it is of."""

import cv2
import numpy as np
from numpy.typing import NDArray

STRENGTH = 0.65
"""Share of the colour where the heat is greatest."""


def lay_heat(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8 RGB (S, S, 3) and heat (h, w) of 0..1 to the image in grey, the warmer the more it is lit.

    The image loses its colours, so that none of them is taken for heat.
    """
    side = image.shape[:2]
    smooth = cv2.resize(heat, side[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)[:, :, None]
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    levels = (255 * smooth[:, :, 0]).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    share = STRENGTH * smooth
    return ((1 - share) * grey + share * colours).round().astype(np.uint8)
