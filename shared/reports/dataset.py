"""What can be measured of an image file: size, light, sharpness, colour; a broken file says why it cannot be read.

Images that deserve a second look before anything is trained on them.

The subjects of the page about a competition folder.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from shared.crops import FOUND, PRIOR, UNREADABLE, CropSet
from shared.faces.image_io import UnusableImageError, decode
from shared.labels import BAND_EDGES, BANDS, GENDERS, MASKS, age_band
from shared.messages import UserError, counted
from shared.reports.page_parts import (
    COLOURS,
    SOFT,
    Section,
    Tile,
    bars,
    beside,
    cards,
    face,
    figure,
    figures,
    heading,
    paragraph,
    plain_text,
    plot,
    table,
    tiles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHANNELS = ("red", "green", "blue")
SQUARES = tuple(f"{name}_square" for name in CHANNELS)

SIDE = 512
"""Pixels: sharpness is measured on a copy whose longer side is this at most, so that sizes can be compared."""

Fact = dict[str, object]


def measure_files(images: pd.DataFrame, title: str, workers: int = 0) -> pd.DataFrame:
    """Measure files (columns image, path), with a progress bar titled so; a row each in their order.

    Columns: image, path, problem (blank where there is none), bytes, width, height (pixels), brightness and contrast
    (mean and standard deviation of the grey level, 0-255), sharpness (variance of the Laplacian), `CHANNELS` and
    `SQUARES` (mean of each channel and of its square, 0-1), fingerprint of the bytes. Read in threads: decoding frees
    Python for others.
    """
    parallel = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), prefer="threads", return_as="generator")
    jobs = (joblib.delayed(measure_file)(path) for path in images["path"])
    rows = list(tqdm(parallel(jobs), title, len(images), unit=" images"))
    return pd.concat([images[["image", "path"]].reset_index(drop=True), pd.DataFrame(rows)], axis="columns")


def measure_file(path: str) -> Fact:
    """The facts of one file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return {"problem": (error.strerror or "cannot be read").lower()}
    known: Fact = {"bytes": len(data), "fingerprint": hashlib.blake2b(data, digest_size=16).hexdigest()}
    try:
        image = decode(data)
    except UnusableImageError as problem:
        return {**known, "problem": str(problem)}
    size: Fact = {"width": image.width, "height": image.height}
    return {**known, "problem": "", **size, **light_facts(image.pixels), **colours(image.pixels)}


def light_facts(pixels: NDArray[np.uint8]) -> Fact:
    """Brightness, contrast and sharpness of uint8 RGB pixels (H, W, 3)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(cv2.Laplacian(small, cv2.CV_64F).var()),
    }


def colours(pixels: NDArray[np.uint8]) -> Fact:
    """Mean of each channel and of its square, 0-1, of uint8 RGB pixels (H, W, 3)."""
    values = pixels.reshape(-1, 3).astype(np.float64) / 255
    return {**dict(zip(CHANNELS, values.mean(0), strict=True)), **dict(zip(SQUARES, (values**2).mean(0), strict=True))}


def measure_crops(crops: CropSet, images: Sequence[str]) -> pd.DataFrame:
    """`CHANNELS` and `SQUARES` of the crops of images; those whose file is gone are left out."""
    return pd.DataFrame(list(_crop_colours(crops, images)), columns=[*CHANNELS, *SQUARES])


def _crop_colours(crops: CropSet, images: Sequence[str]) -> Iterable[Fact]:
    for image in tqdm(images, "crops", unit=" images"):
        try:
            yield colours(crops.read(image))
        except UserError:
            continue


def mean_and_std(facts: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (3,) each of the pixels of images, 0-1; every image counts alike."""
    mean = facts[list(CHANNELS)].mean().to_numpy(np.float64)
    square = facts[list(SQUARES)].mean().to_numpy(np.float64)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


DARK, BRIGHT = 45, 215
"""Mean grey levels, 0-255, below and above which an image is very dark or very bright."""

FLAT = 12
"""Standard deviation of the grey level below which there is hardly anything to see."""

BLURRED = 0.1
"""Share of the usual sharpness below which an image is blurred."""

USUAL = 0.8
"""Where so large a share of images has one size, all other sizes are odd."""

SMALL, LONG = 100, 2.0
"""Where sizes vary: pixels of the shorter side below, and aspect ratio above which a size is odd."""


