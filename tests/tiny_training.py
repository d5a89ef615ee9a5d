"""A training of seconds: few persons in plain colours that tell the labels, and the smallest network that timm has."""

from pathlib import Path

from tiny_competition import people, write_eval, write_train
from tiny_crops import RECIPE, write_crops

from shared.manifest import load_evaluation, load_training

FLAGS = {
    "folds": 2,
    "only_fold": 0,
    "epochs": 1,
    "size": 32,
    "batch_size": 8,
    "backbone": "test_efficientnet",
    "pretrained": False,
    "device": "cpu",
    "workers": 0,
}
"""Options of a training, by name."""


def write_data(
    folder: Path,
    persons: int = 12,
    kinds: tuple[str, ...] = ("mask1", "incorrect_mask", "normal"),
    recipe: str = RECIPE,
) -> None:
    """data/ and crops/ below a folder."""
    table = load_training(write_train(folder / "data/train", people(persons), kinds))
    write_crops(table, folder / "crops/train", recipe=recipe)
    eval_table = load_evaluation(write_eval(folder / "data"))
    write_crops(table.head(len(eval_table)).assign(image=eval_table["image"]), folder / "crops/eval", recipe=recipe)
