"""Crops as one gets them without looking for faces: what alignment is measured against.

In the form that `shared/crop_faces.py` leaves, so that everything after it works the same; under a recipe of their own,
so that weights trained on them are good for nothing else.

A single change to a baseline, as people write it: `backbone=resnet18 pretrained=false`.

Every option of a training can be changed, but those that baseline and changes must share. Besides:

    crop=whole, crop=centre   images without a detector: all of it, or the middle of it, squeezed into the square;
                              nothing is drawn on them, as nobody knows where the face is
    average=3                 the networks of so many folds answer together; told on the eval images, see --truth
    tta=all                 how a trained network is asked, so it is not trained again
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from shared.commands import as_flags, parse
from shared.crops import COLUMN_TYPES, CROP_SIZE, INDEX, PRIOR, CropSet, open_crops
from shared.experiments.options import labels_of
from shared.faces.crop import fingerprint
from shared.faces.image_io import UnusableImageError, decode
from shared.files import replacing
from shared.messages import UserError
from shared.training.options import TrainOptions

Cut = Literal["whole", "centre"]

CENTRE = (320 / 512, 256 / 384)
"""Height and width of the centre crop, as shares of the image: 320 x 256 of the competition's 512 x 384."""

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]


def plain_crops(images: pd.DataFrame, out: Path, cut: Cut) -> CropSet:
    """The crop set in `out`, of images (`image`: id, `path`: file); made where it is missing, or of others.

    Each image, or its middle, is squeezed into the square of a crop. Raises `UserError` where one cannot be read.
    """
    sources = list(zip(images["image"], images["path"], strict=True))
    if (out / INDEX).exists():
        found = open_crops(out)
        files = {name: _fingerprint(Path(path)) for name, path in sources}
        if set(found.index["recipe"]) == {_recipe(cut)} and dict(found.index["fingerprint"]) == files:
            return found
    rows = [_crop(name, Path(path), out, cut) for name, path in tqdm(sources, f"{cut} crops", disable=None)]
    with replacing(out / INDEX) as temporary:
        pd.DataFrame(rows).reindex(columns=list(COLUMN_TYPES)).to_csv(temporary, index=False)
    return open_crops(out)


def _crop(image: str, path: Path, out: Path, cut: Cut) -> dict[str, object]:
    try:
        data = path.read_bytes()
        pixels = decode(data).pixels
    except (OSError, UnusableImageError) as error:
        raise UserError(f"{path} cannot be cut: {error}") from error
    square = cv2.resize(shown(pixels, cut), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)
    file = f"{cut}/{image}.jpg"
    with replacing(out / file) as temporary:
        temporary.write_bytes(cv2.imencode(".jpg", cv2.cvtColor(square, cv2.COLOR_RGB2BGR), _QUALITY)[1].tobytes())
    about = {"recipe": _recipe(cut), "found": PRIOR, "fingerprint": fingerprint(data), "problem": ""}
    return {"image": image, "file": file, **about}


def _recipe(cut: Cut) -> str:
    return f"{cut}-{CROP_SIZE}"


def _fingerprint(path: Path) -> str:
    """Of the file as it is now; empty where it cannot be read."""
    try:
        return fingerprint(path.read_bytes())
    except OSError:
        return ""


def shown(pixels: np.ndarray, cut: Cut) -> np.ndarray:
    """What of an image (H, W, 3) is kept."""
    if cut == "whole":
        return pixels
    (top, bottom), (left, right) = (
        (round(side * (1 - share) / 2), round(side * (1 + share) / 2))
        for side, share in zip(pixels.shape[:2], CENTRE, strict=True)
    )
    return pixels[top:bottom, left:right]


CropName = Literal["aligned", "whole", "centre"]

WHOLE_WINDOW = (1.0, 0.5, 0.5)
"""Side and centre: where there is no alignment, a specialist's own window shows nothing in particular."""

SHARED = ("outputs", "folds", "only_fold", "data", "crops", "skip_bad", "predict_eval")
"""Options that are those of the whole experiment."""


