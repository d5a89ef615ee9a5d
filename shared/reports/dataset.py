"""What is in a competition folder: sizes, light, sharpness and colour of images, labels, detection, and oddities."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from shared.crops import DETECTED, FOUND, PRIOR, RETRIED, UNREADABLE, CropSet
from shared.faces.image_io import UnusableImageError, decode
from shared.folds import CELLS, cell_names
from shared.html_pages import SOFT, Tile, face, plot
from shared.labels import BAND_EDGES, BANDS, GENDERS, MASKS, age_band
from shared.messages import UserError, counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHANNELS = ("red", "green", "blue")
SQUARES = tuple(f"{name}_square" for name in CHANNELS)

SIDE = 512
"""Sharpness is measured on a copy whose longer side has at most this many pixels, so that sizes are comparable."""

DARK, BRIGHT = 45, 215
"""Mean grey levels, 0-255, below and above which an image is very dark or very bright."""

FLAT = 12
"""Standard deviation of the grey level below which there is hardly any contrast."""

BLURRED = 0.1
"""Share of the median sharpness below which an image is blurred."""

USUAL = 0.8
"""If so large a share of images has one size, all other sizes are odd."""

SMALL, LONG = 100, 2.0
"""If sizes vary: shorter side in pixels below, and aspect ratio above which a size is odd."""

SIZES, SHOWN = 12, 12
"""Sizes that are listed, and images of each oddity that are shown."""

MANY = 500
"""Persons from which on the age histogram has a bin for every year."""


@dataclass(frozen=True)
class Split:
    """The training or the eval half of the data."""

    table: pd.DataFrame
    """All images, with labels in the training half."""
    facts: pd.DataFrame
    """Measurements of a sample of them; see `measure_files`."""
    crops: CropSet | None

    @property
    def labelled(self) -> bool:
        return "mask" in self.table

    @property
    def readable(self) -> pd.DataFrame:
        """The measurements of images that can be read."""
        return self.facts[self.facts["problem"] == ""]


Splits = Mapping[str, Split]


def contents(splits: Splits) -> dict[str, Any]:
    """Return the values that dataset.html shows."""
    colour, to_paste = _colour(splits)
    return {
        "cards": _cards(splits),
        "labels": [_labels(split) for split in splits.values() if split.labelled],
        "sizes": [_sizes(name, split) for name, split in splits.items()],
        "colour": colour,
        "to_paste": to_paste,
        "light": _light(splits),
        "faces": _faces(splits),
        "oddities": _oddity_tiles(splits),
    }


def measure_files(images: pd.DataFrame, title: str) -> pd.DataFrame:
    """Measure files (columns image, path) in threads; one row each in their order.

    Columns: image, path, problem (empty if the file can be read), bytes, fingerprint (of the bytes), width, height
    (pixels), brightness and contrast (mean and standard deviation of the grey level, 0-255), sharpness (variance of the
    Laplacian), `CHANNELS` and `SQUARES` (mean of each channel and of its square, 0-1).
    """
    parallel = joblib.Parallel(n_jobs=joblib.cpu_count(), prefer="threads", return_as="generator")
    jobs = (joblib.delayed(_measure_file)(path) for path in images["path"])
    rows = list(tqdm(parallel(jobs), title, len(images), unit=" images"))
    return pd.concat([images[["image", "path"]].reset_index(drop=True), pd.DataFrame(rows)], axis="columns")


def _measure_file(path: str) -> dict[str, object]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return {"problem": (error.strerror or "cannot be read").lower()}
    known = {"bytes": len(data), "fingerprint": hashlib.blake2b(data, digest_size=16).hexdigest()}
    try:
        image = decode(data)
    except UnusableImageError as problem:
        return {**known, "problem": str(problem)}
    grey = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    return {
        **known,
        "problem": "",
        "width": image.width,
        "height": image.height,
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(cv2.Laplacian(small, cv2.CV_64F).var()),
        **_channel_means(image.pixels),
    }


def _channel_means(pixels: NDArray[np.uint8]) -> dict[str, float]:
    values = pixels.reshape(-1, 3).astype(np.float64) / 255
    return {**dict(zip(CHANNELS, values.mean(0), strict=True)), **dict(zip(SQUARES, (values**2).mean(0), strict=True))}


def mean_and_std(facts: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation (3,) of the pixels, 0-1; every image has the same weight."""
    mean = facts[list(CHANNELS)].mean().to_numpy(np.float64)
    square = facts[list(SQUARES)].mean().to_numpy(np.float64)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def find_oddities(facts: pd.DataFrame, crops: CropSet | None) -> dict[str, dict[str, str]]:
    """Return images with a fault, the worst first, with what is odd about each: fault -> image -> remark."""
    facts = facts.set_index("image")
    readable = facts[facts["problem"] == ""]
    found = {"Cannot be read": dict(facts["problem"][facts["problem"] != ""])}
    if len(readable):
        found |= {**_odd_light(readable), "Odd sizes": _odd_sizes(readable), "The same file twice": _copies(readable)}
    if crops is not None:
        missed = crops.index.index[crops.index["found"] == PRIOR]
        found["No face found"] = dict.fromkeys(map(str, missed), "cropped where faces usually are")
        several = crops.index["faces"][crops.index["faces"] > 1].sort_values(ascending=False)
        found["Several faces found"] = {str(image): f"{count} faces" for image, count in several.items()}
    return {title: images for title, images in found.items() if images}


