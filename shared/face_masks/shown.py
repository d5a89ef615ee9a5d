"""What a network is shown of a crop while it trains: masks drawn, and things before the face."""

import numpy as np
import pandas as pd

from shared.crops import DETECTED, RETRIED
from shared.face_masks.drawing import draw_mask
from shared.face_masks.face import Face, face_of, places_in_crops
from shared.face_masks.objects import beard, before, framed, glasses, recompressed
from shared.face_masks.surface import Plane
from shared.face_masks.wearing import NONE
from shared.labels import GENDERS

GLASSES, BEARD, BEFORE_FACE, PRESSED, CLOSE_CUT = 0.06, 0.06, 0.16, 0.2, 0.12
"""How often a face gets glasses drawn on it, that of a man a beard, any something before it, or its crop is compressed
once more, with what is drawn, or ends with its picture close by."""


class Shown:
    """The crops of a training table as an epoch shows them: masks drawn on bare faces, and now and then more."""

    def __init__(self, table: pd.DataFrame, index: pd.DataFrame):
        """A manifest, and the rows of the crop index of its pictures, in the same order."""
        found = index["found"].isin((DETECTED, RETRIED)).to_numpy()
        self.drawable = found & (table["mask"] == NONE).to_numpy()
        """Whose face is bare and was found, so that a mask can be drawn on it; (N,)."""
        self._man = (table["gender"] == GENDERS.index("male")).to_numpy()
        self._places = places_in_crops(index)

    def __call__(self, crop: Plane, place: int, state: int, seed: int) -> Plane:
        """The crop, uint8 RGB (256, 256, 3), of the picture at `place`, with a mask in `state` where it is one.

        Below 0 it stays as it is. A face that has a mask keeps it, and gets no beard over it. One seed gives one
        picture.
        """
        rng = np.random.default_rng((seed, 18))
        bare = bool(self.drawable[place])
        face = face_of(self._places[place]) if bare else Face()
        often = (GLASSES, BEARD, BEFORE_FACE, PRESSED, CLOSE_CUT)
        with_glasses, with_beard, hidden, pressed, close_cut = rng.random(5) < often
        if bare and with_beard and self._man[place]:
            crop = beard(crop, face, rng)
        if with_glasses:
            crop = glasses(crop, face, rng)
        if bare and 0 <= state != NONE:
            crop = draw_mask(crop, face, state, rng)
        if hidden:
            crop = before(crop, face, rng)
        if pressed:
            crop = recompressed(crop, rng)
        return framed(crop, rng) if close_cut else crop