@dataclass(frozen=True)
class Oddity:
    """Images of one fault, the worst first."""

    title: str
    images: Mapping[str, str]
    """Image -> what there is to say of it."""


def find_oddities(facts: pd.DataFrame, crops: CropSet | None) -> list[Oddity]:
    """Those that there are, of measured images (`image_facts.measure_files`) and of what the crop index tells."""
    facts = facts.set_index("image")
    sound = facts[facts["problem"] == ""]
    found = [Oddity("Cannot be read", dict(facts["problem"][facts["problem"] != ""]))]
    if len(sound):
        found += [*_light(sound), _sizes(sound), _copies(sound)]
    if crops is not None:
        found += _faces(crops)
    return [oddity for oddity in found if oddity.images]


def _light(facts: pd.DataFrame) -> list[Oddity]:
    grey, contrast, sharpness = (facts[name].sort_values() for name in ("brightness", "contrast", "sharpness"))
    usual = sharpness.median()
    kinds = {
        "Very dark": (grey[grey < DARK], "grey level {:.0f}"),
        "Very bright": (grey[grey > BRIGHT][::-1], "grey level {:.0f}"),
        "Hardly any contrast": (contrast[contrast < FLAT], "contrast {:.0f}"),
        "Blurred": (sharpness[sharpness < BLURRED * usual], f"sharpness {{:.0f}}, usual {usual:.0f}"),
    }
    return [
        Oddity(title, {str(image): text.format(value) for image, value in values.items()})
        for title, (values, text) in kinds.items()
    ]


def _sizes(facts: pd.DataFrame) -> Oddity:
    sides = facts[["width", "height"]].astype(int)
    sizes = sides["width"].astype(str) + " x " + sides["height"].astype(str)
    shares = sizes.value_counts(normalize=True)
    if shares.iloc[0] >= USUAL:
        odd = sizes != shares.index[0]
    else:
        ratio = sides.max(axis=1) / sides.min(axis=1)
        odd = (sides.min(axis=1) < SMALL) | (ratio > LONG)
    return Oddity("Odd sizes", {str(image): f"{size} pixels" for image, size in sizes[odd].items()})


def _copies(facts: pd.DataFrame) -> Oddity:
    """Every file but the first of those that are the same byte for byte."""
    first = facts.reset_index().groupby("fingerprint")["image"].transform("first").set_axis(facts.index)
    again = facts.index[facts["fingerprint"].duplicated()]
    return Oddity("The same file twice", {str(image): f"as {first[image]}" for image in again})


def _faces(crops: CropSet) -> list[Oddity]:
    index = crops.index
    none, several = index[index["found"] == PRIOR], index[index["faces"] > 1].sort_values("faces", ascending=False)
    return [
        Oddity("No face found", dict.fromkeys(map(str, none.index), "cut where faces lie in the others")),
        Oddity("Several faces found", {str(name): f"{count} faces" for name, count in several["faces"].items()}),
    ]


SIZES = 12
"""So many sizes of images are told."""

MANY = 500
"""Persons from which on ages are told year by year: a heap at the oldest is then no accident."""

SHOWN = 12
"""So many images of each oddity are shown."""


@dataclass(frozen=True)
class Split:
    """One half of the data: its table, what was measured of a sample of it, and its crops where there are any."""

    table: pd.DataFrame
    """All images, with labels where it is the training half."""
    facts: pd.DataFrame
    """Of a sample of them; see `image_facts.measure_files`."""
    crops: CropSet | None

    @property
    def labelled(self) -> bool:
        return "mask" in self.table

    @property
    def sound(self) -> pd.DataFrame:
        """The facts of those images that can be read."""
        return self.facts[self.facts["problem"] == ""]


Splits = Mapping[str, Split]


def overview(splits: Splits) -> Section:
    values = []
    for name, split in splits.items():
        persons = f"{split.table['person'].nunique():,} persons" if "person" in split.table else ""
        values.append((f"{name}, images", f"{len(split.table):,}", persons))
        share = "all of them" if len(split.facts) == len(split.table) else "a random sample"
        values.append((f"{name}, measured", f"{len(split.facts):,}", share))
        broken = len(split.facts) - len(split.sound)
        values.append((f"{name}, not readable", f"{broken:,}", "of those measured"))
    return Section("At a glance", [cards(values)])


