"""Draw the reliability curve of a trained specialist from its oof.csv.

    python examples/reliability.py --run outputs/mask --out reliability.png

oof.csv holds predictions for persons that the network has not seen, so the curve is unbiased. Points below the diagonal
are overconfident. The same figures and the expected calibration error are printed.
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
    """Draw the reliability curve of a specialist's held-out predictions."""

    run: Path = Path("outputs/mask")
    """The folder of a trained specialist."""
    out: Path = Path("reliability.png")
    """The image to write."""
    bins: int = 10
    """Bins of confidence."""


def main(options: Options) -> None:
    confidence, right = read(options.run / "oof.csv")
    place = np.minimum((confidence * options.bins).astype(int), options.bins - 1)
    table = pd.DataFrame({"bin": place, "confidence": confidence, "right": right})
    curve = table.groupby("bin").agg(
        images=("confidence", "size"), confidence=("confidence", "mean"), right=("right", "mean")
    )
    error = ((curve["confidence"] - curve["right"]).abs() * curve["images"]).sum() / len(table)
    print(curve.to_string(index=False, float_format="{:.3f}".format))
    print(f"expected calibration error {error:.3f} over {len(table):,} images")
    draw(curve, options.out)


def read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each image's predicted class, and whether it is correct; both (N,)."""
    table = pd.read_csv(file)
    # The classes come after the known columns; for age, the distribution over years follows them.
    names = [name for name in table if name not in KNOWN]
    classes = names[: names.index("age")] if "age" in names else names
    probabilities = table[classes].to_numpy()
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == table["truth"].to_numpy()


def draw(curve: pd.DataFrame, out: Path) -> None:
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.plot([0, 1], [0, 1], color="lightgrey")
    axes.plot(curve["confidence"], curve["right"], marker="o")
    figure.savefig(out)


if __name__ == "__main__":
    run(main, Options())
