"""Predict mask, gender and age for photographs in three lines of Python, also for groups.

    python examples/predict_photographs.py --model outputs/demo --photographs group.jpg portrait.png

`--model` is a bundle (python -m shared.bundle) or a folder with trained runs as mask/, gender/ and age/.
"""

from dataclasses import dataclass
from pathlib import Path

from shared.commands import run
from shared.predictor import Predictor


@dataclass(frozen=True)
class Options:
    """Predict for the faces in photographs."""

    photographs: tuple[Path, ...]
    """Files of photographs."""
    model: Path = Path("outputs")
    """A bundle, or a folder of trained runs."""


def main(options: Options) -> None:
    predictor = Predictor.load(options.model)
    for photograph in predictor(options.photographs):
        print(f"{photograph.source}: {photograph.problem or f'{len(photograph.faces)} faces'}")
        for face in photograph.faces:
            print(f"  mask {face.mask.name} ({face.mask.probability:.0%}), {face.gender.name}, {face.age} years")


if __name__ == "__main__":
    run(main, Options(photographs=()))