def sizes(splits: Splits) -> Section:
    parts = []
    for name, split in splits.items():
        both = split.sound[["width", "height"]].astype(int)
        common = (both["width"].astype(str) + " x " + both["height"].astype(str)).value_counts()
        rows = [(str(size), f"{count:,}", f"{count / len(both):.1%}") for size, count in common.head(SIZES).items()]
        rest = f"; the {SIZES} commonest of {len(common):,} sizes" if len(common) > SIZES else ""
        kilobytes = split.facts["bytes"].dropna() / 1000
        middle, low, high = np.quantile(kilobytes, [0.5, 0.05, 0.95]) if len(kilobytes) else (0, 0, 0)
        told = f"{name}: files of {middle:,.0f} kB, from {low:,.0f} to {high:,.0f} (5 to 95 %){rest}"
        parts.append(table(("width x height (pixels)", "images", "share"), rows, told))
    return Section("Image sizes", [beside(parts)])


def colour(splits: Splits) -> Section:
    """RGB mean and standard deviation, of whole images and of the crops that networks see."""
    rows, parts = [], []
    for name, split in splits.items():
        for what, facts in (("images", split.sound), ("crops", _crop_facts(split))):
            if len(facts):
                mean, std = mean_and_std(facts)
                rows.append((f"{name}, {what}", f"{len(facts):,}", *(f"{value:.3f}" for value in (*mean, *std))))
                if split.labelled or len(splits) == 1:
                    parts = [_to_paste(what, mean, std)]
    head = ("", "images", *(f"mean {channel}" for channel in CHANNELS), *(f"std {channel}" for channel in CHANNELS))
    return Section("Colour", [table(head, rows, "Of pixels, 0 to 1; every image counts alike."), *parts])


def _to_paste(what: str, mean: np.ndarray, std: np.ndarray) -> str:
    numbers = (" ".join(f"{value:.3f}" for value in values) for values in (mean, std))
    seen = "aligned crops, which networks see" if what == "crops" else "whole images: crops are not at hand (--crops)"
    text = f"Of the {seen}; to normalise by them instead of the backbone's own values, give training:"
    return paragraph(text) + plain_text("--mean {} --std {}".format(*numbers))


def _crop_facts(split: Split) -> pd.DataFrame:
    if split.crops is None:
        return pd.DataFrame()
    index = split.crops.index
    return measure_crops(
        split.crops, [p for p in split.sound["image"] if index["found"].get(p, UNREADABLE) != UNREADABLE]
    )


def light(splits: Splits) -> Section:
    def histogram(column: str, xlabel: str, title: str, logarithmic: bool = False) -> str:
        values = {name: split.sound[column].to_numpy(np.float64) for name, split in splits.items()}
        every = np.concatenate(list(values.values()))
        every = np.maximum(every, 1e-3) if logarithmic else every
        ends = every.min(), max(every.max(), every.min() + 1e-3)
        edges = np.geomspace(*ends, 41) if logarithmic else np.linspace(*ends, 41)

        def draw(axes: "Axes") -> None:
            for number, (name, each) in enumerate(values.items()):
                share = np.full(len(each), 100 / max(len(each), 1))
                clipped = np.maximum(each, edges[0])
                mark: dict[str, Any] = {
                    "color": COLOURS[number],
                    "label": name,
                    "histtype": "stepfilled",
                    "alpha": 0.45,
                }
                axes.hist(clipped, edges.tolist(), weights=share, **mark)
            axes.set(xlabel=xlabel, ylabel="images (%)", title=title)
            if logarithmic:
                places = np.geomspace(*ends, 5)
                axes.set_xscale("log")
                axes.set_xticks(places, [f"{place:,.0f}" if place >= 10 else f"{place:.2g}" for place in places])
                axes.set_xticks([], minor=True)
            axes.legend()

        return plot(draw)

    if not any(len(split.sound) for split in splits.values()):
        return Section("Brightness and sharpness", [paragraph("No image can be read.", "warn")])
    shown = [
        figure(histogram("brightness", "mean grey level (0 to 255)", "Brightness"), "Brightness"),
        figure(histogram("contrast", "standard deviation of the grey level", "Contrast"), "Contrast"),
        figure(
            histogram("sharpness", "variance of the Laplacian", "Sharpness", logarithmic=True),
            "Sharpness, at 512 pixels a side at most: small is blurred",
        ),
    ]
    return Section("Brightness and sharpness", [figures(shown)])


