"""Trained runs without training: networks with random weights, and held-out answers as good specialists would give."""

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
from shared.files import write_text
from shared.fusion.predictions import OOF, write_predictions
from shared.tracking import RUN
from shared.training.model import Network, save_weights
from shared.training.run_folder import WEIGHTS, CheckpointMetadata, fold_folder

SPECIALISTS = (MASK, GENDER, AGE)
BACKBONE, SIZE = "test_efficientnet", 32


def write_model(outputs: Path, folds: int = 1, persons: int = 30) -> Path:
    """Run folders of the three specialists; gives back `outputs`."""
    held_out = held_out_predictions(persons, doubt=0.5, sharpness=2)
    for specialist in SPECIALISTS:
        run = outputs / specialist.name
        answers = held_out.predictions[specialist.name]
        if specialist is AGE:
            # Some years beside what is answered; of the oldest it is only known that they are 60 or more.
            noise = np.random.default_rng(1).normal(0, 3, len(answers))
            ages = (answers["age"] + noise).round().clip(18, 60)
            answers = answers.assign(true_age=ages, top_coded=(ages >= 60).astype(float))
        known = pd.DataFrame({"person": held_out.persons, "fold": held_out.folds}, index=answers.index)
        truth = held_out.truth[specialist.name]
        write_predictions(run / OOF, pd.concat([known.assign(truth=truth), answers], axis="columns"))
        write_text(run / RUN, '{"options": {"tta": "flip", "backbone": "test_efficientnet", "size": 32}}')
        for fold in range(folds):
            write_fold(fold_folder(run, fold), specialist.name, fold)
    return outputs


def write_fold(folder: Path, task: str, fold: int) -> None:
    """The weights of a fold that counts as trained."""
    specialist = next(specialist for specialist in SPECIALISTS if specialist.name == task)
    metadata = CheckpointMetadata.of(specialist, BACKBONE, SIZE, RECIPE.id)
    save_weights(folder / WEIGHTS, random_network(specialist.outputs, fold).state_dict(), metadata)
    (folder / OOF).touch()


@cache
def random_network(outputs: int, seed: int) -> Network:
    """A network that answers differently for different faces."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(BACKBONE, outputs, 0.0, pretrained=False)
        # Statistics of images, or else all that varies is drowned by the first layers.
        network.train()(torch.randint(0, 255, (32, SIZE, SIZE, 3), dtype=torch.uint8))
        with torch.no_grad():
            network.backbone.get_classifier().weight.mul_(20)  # type: ignore[operator]
    return network.eval()


def entries(bundle: Path) -> dict[str, bytes]:
    """The files of a bundle, by name."""
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