def _odd_light(facts: pd.DataFrame) -> dict[str, dict[str, str]]:
    grey, contrast, sharpness = (facts[name].sort_values() for name in ("brightness", "contrast", "sharpness"))
    usual = sharpness.median()
    kinds = {
        "Very dark": (grey[grey < DARK], "grey level {:.0f}"),
        "Very bright": (grey[grey > BRIGHT][::-1], "grey level {:.0f}"),
        "Hardly any contrast": (contrast[contrast < FLAT], "contrast {:.0f}"),
        "Blurred": (sharpness[sharpness < BLURRED * usual], f"sharpness {{:.0f}}, usual {usual:.0f}"),
    }
    return {
        title: {str(image): text.format(value) for image, value in values.items()}
        for title, (values, text) in kinds.items()
    }


def _odd_sizes(facts: pd.DataFrame) -> dict[str, str]:
    sides = facts[["width", "height"]].astype(int)
    sizes = sides["width"].astype(str) + " x " + sides["height"].astype(str)
    shares = sizes.value_counts(normalize=True)
    if shares.iloc[0] >= USUAL:
        odd = sizes != shares.index[0]
    else:
        odd = (sides.min(axis=1) < SMALL) | (sides.max(axis=1) / sides.min(axis=1) > LONG)
    return {str(image): f"{size} pixels" for image, size in sizes[odd].items()}


def _copies(facts: pd.DataFrame) -> dict[str, str]:
    """Return every file but the first of those with the same bytes."""
    first = facts.reset_index().groupby("fingerprint")["image"].transform("first").set_axis(facts.index)
    return {str(image): f"as {first[image]}" for image in facts.index[facts["fingerprint"].duplicated()]}


def _cards(splits: Splits) -> list[tuple[str, str, str]]:
    cards = []
    for name, split in splits.items():
        persons = counted(split.table["person"].nunique(), "person") if "person" in split.table else ""
        sample = "all of them" if len(split.facts) == len(split.table) else "a random sample"
        broken = len(split.facts) - len(split.readable)
        cards += [
            (f"{name}, images", f"{len(split.table):,}", persons),
            (f"{name}, measured", f"{len(split.facts):,}", sample),
            (f"{name}, not readable", f"{broken:,}", "of those measured"),
        ]
    return cards


def _sizes(name: str, split: Split) -> tuple[str, pd.DataFrame]:
    """Return a caption and the most frequent sizes."""
    sides = split.readable[["width", "height"]].astype(int)
    counts = (sides["width"].astype(str) + " x " + sides["height"].astype(str)).value_counts()
    most = counts.head(SIZES)
    shares = [f"{count / len(sides):.1%}" for count in most]
    kilobytes = split.facts["bytes"].dropna() / 1000
    median, low, high = np.quantile(kilobytes, [0.5, 0.05, 0.95]) if len(kilobytes) else (0, 0, 0)
    rest = f"; the {SIZES} most frequent of {len(counts):,} sizes" if len(counts) > SIZES else ""
    caption = f"{name}: files of {median:,.0f} kB, from {low:,.0f} to {high:,.0f} (5 to 95 %){rest}"
    return caption, pd.DataFrame({"images": most, "share": shares})


