"""The folds of a run answer together: where `python -m pipelines.TASK.predict` leads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator
from numpy.typing import NDArray

from shared.answers.files import EVAL
from shared.answers.predictions import write_predictions
from shared.crop_faces import make_crops
from shared.crops import CropSet
from shared.errors import UserError
from shared.faces.recipe import RECIPE
from shared.manifest import load_evaluation, split_folder
from shared.specialist import Specialist
from shared.training.choices import ViewsName
from shared.training.data import CropDataset, InOrder, batches
from shared.training.devices import accelerator_for, let_go
from shared.training.folders import WEIGHTS, crop_folder, finished_folds, own_views, run_folder
from shared.training.fused import fuse_batch_norms
from shared.training.options import PredictOptions
from shared.training.prediction import predict_distribution
from shared.training.views import VIEWS
from shared.training.weights import load_weights, read_passport


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
    views = options.views or own_views(run)
    answers = answer(specialist, weights, crops, views, options.batch_size, options.workers, accelerator)
    if accelerator.is_main_process:
        out = options.out or run / EVAL
        write_predictions(out, answers)
        print(f"wrote {out}: {len(answers):,} pictures, folds {', '.join(map(str, folds))} averaged, --views {views}")


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
    parts: list[NDArray[np.float64]] = []
    for path, passport in zip(weights, passports, strict=True):
        window = passport.window_of(specialist)
        dataset = CropDataset(crops, pictures, np.zeros(len(pictures)), window, passport.size)
        loader = accelerator.prepare(batches(dataset, InOrder(len(dataset)), batch_size, workers))
        # `prepare` would make it ready for training, and load fsdp, sympy and their kin for that.
        network = load_weights(path).to(accelerator.device)
        fuse_batch_norms(network, passport.size)
        label = f"{specialist.name} {path.parent.name}"
        parts.append(predict_distribution(specialist, network, loader, VIEWS[views], accelerator, label))
        del loader
        let_go(accelerator)
    return pd.concat([pd.Series(pictures, name="picture"), specialist.columns(np.mean(parts, axis=0))], axis="columns")
