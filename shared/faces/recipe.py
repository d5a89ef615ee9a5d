"""What a crop's pixels depend on, and its id: weights are only good for crops of the recipe they were trained on."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

from shared.crops import CROP_SIZE, EYES


@dataclass(frozen=True)
class Search:
    """How hard to look for faces; thresholds are probabilities that the three nets of the cascade must give."""

    side: int
    """Pixels: the longer side of the copy of the image that is searched."""

    smallest: int
    """Pixels of that copy: the side of the smallest face's box."""

    pnet: float
    rnet: float
    onet: float

    rnet_candidates: int
    """Boxes of an image that R-Net judges at most."""

    onet_candidates: int


@dataclass(frozen=True)
class Attempt:
    """One try to find a face, in what the tries before it have missed."""

    search: Search
    contrast: bool = False
    """Whether local contrast is evened out first."""


_LOOKS = (
    Attempt(Search(256, 60, 0.6, 0.6, 0.6, 4, 3)),
    # More pixels and softer thresholds, but still for a portrait's large face.
    Attempt(Search(512, 90, 0.4, 0.2, 0.5, 16, 4)),
    Attempt(Search(512, 120, 0.4, 0.2, 0.5, 16, 4), contrast=True),
    # Small faces at last, strictly: soft thresholds take knees and collars for them.
    Attempt(Search(512, 40, 0.6, 0.6, 0.6, 16, 4)),
)


@dataclass(frozen=True)
class Recipe:
    """Change a value, or `version` with the code, and all crops are made again."""

    version: int = 3
    """Of the code that detects, chooses, aligns and encodes; raised when it would make other crops."""

    size: int = CROP_SIZE
    eyes: tuple[tuple[float, float], ...] = EYES
    jpeg_quality: int = 95
    looks: tuple[Attempt, ...] = _LOOKS

    @cached_property
    def id(self) -> str:
        """Eight hex digits."""
        return hashlib.blake2b(self.as_json().encode(), digest_size=4).hexdigest()

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2)


RECIPE = Recipe()
