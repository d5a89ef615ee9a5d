"""Train the gender specialist with several seeds and measure what averaging the runs gains.

    python examples/average_runs.py --data data/sample --crops outputs/demo/crops --only-fold 0 --seeds 0 1 2

The folds do not depend on the seed, so the same persons are held out in every run, and the average of held-out
predictions is a fair score. For the submission, name all runs:
`python combine.py --gender outputs/seeds/0 outputs/seeds/1 outputs/seeds/2`.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.gender.specialist import GENDER
from shared.commands import run
from shared.fusion.fusion import average_runs
from shared.fusion.metrics import macro_f1
from shared.fusion.predictions import read_held_out
from shared.training.options import DEFAULT_BACKBONE, TrainOptions
from shared.training.run import train


@dataclass(frozen=True)
class Options:
    """Train with several seeds and score the average of the first one, two, three, ... runs."""

    data: Path = Path("data")
    """The competition folder."""
    crops: Path = Path("crops")
    """Crops made by shared/crop_faces.py."""
    outputs: Path = Path("outputs/seeds")
    """Folder of the runs, one per seed."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of the trainings."""
    only_fold: int | None = None
    """Train only this fold."""
    epochs: int = 4
    """Passes over the training images."""
    size: int = 96
    """Input size of the network, pixels."""
    backbone: str = DEFAULT_BACKBONE
    """Any timm model name."""
    pretrained: bool = True
    """Start from ImageNet weights."""


def main(options: Options) -> None:
    for seed in options.seeds:
        train(GENDER, training(options, seed))
    runs = [read_held_out(options.outputs / str(seed) / "oof.csv", GENDER.classes) for seed in options.seeds]
    for count in range(1, len(runs) + 1):
        average = average_runs(runs[:count])
        predicted = average[list(GENDER.classes)].to_numpy().argmax(axis=1)
        score = macro_f1(runs[0]["truth"].loc[average.index], predicted, len(GENDER.classes))
        print(f"{count} run{'s' if count > 1 else ' '}  macro F1 {score:.3f} on {len(average):,} held-out images")


def training(options: Options, seed: int) -> TrainOptions:
    return TrainOptions.of(
        data=options.data,
        crops=options.crops,
        outputs=options.outputs / str(seed),
        only_fold=options.only_fold,
        epochs=options.epochs,
        size=options.size,
        backbone=options.backbone,
        pretrained=options.pretrained,
        seed=seed,
        workers=0,
    )


if __name__ == "__main__":
    run(main, Options())
