"""The subjects of the page about a competition folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shared.crops import FOUND, UNREADABLE, CropSet
from shared.faces.picture_files import UnusablePictureError, decode
from shared.labels import BAND_EDGES, BANDS, GENDERS, MASKS, age_band
from shared.reports.charts import COLOURS, SOFT, bars, face, plot
from shared.reports.oddities import find_oddities
from shared.reports.page import (
    Section,
    Tile,
    beside,
    cards,
    figure,
    figures,
    heading,
    paragraph,
    plain_text,
    table,
    tiles,
)
from shared.reports.picture_facts import CHANNELS, mean_and_std, measure_crops
from shared.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZES = 12
"""So many sizes of pictures are told."""

MANY = 500
"""Persons from which on ages are told year by year: a heap at the oldest is then no accident."""

SHOWN = 12
"""So many pictures of each oddity are shown."""


@dataclass(frozen=True)
class Split:
    """One half of the data: its table, what was measured of a sample of it, and its crops where there are any."""

    table: pd.DataFrame
    """All pictures, with labels where it is the training half."""
    facts: pd.DataFrame
    """Of a sample of them; see `picture_facts.measure_files`."""
    crops: CropSet | None

    @property
    def labelled(self) -> bool:
        return "mask" in self.table

    @property
    def sound(self) -> pd.DataFrame:
        """The facts of those pictures that can be read."""
        return self.facts[self.facts["problem"] == ""]


Splits = Mapping[str, Split]


def overview(splits: Splits) -> Section:
    values = []
    for name, split in splits.items():
        persons = f"{split.table['person'].nunique():,} persons" if "person" in split.table else ""
        values.append((f"{name}, pictures", f"{len(split.table):,}", persons))
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
        parts.append(table(("width x height (pixels)", "pictures", "share"), rows, told))
    return Section("Picture sizes", [beside(parts)])


def colour(splits: Splits) -> Section:
    """RGB mean and standard deviation, of whole pictures and of the crops that networks see."""
    rows, parts = [], []
    for name, split in splits.items():
        for what, facts in (("pictures", split.sound), ("crops", _crop_facts(split))):
            if len(facts):
                mean, std = mean_and_std(facts)
                rows.append((f"{name}, {what}", f"{len(facts):,}", *(f"{value:.3f}" for value in (*mean, *std))))
                if split.labelled or len(splits) == 1:
                    parts = [_to_paste(what, mean, std)]
    head = ("", "pictures", *(f"mean {channel}" for channel in CHANNELS), *(f"std {channel}" for channel in CHANNELS))
    return Section("Colour", [table(head, rows, "Of pixels, 0 to 1; every picture counts alike."), *parts])


def _to_paste(what: str, mean: np.ndarray, std: np.ndarray) -> str:
    numbers = (" ".join(f"{value:.3f}" for value in values) for values in (mean, std))
    seen = "aligned crops, which networks see" if what == "crops" else "whole pictures: crops are not at hand (--crops)"
    text = f"Of the {seen}; to normalise by them instead of the backbone's own values, give training:"
    return paragraph(text) + plain_text("--mean {} --std {}".format(*numbers))


def _crop_facts(split: Split) -> pd.DataFrame:
    if split.crops is None:
        return pd.DataFrame()
    index = split.crops.index
    return measure_crops(
        split.crops, [p for p in split.sound["picture"] if index["found"].get(p, UNREADABLE) != UNREADABLE]
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
            axes.set(xlabel=xlabel, ylabel="pictures (%)", title=title)
            if logarithmic:
                places = np.geomspace(*ends, 5)
                axes.set_xscale("log")
                axes.set_xticks(places, [f"{place:,.0f}" if place >= 10 else f"{place:.2g}" for place in places])
                axes.set_xticks([], minor=True)
            axes.legend()

        return plot(draw)

    if not any(len(split.sound) for split in splits.values()):
        return Section("Brightness and sharpness", [paragraph("No picture can be read.", "warn")])
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
    pictures, persons = split.table, split.table.drop_duplicates("person")
    bands = persons["age"].map(age_band)

    def counts(values: pd.Series, names: tuple[str, ...]) -> list[float]:
        return [float((values == number).sum()) for number in range(len(names))]

    each = pictures.groupby("person").size().value_counts().sort_index()
    shown = [
        figure(bars([*GENDERS], counts(persons["gender"], GENDERS), "persons", "Gender"), "Persons by gender"),
        figure(bars([*BANDS], counts(bands, BANDS), "persons", "Age band"), "Persons by age band (years)"),
        figure(bars([*MASKS], counts(pictures["mask"], MASKS), "pictures", "Mask"), "Pictures by mask state"),
        figure(_ages(persons), "Persons by age; dotted: where the bands begin"),
        figure(
            bars([str(count) for count in each.index], [*map(float, each)], "persons", "Pictures of a person"),
            "How many pictures there are of a person",
        ),
    ]
    return Section("Labels", [figures(shown), heading("The six cells"), _cells(pictures, persons)])


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


def _cells(pictures: pd.DataFrame, persons: pd.DataFrame) -> str:
    rows = []
    for (gender, gender_name), (band, band_name) in product(enumerate(GENDERS), enumerate(BANDS)):
        of_persons, of_pictures = (
            int(((each["gender"] == gender) & (each["age"].map(age_band) == band)).sum())
            for each in (persons, pictures)
        )
        share = of_persons / len(persons)
        rows.append((f"{gender_name}, {band_name}", f"{of_persons:,}", f"{share:.1%}", f"{of_pictures:,}"))
    return table(("gender and age band", "persons", "share", "pictures"), rows)


def faces(splits: Splits) -> Section:
    """How faces were found, by mask state where it is known."""
    rows = []
    for name, split in splits.items():
        if split.crops is None:
            continue
        found = split.crops.index["found"].reindex(split.table["picture"])
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
    head = ("", "mask", "pictures", *FOUND, "found", "several faces")
    caption = "From the crop index: found at once, at a second try, not at all (cut by the prior), or not readable."
    return Section("Faces found", [table(head, rows, caption, text_columns=(0, 1))])


def oddities(splits: Splits) -> Section:
    parts = []
    for name, split in splits.items():
        paths = split.table.set_index("picture")["path"]
        for oddity in find_oddities(split.facts, split.crops):
            parts.append(heading(f"{oddity.title}: {counted(len(oddity.pictures), 'picture')} of {name}"))
            shown = list(oddity.pictures.items())[:SHOWN]
            parts.append(tiles(Tile(_thumbnail(paths.get(picture)), picture, text) for picture, text in shown))
    return Section("Oddities", parts or [paragraph("None found.", "soft")])


def _thumbnail(path: str | None) -> list[str]:
    """Nothing where the file cannot be read: that may be the very oddity."""
    try:
        with open(path or "", "rb") as file:  # noqa: PTH123 - may be no path at all
            return [face(decode(file.read()).pixels)]
    except (OSError, UnusablePictureError):
        return []
