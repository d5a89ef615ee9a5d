"""Predict images with trained networks: the mean over folds and over test-time augmentation.

Training scores its epochs with `predict_batches`; `python -m pipelines.TASK.predict` starts in `predict`.
"""

import atexit
import gc
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from shared.crops import CropSet
from shared.faces.alignment import RECIPE
from shared.faces.cache import make_crops
from shared.fusion.predictions import EVAL, write_predictions
from shared.manifest import load_evaluation, split_folder
from shared.messages import UserError
from shared.specialist import Specialist
from shared.training.data import SequentialSampler, WindowDataset, loader
from shared.training.frozen import predict_frozen
from shared.training.model import fuse_batch_norms, load_weights, read_weights_metadata
from shared.training.options import DeviceName, Precision, PredictOptions, TtaName
from shared.training.run_folder import WEIGHTS, crop_folder, finished_folds, run_folder, tta_of
from shared.training.tta import View, ensemble_probabilities


def accelerator_for(device: DeviceName, mixed_precision: Precision = "no") -> Accelerator:
    """Return the accelerator, which handles devices, half precision and several processes.

    Raises `UserError` if the device is missing or cannot do the precision.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; --device auto uses the CPU if there is none")
    if mixed_precision == "fp16" and (device == "cpu" or not torch.cuda.is_available()):
        raise UserError("--mixed-precision fp16 needs a GPU; on a CPU take no or bf16")
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched not in ("no", mixed_precision):
        raise UserError(
            f"accelerate launch --mixed_precision {launched} has no effect here: give --mixed-precision {launched} to "
            "the command itself"
        )
    # accelerate keeps device and precision for the life of a process, and refuses others: a training that failed would
    # decide for the next one of an ablation.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    # A batch is split over the processes, so that any number of them takes the same steps.
    splitting = DataLoaderConfiguration(split_batches=True)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision, dataloader_config=splitting)
    if accelerator.num_processes > 1:
        atexit.register(accelerator.end_training)
    return accelerator


def check_batch_size(batch_size: int, accelerator: Accelerator) -> None:
    """Raise `UserError` unless every process gets the same number of images, two or more for batch norm."""
    processes = accelerator.num_processes
    if batch_size % processes or (processes > 1 and batch_size < 2 * processes):
        raise UserError(
            f"--batch-size {batch_size} is split over {processes} processes: take a multiple of {processes}, at least "
            f"{2 * processes}"
        )


def workers_per_process(workers: int, accelerator: Accelerator) -> int:
    """Return the number of loading processes, at most as many as this process has cores of its own."""
    if accelerator.num_processes == 1:
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    local = int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
    return min(workers, max(1, cores // local))


def free_workers(accelerator: Accelerator) -> None:
    """End the worker processes of prepared loaders.

    accelerate keeps a reference to every prepared loader, and so to its workers, each with a copy of the training's
    memory: after some folds the machine would be full.
    """
    accelerator.free_memory()
    gc.collect()


def predict(specialist: Specialist, options: PredictOptions) -> None:
    """Predict the eval images of `options.data` with a trained run, and write them in the order of info.csv.

    Raises `UserError` if nothing is trained, or the weights need crops of another recipe than this version makes.
    """
    run = run_folder(options.outputs, specialist.name)
    folds = finished_folds(run)
    if not folds:
        raise UserError(f"{run} holds no trained fold; python -m pipelines.{specialist.name}.train makes them")
    weights = [folder / WEIGHTS for folder in folds.values()]
    for path in weights:
        # Before crops are made, which would replace those of another recipe.
        read_weights_metadata(path).check_recipe(path, RECIPE.id, "those that this version makes")
    table = load_evaluation(split_folder(options.data, "eval"), options.skip_bad)
    accelerator = accelerator_for(options.device, options.mixed_precision)
    check_batch_size(options.batch_size, accelerator)
    with accelerator.main_process_first():
        crops = make_crops(table, crop_folder(options.crops, options.data, "eval"))
    tta = options.tta or tta_of(run)
    predictions, networks = predict_networks(
        specialist, weights, crops, tta, options.batch_size, options.workers, accelerator
    )
    if accelerator.is_main_process:
        out = options.out or run / EVAL
        write_eval(out, predictions, {} if options.out else dict(zip(weights, networks, strict=True)))
        print(f"wrote {out}: {len(predictions):,} images, folds {', '.join(map(str, folds))} averaged, --tta {tta}")


def write_eval(out: Path, mean: pd.DataFrame, networks: Mapping[Path, pd.DataFrame]) -> None:
    """Write the mean predictions to `out`, and those of each network, by its weights, to eval.csv beside them.

    What is learned on held-out images, each predicted by a single network, is applied to single networks.
    """
    for weights, table in networks.items():
        write_predictions(weights.parent / EVAL, table)
    write_predictions(out, mean)


def predict_crops(
    specialist: Specialist,
    weights: Sequence[Path],
    crops: CropSet,
    tta: TtaName,
    batch_size: int,
    workers: int,
    accelerator: Accelerator,
) -> pd.DataFrame:
    """Return the mean prediction of trained networks for every crop; see `predict_networks`."""
    return predict_networks(specialist, weights, crops, tta, batch_size, workers, accelerator)[0]


def predict_networks(
    specialist: Specialist,
    weights: Sequence[Path],
    crops: CropSet,
    tta: TtaName,
    batch_size: int,
    workers: int,
    accelerator: Accelerator,
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Return the mean prediction of trained networks for every crop, and the prediction of each network.

    A table has the column `image`, then those of the specialist.

    Raises `UserError` if weights are broken, of another specialist, or trained on crops of another recipe.
    """
    seen = []
    for path in weights:
        metadata = read_weights_metadata(path)
        metadata.check(path, specialist, crops)
        frozen = metadata.frozen if tta != "all" else ""
        seen.append(((metadata.window_of(specialist), metadata.size), frozen))
    inputs = list(dict.fromkeys(kind for kind, frozen in seen if not frozen))
    networks, distributions = [], {}
    for path, (kind, frozen) in zip(weights, seen, strict=True):
        # Not prepared by accelerate, which would wrap it for training.
        network = load_weights(path).to(accelerator.device)
        if frozen:
            distributions[path] = predict_frozen(specialist, network, frozen, kind, crops, tta)
        else:
            fuse_batch_norms(network, kind[1])
            networks.append((network, inputs.index(kind)))
    if networks:
        dataset = WindowDataset(crops, inputs)
        batches = accelerator.prepare(
            loader(dataset, SequentialSampler(len(dataset)), batch_size, workers_per_process(workers, accelerator))
        )
        hidden = not accelerator.is_main_process
        bar = tqdm(batches, desc=f"{specialist.name} predictions", unit="batch", disable=hidden, leave=False)
        trained = [path for path, (_, frozen) in zip(weights, seen, strict=True) if not frozen]
        predicted = predict_batches(specialist, networks, bar, tta, accelerator)
        distributions |= dict(zip(trained, predicted, strict=True))
        del batches, bar
        free_workers(accelerator)
    by_network = [distributions[path] for path in weights]
    images = pd.Series(crops.index.index, name="image")
    mean, *each = (
        pd.concat([images, specialist.columns(part)], axis="columns")
        for part in (np.mean(by_network, axis=0), *by_network)
    )
    return mean, each


@torch.inference_mode()
def predict_batches(
    specialist: Specialist,
    networks: Sequence[tuple[nn.Module, int]],
    batches: Iterable[Sequence[Tensor]],
    tta: TtaName,
    accelerator: Accelerator,
) -> NDArray[np.float64]:
    """Return the specialist's distribution by each of F networks for every image in order, (F, N, outputs).

    A batch holds its images (B, size, size, 3) once for every distinct input; each network comes with the number of
    its input. The batches must come from a loader that `accelerator` has prepared; every process gets all rows.
    """

    def probabilities(network: nn.Module, images: Tensor, view: View) -> Tensor:
        with accelerator.autocast():
            logits = network(view.of(images))
        return specialist.distribution(logits.float()).cpu()

    for network, _ in networks:
        network.eval()
    rows = []
    for inputs in batches:
        predicted = [partial(probabilities, network, inputs[number]) for network, number in networks]
        # The images of all processes are joined along the first axis.
        each = torch.from_numpy(ensemble_probabilities(predicted, tta)).transpose(0, 1).contiguous()
        rows.append(accelerator.gather_for_metrics(each.to(accelerator.device)).cpu())
    return torch.cat(rows).transpose(0, 1).numpy()
