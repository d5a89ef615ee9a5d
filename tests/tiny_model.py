"""Trained runs without training: networks with random weights, and held-out predictions of good specialists."""

import json
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from synthetic_predictions import held_out_predictions

from pipelines.age.specialist import AGE
from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared.faces.alignment import RECIPE
from shared.files import READY_MADE, write_text
from shared.fusion.predictions import OOF, write_predictions
from shared.predictor.bundle_file import DETECTOR_FILES
from shared.predictor.onnx_export import Export
from shared.sample_data import DRAWN
from shared.tracking import RUN
from shared.training.model import Network, save_weights
from shared.training.run_folder import WEIGHTS, CheckpointMetadata, fold_folder

SPECIALISTS = (MASK, GENDER, AGE)
BACKBONE, SIZE = "test_efficientnet", 32


def write_model(outputs: Path, folds: int = 1, persons: int = 30) -> Path:
    """Write run folders of the three specialists; return `outputs`."""
    held_out = held_out_predictions(persons, doubt=0.5, sharpness=2)
    for specialist in SPECIALISTS:
        run = outputs / specialist.name
        table = held_out.predictions[specialist.name]
        if specialist is AGE:
            # True ages some years off the predictions, top-coded at 60.
            noise = np.random.default_rng(1).normal(0, 3, len(table))
            ages = (table["age"] + noise).round().clip(18, 60)
            table = table.assign(true_age=ages, top_coded=(ages >= 60).astype(float))
        known = pd.DataFrame({"person": held_out.persons, "fold": held_out.folds}, index=table.index)
        truth = held_out.truth[specialist.name]
        write_predictions(run / OOF, pd.concat([known.assign(truth=truth), table], axis="columns"))
        options = {"tta": "flip", "backbone": BACKBONE, "size": SIZE}
        write_text(run / RUN, json.dumps({"options": options, "sources": [DRAWN]}))
        for fold in range(folds):
            write_fold(fold_folder(run, fold), specialist.name, fold)
    return outputs


def write_fold(folder: Path, task: str, fold: int) -> None:
    """Write the weights of a fold that counts as trained."""
    specialist = next(specialist for specialist in SPECIALISTS if specialist.name == task)
    metadata = CheckpointMetadata.of(specialist, BACKBONE, SIZE, RECIPE.id)
    save_weights(folder / WEIGHTS, random_network(specialist.outputs, fold).state_dict(), metadata)
    (folder / OOF).touch()


@cache
def random_network(outputs: int, seed: int) -> Network:
    """A network with different predictions for different faces."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(BACKBONE, outputs, 0.0, pretrained=False)
        # Batch norms need statistics of images; otherwise the first layers drown all differences.
        network.train()(torch.randint(0, 255, (32, SIZE, SIZE, 3), dtype=torch.uint8))
        with torch.no_grad():
            network.backbone.get_classifier().weight.mul_(20)  # type: ignore[operator]
    return network.eval()


def shipped_detector(_: object) -> list[Export]:
    """Stand in for `export_detector`, which takes seconds, with the same nets out of the ready-made model."""
    content = entries(READY_MADE)
    return [Export(content[name], 0.0) for name in DETECTOR_FILES]


def entries(bundle: Path) -> dict[str, bytes]:
    """Return the files of a bundle, by name."""
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