def _colour(splits: Splits) -> tuple[pd.DataFrame, tuple[str, str] | None]:
    """Return RGB mean and standard deviation of images and crops, and the options of training to paste."""
    rows, to_paste = {}, None
    for name, split in splits.items():
        for kind, facts in (("images", split.readable), ("crops", _measure_crops(split))):
            if not len(facts):
                continue
            mean, std = mean_and_std(facts)
            columns = [f"{what} {channel}" for what in ("mean", "std") for channel in CHANNELS]
            rows[f"{name}, {kind}"] = {"images": len(facts), **dict(zip(columns, (*mean, *std), strict=True))}
            if split.labelled or len(splits) == 1:
                mean_text, std_text = (" ".join(f"{value:.3f}" for value in values) for values in (mean, std))
                to_paste = (kind, f"--mean {mean_text} --std {std_text}")
    return pd.DataFrame.from_dict(rows, orient="index"), to_paste


def _measure_crops(split: Split) -> pd.DataFrame:
    rows = []
    if split.crops is not None:
        found = split.crops.index["found"]
        images = [image for image in split.readable["image"] if found.get(image, UNREADABLE) != UNREADABLE]
        for image in tqdm(images, "crops", unit=" images"):
            try:
                rows.append(_channel_means(split.crops.read(image)))
            except UserError:  # The file is gone: the other crops still say what the colours are.
                continue
    return pd.DataFrame(rows, columns=[*CHANNELS, *SQUARES])


def _light(splits: Splits) -> list[tuple[str, str]]:
    if not any(len(split.readable) for split in splits.values()):
        return []
    sharpness = f"Sharpness on at most {SIDE} pixels a side: low values are blurred"
    return [
        (_histogram(splits, "brightness", "mean grey level (0 to 255)"), "Brightness"),
        (_histogram(splits, "contrast", "standard deviation of the grey level"), "Contrast"),
        (_histogram(splits, "sharpness", "variance of the Laplacian", logarithmic=True), sharpness),
    ]


def _histogram(splits: Splits, column: str, xlabel: str, logarithmic: bool = False) -> str:
    values = {name: split.readable[column].to_numpy(np.float64) for name, split in splits.items()}
    every = np.maximum(np.concatenate(list(values.values())), 1e-3 if logarithmic else 0)
    low, high = every.min(), max(every.max(), every.min() + 1e-3)
    edges = np.geomspace(low, high, 41) if logarithmic else np.linspace(low, high, 41)

    def draw(axes: "Axes") -> None:
        for name, each in values.items():
            share = np.full(len(each), 100 / max(len(each), 1))
            style: dict[str, Any] = {"histtype": "stepfilled", "alpha": 0.45}
            axes.hist(np.maximum(each, low), edges.tolist(), weights=share, label=name, **style)
        axes.set(xlabel=xlabel, ylabel="images (%)", title=column.capitalize())
        if logarithmic:
            ticks = np.geomspace(low, high, 5)
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{tick:,.0f}" if tick >= 10 else f"{tick:.2g}" for tick in ticks])
            axes.set_xticks([], minor=True)
        axes.legend()

    return plot(draw)


def _labels(split: Split) -> tuple[list[tuple[str, str]], pd.DataFrame]:
    """Return figures of the labels, and the six cells of gender and age band."""
    images, persons = split.table, split.table.drop_duplicates("person")
    per_person = images.groupby("person").size().value_counts().sort_index()
    shown = [
        (_bars(_counts(persons["gender"], GENDERS), "persons", "Gender"), "Persons by gender"),
        (_bars(_counts(persons["age"].map(age_band), BANDS), "persons", "Age band"), "Persons by age band (years)"),
        (_bars(_counts(images["mask"], MASKS), "images", "Mask"), "Images by mask state"),
        (_ages(persons), "Persons by age; dotted: where the bands begin"),
        (_bars({str(n): int(c) for n, c in per_person.items()}, "persons", "Images per person"), "Images per person"),
    ]
    return shown, _cells(images, persons)


