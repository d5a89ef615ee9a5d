"""Make the images of docs/tour.md from the outputs of `make demo`: drawn faces, free to publish.

    python examples/tour_images.py --data data/sample --outputs outputs/demo --out docs/images

Also an example of reading what the commands write: crops with their index, prediction files, true labels of a sample.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from pipelines.age.specialist import AGE
from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared.commands import run
from shared.crops import open_crops
from shared.files import replacing
from shared.fusion.ages import age_error
from shared.labels import NORMAL, age_band
from shared.manifest import load_training

HEIGHT, CROP, GAP = 180, 128, 6
"""Pixels: height of portraits in a row, side of crops, gap between images."""


@dataclass(frozen=True)
class Options:
    """Draw the images of the tour."""

    data: Path = Path("data/sample")
    """The drawn sample."""
    outputs: Path = Path("outputs/demo")
    """Outputs of make demo: mask, gender, age, figures."""
    crops: Path = Path("outputs/demo/crops")
    """Its crops."""
    out: Path = Path("docs/images")
    """The folder to fill."""


def main(options: Options) -> None:
    table = load_training(options.data / "train")
    crops = open_crops(options.crops / "train")
    save(options.out / "persons.jpg", [row_of([read(path, HEIGHT) for path in one_of_each_cell(table)])])
    person = table["person"].iloc[0]
    seven = table[table["person"] == person]["path"]
    save(options.out / "seven.jpg", [row_of([read(path, HEIGHT) for path in seven])])
    some = crops.index.index[:: len(crops.index) // 16 + 1][:16]
    shown = [shrink(crops.read(image), CROP) for image in some]
    save(options.out / "crops.jpg", [row_of(shown[:8]), row_of(shown[8:16])])
    face = crops.read(table[table["person"] == person]["image"].iloc[-1])
    seen = [specialist.window.cut(face, HEIGHT) for specialist in (MASK, GENDER, AGE)]
    save(options.out / "windows.jpg", [row_of([shrink(face, HEIGHT), *seen])])
    draw_ages(options)
    small_copy(options.outputs / "figures" / "truth-together.png", options.out / "classes.png")
    for file in sorted(options.out.iterdir()):
        print(f"{file}  {file.stat().st_size / 1000:.0f} kB")


def one_of_each_cell(table: pd.DataFrame) -> list[str]:
    """Paths of a bare face of every gender and age band, in that order."""
    bare = table[table["kind"] == NORMAL].assign(band=table["age"].map(age_band))
    return bare.groupby(["gender", "band"])["path"].first().tolist()


def read(path: str, height: int) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((image.width * height // image.height, height)))


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((side, side)))


def row_of(images: list[np.ndarray]) -> np.ndarray:
    """Put images of one height side by side, with white gaps."""
    gap = np.full((len(images[0]), GAP, 3), 255, np.uint8)
    parts = [part for image in images for part in (image, gap)]
    return np.hstack(parts[:-1])


def save(path: Path, rows: list[np.ndarray]) -> None:
    """Write rows below one another as a JPEG."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    with replacing(path) as temporary:
        Image.fromarray(np.vstack(padded)[:-GAP]).save(temporary, quality=82, optimize=True)


def draw_ages(options: Options) -> None:
    """Plot true and predicted age of the eval images."""
    predicted = pd.read_csv(options.outputs / "age" / "eval.csv", index_col="image")["age"]
    truth = pd.read_csv(options.data / "eval_solution.csv", index_col="ImageID")["age"].loc[predicted.index]
    figure = Figure(figsize=(4.2, 4.2), dpi=100, layout="constrained")
    axes = figure.add_subplot(xlabel="true age", ylabel="predicted age", xlim=(15, 80), ylim=(15, 80), aspect="equal")
    axes.set_title(
        f"mean error {abs(age_error(predicted, truth)).mean():.1f} years, {len(predicted):,} images", fontsize=10
    )
    axes.plot([15, 80], [15, 80], color="lightgrey")
    axes.scatter(truth, predicted, s=12, alpha=0.5)
    for edge in (30, 60):
        axes.axvline(edge, color="lightgrey", linewidth=0.7)
        axes.axhline(edge, color="lightgrey", linewidth=0.7)
    with replacing(options.out / "ages.png") as temporary:
        figure.savefig(temporary)
    small_copy(options.out / "ages.png", options.out / "ages.png")


def small_copy(source: Path, target: Path) -> None:
    """Save a figure with 64 colours: a third of the bytes."""
    with Image.open(source) as image:
        small = image.convert("RGB").quantize(64)
    with replacing(target) as temporary:
        small.save(temporary, optimize=True)


if __name__ == "__main__":
    run(main, Options())
