"""When it says 80 %, is it right 80 % of the time? A reliability curve of a trained specialist, from its oof.csv.

    python examples/reliability.py --run outputs/mask --out reliability.png

oof.csv holds what each fold says of persons it has not seen, so the curve is an honest one. Points below the diagonal:
surer than it should be. The text gives the same figures, and the expected calibration error.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shared.commands import run

KNOWN = ("image", "person", "fold", "truth")


@dataclass(frozen=True)
class Options:
    """Draw the reliability curve of a specialist's held-out answers."""

    run: Path = Path("outputs/mask")
    """The folder of a trained specialist."""
    out: Path = Path("reliability.png")
    """The image to write."""
    bins: int = 10
    """Stretches of confidence that are compared."""


def main(options: Options) -> None:
    confidence, right = read(options.run / "oof.csv")
    place = np.minimum((confidence * options.bins).astype(int), options.bins - 1)
    table = pd.DataFrame({"bin": place, "said": confidence, "right": right})
    curve = table.groupby("bin").agg(images=("said", "size"), said=("said", "mean"), right=("right", "mean"))
    error = ((curve["said"] - curve["right"]).abs() * curve["images"]).sum() / len(table)
    print(curve.to_string(index=False, float_format="{:.3f}".format))
    print(f"expected calibration error {error:.3f} over {len(table):,} images")
    draw(curve, options.out)


def read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of each image, the probability of the class that is answered, and whether it is the right one."""
    table = pd.read_csv(file)
    # The classes come after what is known; age goes on with the years.
    names = [name for name in table if name not in KNOWN]
    classes = names[: names.index("age")] if "age" in names else names
    probabilities = table[classes].to_numpy()
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == table["truth"].to_numpy()


def draw(curve: pd.DataFrame, out: Path) -> None:
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="says", ylabel="is right", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.plot([0, 1], [0, 1], color="lightgrey")
    axes.plot(curve["said"], curve["right"], marker="o")
    figure.savefig(out)


if __name__ == "__main__":
    run(main, Options())
