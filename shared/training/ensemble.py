"""The folds of a run answer together: where `python -m pipelines.TASK.predict` leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator

from shared.answers.predictions import write_predictions
from shared.crop_faces import make_crops
from shared.crops import CropSet
from shared.errors import UserError
from shared.faces.recipe import RECIPE
from shared.manifest import load_evaluation, split_folder
from shared.specialist import Specialist
from shared.training.data import CropDataset, InOrder, batches
from shared.training.devices import DeviceName, Precision, accelerator_for
from shared.training.folders import EVAL, WEIGHTS, crop_folder, finished_folds, run_folder
from shared.training.prediction import VIEWS, ViewsName, predict_distribution
from shared.training.weights import load_weights, read_passport


@dataclass(frozen=True)
class PredictOptions:
    """Answer for pictures with a trained specialist: the mean over its folds and over test-time views."""

    data: Path = Path("data")
    """A competition folder, or any folder with info.csv and images/."""
    crops: Path = Path("crops")
    """Where the crops of these pictures are; those that are missing are made."""
    outputs: Path | None = None
    """The run whose weights are used; outputs/TASK when left out."""
    out: Path | None = None
    """The file to write; eval.csv of the run when left out."""
    views: ViewsName = "flip"
    """Test-time views averaged: the crop alone, with its mirror image, or those and four small shifts of both."""
    batch_size: int = 64
    """Pictures per step."""
    mixed_precision: Precision = "no"
    """Half precision where the device is faster with it."""
    device: DeviceName = "auto"
    """auto takes a GPU where there is one."""
    workers: int = 1
    """Processes that read pictures beside the network; 0 reads in the same process."""
    skip_bad: bool = False
    """Leave rows of info.csv out that cannot be used, and list them in rejected.csv."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"--batch-size must be at least 1, not {self.batch_size}")
        if self.workers < 0:
            raise UserError(f"--workers must be 0 or more, not {self.workers}")


def predict(specialist: Specialist, options: PredictOptions) -> None:
    """Write the specialist's answers for the eval pictures of `options.data`, in the order of its info.csv.

    Raises `UserError` where nothing is trained, or the weights want crops of another recipe than this version makes.
    """
    run = run_folder(options.outputs, specialist.name)
    folds = finished_folds(run)
    if not folds:
        raise UserError(f"{run} holds no trained fold; python -m pipelines.{specialist.name}.train makes them")
    weights = [folder / WEIGHTS for folder in folds.values()]
    for path in weights:
        # Before crops are made, which would take the place of those of another recipe.
        read_passport(path).check_recipe(path, RECIPE.id, "those that this version makes")
    table = load_evaluation(split_folder(options.data, "eval"), options.skip_bad)
    accelerator = accelerator_for(options.device, options.mixed_precision)
    with accelerator.main_process_first():
        crops = make_crops(table, crop_folder(options.crops, options.data, "eval"))
    answers = answer(specialist, weights, crops, options.views, options.batch_size, options.workers, accelerator)
    if accelerator.is_main_process:
        out = options.out or run / EVAL
        write_predictions(out, answers)
        print(f"wrote {out}: {len(answers):,} pictures, folds {', '.join(map(str, folds))} averaged")


def answer(
    specialist: Specialist,
    weights: Sequence[Path],
    crops: CropSet,
    views: ViewsName,
    batch_size: int,
    workers: int,
    accelerator: Accelerator,
) -> pd.DataFrame:
    """The mean answer of several trained networks for all crops of a set: `picture`, then the specialist's columns.

    Raises `UserError` where weights are broken, of another specialist, or trained on crops of another recipe.
    """
    passports = [read_passport(path) for path in weights]
    for path, passport in zip(weights, passports, strict=True):
        passport.check(path, specialist, crops)
    pictures = crops.index.index.tolist()
    total = np.zeros((len(pictures), specialist.outputs))
    for path, passport in zip(weights, passports, strict=True):
        dataset = CropDataset(crops, pictures, np.zeros(len(pictures)), specialist.window, passport.size)
        loader = accelerator.prepare(batches(dataset, InOrder(len(dataset)), batch_size, workers))
        network = accelerator.prepare(load_weights(path))
        label = f"{specialist.name} {path.parent.name}"
        total += predict_distribution(specialist, network, loader, VIEWS[views], accelerator, label)
    return pd.concat([pd.Series(pictures, name="picture"), specialist.columns(total / len(weights))], axis="columns")