@dataclass(frozen=True)
class Change:
    """Options and their new values, as text."""

    name: str
    """As it was written."""
    values: dict[str, str]

    @classmethod
    def of(cls, text: str) -> "Change":
        """Raises `UserError` unless the text is OPTION=VALUE, or several of them with blanks between."""
        values: dict[str, str] = {}
        for word in text.split():
            option, equals, value = word.partition("=")
            if not (option and equals and value):
                raise UserError(f"--change {text!r}: {word!r} is not OPTION=VALUE")
            values[option.removeprefix("--").replace("-", "_")] = value
        if not values:
            raise UserError("--change is empty: write OPTION=VALUE")
        return cls(text, values)


@dataclass(frozen=True)
class Variant:
    """A training, and how its networks are asked."""

    name: str
    options: TrainOptions
    """Of the training; `outputs` is still that of the whole experiment."""
    tta: str
    """Test-time views of its answers."""
    average: int | None = None
    """The networks of so many folds answer together for the eval images; None: each for the persons it holds out."""
    crop: Cut | None = None
    """Crops that are made without a detector; None for the aligned ones."""

    def same_as(self, other: "Variant") -> bool:
        """Whether it is nothing but another name."""
        return self.trained == other.trained and (self.tta, self.average) == (other.tta, other.average)

    @property
    def trained(self) -> list[Any]:
        """All that its networks depend on, as JSON knows it."""
        labels = labels_of(self.options)
        told = [self.options.identity(), [str(folder) for folder in self.options.data.extra], self.crop]
        return [*told, labels] if labels else told


def baseline(options: TrainOptions) -> Variant:
    """What changes are measured against."""
    return Variant("baseline", options, options.run.tta)


def varied(change: Change, start: Variant) -> Variant:
    """The baseline with one change.

    Raises `UserError` where there is no such option, or no such value of it, or this baseline cannot have it.
    """
    values: dict[str, Any] = dict(change.values)
    variant = replace(start, name=change.name)
    if "tta" in values:
        # Parsed for its check alone: the training keeps the baseline's, so that it is the same training.
        variant = replace(variant, tta=_changed(start.options, {"tta": values.pop("tta")}, change).run.tta)
    if "average" in values:
        variant = replace(variant, average=_average(values.pop("average"), start.options, change))
    if (crop := values.pop("crop", "aligned")) != "aligned":
        if crop not in get_args(Cut):
            raise UserError(f"--change {change.name!r}: crop is one of {', '.join(get_args(CropName))}")
        variant = replace(variant, crop=cast("Cut", crop))
        # Without landmarks no mask can be drawn, and other things would be, where no face is.
        values = {"window": ",".join(map(str, WHOLE_WINDOW)), "drawn_masks": "0", **values}
    if values:
        variant = replace(variant, options=_changed(start.options, values, change))
    if variant.crop is not None and variant.options.data.extra:
        raise UserError(
            f"--change {change.name!r}: crops without a detector are made of --data alone: "
            "measure them by a command without --extra"
        )
    return variant


def _average(value: str, options: TrainOptions, change: Change) -> int:
    if value not in map(str, range(1, options.data.folds + 1)):
        raise UserError(f"--change {change.name!r}: average is 1 to {options.data.folds}, the number of folds")
    return int(value)


def _changed(options: TrainOptions, values: dict[str, str], change: Change) -> TrainOptions:
    source = f"--change {change.name!r}"
    for name in SHARED:
        if name in values:
            besides = ", or change crop=whole, crop=centre" if name == "crops" else ""
            flag = f"--{name.replace('_', '-')}{besides}"
            raise UserError(f"{source}: {name} is that of the whole experiment: give it as {flag}")
    flags = as_flags({name: _typed(value) for name, value in values.items()}, options, source)
    try:
        # Without its file of options, which would win over what the command line changed in the baseline.
        return parse(options.with_values(config=None), flags).with_values(config=options.run.config)
    except SystemExit as stopped:
        raise UserError(f"{source}: the value is not of the kind that the option takes") from stopped


def _typed(value: str) -> bool | str | list[str]:
    if value in ("true", "false"):
        return value == "true"
    return value.split(",") if "," in value else value


def folds_of(variant: Variant) -> tuple[int, ...]:
    """The folds that have to be trained."""
    options = variant.options
    if variant.average is not None:
        return tuple(range(variant.average))
    return tuple(range(options.data.folds)) if options.run.only_fold is None else (options.run.only_fold,)


def crops_of(variant: Variant, root: Path) -> Path:
    """Where its crops are, or have to be made below the experiment's folder."""
    return variant.options.data.crops if variant.crop is None else root / "crops" / variant.crop
