"""What a crop's pixels depend on, and its id: weights are only good for crops of the recipe they were trained on."""

import hashlib
import json
from dataclasses import asdict, dataclass

from shared.crops import CROP_SIZE, EYES


@dataclass(frozen=True)
class Recipe:
    """Change a value, or `version` with the code, and all crops are made again."""

    version: int = 1
    """Of the code that detects, chooses, aligns and encodes; raised when it would make other crops."""

    size: int = CROP_SIZE
    eyes: tuple[tuple[float, float], ...] = EYES
    jpeg_quality: int = 95

    @property
    def id(self) -> str:
        """Eight hex digits."""
        return hashlib.blake2b(self.as_json().encode(), digest_size=4).hexdigest()

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2)


RECIPE = Recipe()