def _cells(images: pd.DataFrame, persons: pd.DataFrame) -> pd.DataFrame:
    """Return persons and images of each gender and age band; a last row for unknown labels if there are any."""
    tables = {"persons": persons, "images": images}
    found = pd.DataFrame({title: cell_names(table).value_counts() for title, table in tables.items()})
    frame = found.reindex([*CELLS, *found.index.difference(CELLS)]).fillna(0).astype(int)
    frame.insert(1, "share", [f"{count / len(persons):.1%}" for count in frame["persons"]])
    return frame


def _counts(values: pd.Series, names: tuple[str, ...]) -> dict[str, int]:
    counts = {name: int((values == number).sum()) for number, name in enumerate(names)}
    unknown = len(values) - sum(counts.values())
    return {**counts, "unknown": unknown} if unknown else counts


def _bars(values: Mapping[str, int], xlabel: str, title: str) -> str:
    def draw(axes: "Axes") -> None:
        bars = axes.barh(list(values), list(values.values()), height=0.65)
        axes.bar_label(bars, [f"{value:,}" for value in values.values()], padding=3, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.14)
        axes.grid(axis="y", visible=False)
        axes.set(xlabel=xlabel, title=title)

    return plot(draw, height=1.1 + 0.3 * max(len(values), 3))


def _ages(persons: pd.DataFrame) -> str:
    persons = persons[persons["age"].notna()]
    ages = persons["age"].to_numpy(np.float64)

    def draw(axes: "Axes") -> None:
        if not len(ages):
            return
        width = 1 if len(ages) >= MANY else 5
        edges = np.arange(ages.min() // width * width, ages.max() + width + 1, width)
        for number, gender in enumerate(GENDERS):
            axes.hist(ages[(persons["gender"] == number).to_numpy()], edges.tolist(), alpha=0.5, label=gender)
        for edge in BAND_EDGES:
            axes.axvline(edge, color=SOFT, linestyle=":", linewidth=1)
        axes.set(xlabel="age (years)", ylabel="persons", title="Age")
        axes.legend()

    return plot(draw)


def _faces(splits: Splits) -> pd.DataFrame | None:
    """Return how faces were detected, by mask state if it is known; None without crops."""
    rows = {}
    for name, split in splits.items():
        if split.crops is None:
            continue
        index = split.crops.index.reindex(split.table["image"])
        states = split.table["mask"].map(dict(enumerate(MASKS))) if split.labelled else pd.Series("", split.table.index)
        for state in MASKS if split.labelled else ("",):
            inside = index[(states == state).to_numpy()]
            counts = {kind: int((inside["found"] == kind).sum()) for kind in FOUND}
            share = (counts[DETECTED] + counts[RETRIED]) / max(len(inside), 1)
            rows[", ".join(filter(None, (name, state)))] = {
                "images": len(inside),
                **counts,
                "face found": f"{share:.2%}",
                "several faces": int((inside["faces"] > 1).sum()),
            }
    return pd.DataFrame.from_dict(rows, orient="index") if rows else None


def _oddity_tiles(splits: Splits) -> list[tuple[str, list[Tile]]]:
    found = []
    for name, split in splits.items():
        paths = split.table.set_index("image")["path"]
        for title, images in find_oddities(split.facts, split.crops).items():
            shown = list(images.items())[:SHOWN]
            tiles = [Tile(image, (remark,), _thumbnail(paths.get(image))) for image, remark in shown]
            found.append((f"{title}: {counted(len(images), 'image')} of {name}", tiles))
    return found


def _thumbnail(path: str | None) -> list[str]:
    """Return the image, or nothing if the file cannot be read: that may be what is odd."""
    try:
        return [face(decode(Path(path or "").read_bytes()).pixels)]
    except (OSError, UnusableImageError):
        return []
