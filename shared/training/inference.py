"""The accelerator of a command: device placement, half precision and several processes are accelerate's business.

A network's answer for many images: test-time augmentation, averaged as distributions.

The folds of a run answer together: where `python -m pipelines.TASK.predict` leads.
"""

import gc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from shared.crop_faces import make_crops
from shared.crops import CropSet
from shared.faces.alignment import RECIPE
from shared.fusion.predictions import EVAL, write_predictions
from shared.manifest import load_evaluation, split_folder
from shared.messages import UserError
from shared.specialist import Specialist
from shared.training.data import Batch, CropDataset, SequentialSampler, batches
from shared.training.model import fuse_batch_norms, load_weights, read_weights_metadata
from shared.training.options import DeviceName, Precision, PredictOptions, TtaName
from shared.training.run_folder import WEIGHTS, crop_folder, finished_folds, run_folder, tta_of
from shared.training.tta import ensemble_probabilities


def accelerator_for(device: DeviceName, mixed_precision: Precision = "no") -> Accelerator:
    """Raises `UserError` where the device is not to be had, or cannot do the precision."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; --device auto takes the CPU where there is none")
    if mixed_precision == "fp16" and (device == "cpu" or not torch.cuda.is_available()):
        raise UserError("--mixed-precision fp16 needs a GPU; on a CPU take no or bf16")
    return Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision)


def free_workers(accelerator: Accelerator) -> None:
    """After a network: end the processes that read for it.

    accelerate remembers every loader it has prepared, and so keeps its readers, each with a copy of what the training
    held when they began: after some folds that is all memory there is.
    """
    accelerator.free_memory()
    gc.collect()


@torch.inference_mode()
def predict_distribution(
    specialist: Specialist,
    network: nn.Module,
    loader: DataLoader[Batch],
    tta: TtaName,
    accelerator: Accelerator,
    progress: str | None = None,
) -> NDArray[np.float64]:
    """The specialist's distribution for every image of the loader, in its order, (N, outputs).

    The mean over `views`. With several processes every one of them gets all rows. `progress` names a progress bar.
    """
    network.eval()

    def probabilities(images: torch.Tensor) -> torch.Tensor:
        with accelerator.autocast():
            logits = network(images)
        return specialist.distribution(logits.float()).cpu()

    rows = []
    hidden = progress is None or not accelerator.is_main_process
    for images, _ in tqdm(loader, desc=progress, unit="batch", disable=hidden, leave=False):
        batch = torch.from_numpy(ensemble_probabilities([(probabilities, images)], tta))
        rows.append(accelerator.gather_for_metrics(batch.to(accelerator.device)).cpu())
    return torch.cat(rows).numpy()


def predict(specialist: Specialist, options: PredictOptions) -> None:
    """Write the specialist's answers for the eval images of `options.data`, in the order of its info.csv.

    Raises `UserError` where nothing is trained, or the weights want crops of another recipe than this version makes.
    """
    run = run_folder(options.outputs, specialist.name)
    folds = finished_folds(run)
    if not folds:
        raise UserError(f"{run} holds no trained fold; python -m pipelines.{specialist.name}.train makes them")
    weights = [folder / WEIGHTS for folder in folds.values()]
    for path in weights:
        # Before crops are made, which would take the place of those of another recipe.
        read_weights_metadata(path).check_recipe(path, RECIPE.id, "those that this version makes")
    table = load_evaluation(split_folder(options.data, "eval"), options.skip_bad)
    accelerator = accelerator_for(options.device, options.mixed_precision)
    with accelerator.main_process_first():
        crops = make_crops(table, crop_folder(options.crops, options.data, "eval"))
    tta = options.tta or tta_of(run)
    answers = predict_crops(specialist, weights, crops, tta, options.batch_size, options.workers, accelerator)
    if accelerator.is_main_process:
        out = options.out or run / EVAL
        write_predictions(out, answers)
        print(f"wrote {out}: {len(answers):,} images, folds {', '.join(map(str, folds))} averaged, --tta {tta}")


def predict_crops(
    specialist: Specialist,
    weights: Sequence[Path],
    crops: CropSet,
    tta: TtaName,
    batch_size: int,
    workers: int,
    accelerator: Accelerator,
) -> pd.DataFrame:
    """The mean answer of several trained networks for all crops of a set: `image`, then the specialist's columns.

    Raises `UserError` where weights are broken, of another specialist, or trained on crops of another recipe.
    """
    metadata_list = [read_weights_metadata(path) for path in weights]
    for path, metadata in zip(weights, metadata_list, strict=True):
        metadata.check(path, specialist, crops)
    images = crops.index.index.tolist()
    parts: list[NDArray[np.float64]] = []
    for path, metadata in zip(weights, metadata_list, strict=True):
        window = metadata.window_of(specialist)
        dataset = CropDataset(crops, images, np.zeros(len(images)), window, metadata.size)
        loader = accelerator.prepare(batches(dataset, SequentialSampler(len(dataset)), batch_size, workers))
        # `prepare` would make it ready for training, and load fsdp, sympy and their kin for that.
        network = load_weights(path).to(accelerator.device)
        fuse_batch_norms(network, metadata.size)
        label = f"{specialist.name} {path.parent.name}"
        parts.append(predict_distribution(specialist, network, loader, tta, accelerator, label))
        del loader
        free_workers(accelerator)
    return pd.concat([pd.Series(images, name="image"), specialist.columns(np.mean(parts, axis=0))], axis="columns")