def labels(split: Split) -> Section:
    images, persons = split.table, split.table.drop_duplicates("person")
    bands = persons["age"].map(age_band)

    def counts(values: pd.Series, names: tuple[str, ...]) -> list[float]:
        return [float((values == number).sum()) for number in range(len(names))]

    each = images.groupby("person").size().value_counts().sort_index()
    shown = [
        figure(bars([*GENDERS], counts(persons["gender"], GENDERS), "persons", "Gender"), "Persons by gender"),
        figure(bars([*BANDS], counts(bands, BANDS), "persons", "Age band"), "Persons by age band (years)"),
        figure(bars([*MASKS], counts(images["mask"], MASKS), "images", "Mask"), "Images by mask state"),
        figure(_ages(persons), "Persons by age; dotted: where the bands begin"),
        figure(
            bars([str(count) for count in each.index], [*map(float, each)], "persons", "Images of a person"),
            "How many images there are of a person",
        ),
    ]
    return Section("Labels", [figures(shown), heading("The six cells"), _cells(images, persons)])


def _ages(persons: pd.DataFrame) -> str:
    ages = persons["age"].to_numpy(np.float64)

    def draw(axes: "Axes") -> None:
        width = 1 if len(ages) >= MANY else 5
        edges = np.arange(ages.min() // width * width, ages.max() + width + 1, width)
        for number, gender in enumerate(GENDERS):
            inside = ages[(persons["gender"] == number).to_numpy()]
            axes.hist(inside, edges.tolist(), color=COLOURS[number], alpha=0.5, label=gender)
        for edge in BAND_EDGES:
            axes.axvline(edge, color=SOFT, linestyle=":", linewidth=1)
        axes.set(xlabel="age (years)", ylabel="persons", title="Age")
        axes.legend()

    return plot(draw)


def _cells(images: pd.DataFrame, persons: pd.DataFrame) -> str:
    rows = []
    for (gender, gender_name), (band, band_name) in product(enumerate(GENDERS), enumerate(BANDS)):
        of_persons, of_images = (
            int(((each["gender"] == gender) & (each["age"].map(age_band) == band)).sum()) for each in (persons, images)
        )
        share = of_persons / len(persons)
        rows.append((f"{gender_name}, {band_name}", f"{of_persons:,}", f"{share:.1%}", f"{of_images:,}"))
    return table(("gender and age band", "persons", "share", "images"), rows)


def faces(splits: Splits) -> Section:
    """How faces were found, by mask state where it is known."""
    rows = []
    for name, split in splits.items():
        if split.crops is None:
            continue
        found = split.crops.index["found"].reindex(split.table["image"])
        states = (
            split.table["mask"].map(dict(enumerate(MASKS))) if split.labelled else pd.Series("any", split.table.index)
        )
        for state in dict.fromkeys(MASKS if split.labelled else ("any",)):
            inside = found[(states == state).to_numpy()]
            counts = inside.value_counts()
            several = split.crops.index["faces"].reindex(inside.index)
            cells = [f"{counts.get(kind, 0):,}" for kind in FOUND]
            share = (counts.get(FOUND[0], 0) + counts.get(FOUND[1], 0)) / max(len(inside), 1)
            rows.append((name, state, f"{len(inside):,}", *cells, f"{share:.2%}", f"{int((several > 1).sum()):,}"))
    if not rows:
        return Section(
            "Faces found", [paragraph("Not shown: there are no crops yet (python shared/crop_faces.py).", "soft")]
        )
    head = ("", "mask", "images", *FOUND, "found", "several faces")
    caption = "From the crop index: found at once, at a second try, not at all (cut by the prior), or not readable."
    return Section("Faces found", [table(head, rows, caption, text_columns=(0, 1))])


def oddities(splits: Splits) -> Section:
    parts = []
    for name, split in splits.items():
        paths = split.table.set_index("image")["path"]
        for oddity in find_oddities(split.facts, split.crops):
            parts.append(heading(f"{oddity.title}: {counted(len(oddity.images), 'image')} of {name}"))
            shown = list(oddity.images.items())[:SHOWN]
            parts.append(tiles(Tile(_thumbnail(paths.get(image)), image, text) for image, text in shown))
    return Section("Oddities", parts or [paragraph("None found.", "soft")])


def _thumbnail(path: str | None) -> list[str]:
    """Nothing where the file cannot be read: that may be the very oddity."""
    try:
        with open(path or "", "rb") as file:  # noqa: PTH123 - may be no path at all
            return [face(decode(file.read()).pixels)]
    except (OSError, UnusableImageError):
        return []
