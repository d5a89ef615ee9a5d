"""What travels in the header of trained weights. Imports neither torch nor anything heavy."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import UserError

if TYPE_CHECKING:
    from shared.crops import CropSet, Window
    from shared.specialist import Specialist

HEADER = "face18"
"""The key of the passport among the metadata of a safetensors or ONNX file; it is JSON."""

_MOST_HEADER = 16 << 20
"""Bytes."""


@dataclass(frozen=True)
class Passport:
    """What must be known of weights to use them as they were trained."""

    specialist: str
    classes: list[str]
    window: dict[str, float]
    backbone: str
    outputs: int
    size: int
    recipe: str
    """Id of the recipe of the crops they were trained on."""
    distribution: str = "softmax"
    """Name of the function that makes probabilities of the logits."""

    @classmethod
    def of(cls, specialist: "Specialist", backbone: str, size: int, recipe: str) -> "Passport":
        """What weights trained for this specialist must carry."""
        return cls(
            specialist=specialist.name,
            classes=list(specialist.classes),
            window=asdict(specialist.window),
            backbone=backbone,
            outputs=specialist.outputs,
            size=size,
            recipe=recipe,
            distribution=specialist.distribution.__name__,
        )

    def check(self, path: Path, specialist: "Specialist", crops: "CropSet") -> None:
        """Raises `UserError` unless these weights are of this specialist as it is now, and for crops of this recipe.

        The window is that of the weights, see `window_of`: options may have changed it.
        """
        wanted = Passport.of(specialist, self.backbone, self.size, self.recipe)
        for name, value in asdict(replace(self, window=wanted.window)).items():
            if value != getattr(wanted, name):
                raise UserError(
                    f"{path} was trained with {name} {value}, this is {getattr(wanted, name)}: "
                    "train it again, elsewhere (--outputs) or over it (--overwrite)"
                )
        self.check_recipe(path, crops.recipe, f"those in {crops.folder}")

    def window_of(self, specialist: "Specialist") -> "Window":
        """What of the crop these weights were trained on."""
        return replace(specialist.window, **self.window)

    def check_recipe(self, path: Path, recipe: str, crops: str) -> None:
        """Raises `UserError` unless these weights were trained on crops of this recipe; `crops` says which have it."""
        if recipe != self.recipe:
            raise UserError(
                f"{path} was trained on crops of recipe {self.recipe}, {crops} are of {recipe}: "
                "make the crops with the version of face18 that trained the weights, or train again"
            )


def passport_of(content: bytes, name: str) -> Passport:
    """From the header of a safetensors file (its length in eight bytes, then JSON); raises `UserError` without one."""
    length = int.from_bytes(content[:8], "little")
    try:
        if not 0 < length <= min(len(content) - 8, _MOST_HEADER):
            raise ValueError("cut short")
        return read_metadata(json.loads(content[8 : 8 + length])["__metadata__"][HEADER])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{name} is not a whole weights file of face18: get it again") from error


def read_metadata(text: str) -> Passport:
    """A passport from its JSON; raises `KeyError`, `TypeError` or `ValueError` where it is none."""
    return Passport(**json.loads(text))
