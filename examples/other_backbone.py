"""Train a specialist on other backbones and compare them, in Python instead of on the command line.

    python examples/other_backbone.py --data data/sample --crops outputs/demo/crops \
        --backbones tf_efficientnet_lite0 test_efficientnet --no-pretrained

Any timm model works. Pretrained weights of backbones other than the default are fetched from the hub once; without a
network use --no-pretrained. Each backbone has its own folder below --outputs, so a stopped comparison can continue.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.mask.specialist import MASK
from shared.commands import run
from shared.tracking import read_run_json
from shared.training.options import DEFAULT_BACKBONE, TrainOptions
from shared.training.run import train


@dataclass(frozen=True)
class Options:
    """Compare backbones for the mask specialist, on one fold."""

    data: Path = Path("data")
    """The competition folder."""
    crops: Path = Path("crops")
    """Crops made by shared/crop_faces.py."""
    outputs: Path = Path("outputs/backbones")
    """Folder of the runs."""
    backbones: tuple[str, ...] = (DEFAULT_BACKBONE,)
    """timm model names."""
    pretrained: bool = True
    """Start from ImageNet weights."""
    epochs: int = 4
    """Passes over the training images."""
    size: int = 96
    """Input size of the network, pixels."""


def main(options: Options) -> None:
    common = TrainOptions.of(
        data=options.data,
        crops=options.crops,
        only_fold=0,
        epochs=options.epochs,
        size=options.size,
        pretrained=options.pretrained,
        workers=0,
    )
    scores = {}
    for backbone in options.backbones:
        folder = options.outputs / backbone
        train(MASK, common.with_values(backbone=backbone, outputs=folder))
        scores[backbone] = read_run_json(folder)["scores"]["fold0"]["macro_f1"]
    for backbone, score in sorted(scores.items(), key=lambda item: -item[1]):
        print(f"{backbone:30} macro F1 {score:.3f}")


if __name__ == "__main__":
    run(main, Options())
