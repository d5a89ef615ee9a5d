"""Train a head alone, on features of a frozen body (`--freeze body`).

The features of an image are computed once, as it is and mirrored, and kept below the folder of its crops: folds, seeds,
specialists and options of the head share them, and so do held-out and eval predictions. The head is then fitted in
seconds by L-BFGS, with the specialist's own loss.

The features are standardised for fitting; mean and deviation are merged into the head, so the weights file is that of
an ordinary network.
"""

import hashlib
import io
import math
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from shared.crops import LANDMARKS, CropSet, Window
from shared.files import replacing
from shared.fusion.metrics import macro_f1
from shared.messages import UserError
from shared.specialist import Loss, Specialist
from shared.training.data import UNCHANGED, CropDataset, Draw, SequentialSampler
from shared.training.model import Features, Network, linear_head, save_weights
from shared.training.options import TrainOptions, TtaName
from shared.training.run_folder import WEIGHTS, CheckpointMetadata, Epoch
from shared.training.sampling import FoldData
from shared.training.tta import TTA_VIEWS

FEATURES = "features"
"""Folder below that of the crops."""

BATCH = 32

BATCHES_KEPT_AT_ONCE = 50
"""After so many batches the features are written, so that a kill loses little."""

PASSES = 2
"""Epochs of the sampler that the head is fitted to."""

MASK_VARIANTS = 2
"""Different drawings of a mask on one bare face, in each mask state."""

STEPS = 60
"""Iterations of L-BFGS; more change nothing that shows."""


class FeatureStore:
    """Features of a frozen body, float32 (2, D) for each image: as it is and mirrored."""

    def __init__(self, network: Network, digest: str, crops: CropSet):
        """Take a network in evaluation mode, its `body_digest`, and the crops beside which features are kept."""
        self._network, self._features = network, Features(network)
        self._file = crops.folder / FEATURES / f"{digest}.npz"
        self._known: dict[str, NDArray[np.float32]] = {}
        try:
            with np.load(self._file) as kept:
                self._known = dict(zip(kept["keys"].tolist(), kept["features"], strict=True))
        except Exception:  # Missing, or broken in one of many ways: they are computed again.
            self._known = {}

    def of_draws(self, dataset: CropDataset, draws: Sequence[Draw], title: str) -> Tensor:
        """Return the features (N, 2, D) of N draws (row and drawn mask) of a dataset, without augmentation.

        Those that are not kept are computed and written; `title` labels the progress bar.
        """
        names = _names(dataset.crops)
        plain = dataset.without_augmentation()
        keys = [names[draw.row] + (f" {draw.state} {draw.seed}" if draw.state != UNCHANGED else "") for draw in draws]
        missing = {key: draw for key, draw in zip(keys, draws, strict=True) if key not in self._known}
        batches = [list(missing.items())[at : at + BATCH] for at in range(0, len(missing), BATCH)]
        for number, batch in enumerate(tqdm(batches, desc=title, unit="batch", disable=not batches, leave=False)):
            computed = self._compute(torch.stack([plain[draw][0] for _, draw in batch]))
            self._known.update(zip((key for key, _ in batch), computed, strict=True))
            if number % BATCHES_KEPT_AT_ONCE == BATCHES_KEPT_AT_ONCE - 1 or number == len(batches) - 1:
                self._write()
        return torch.from_numpy(np.stack([self._known[key] for key in keys]))

    @torch.inference_mode()
    def _compute(self, images: Tensor) -> NDArray[np.float32]:
        seen = images.to(self._network.mean.device)
        views = [self._features(view).float() for view in (seen, seen.flip(2))]
        return torch.stack(views, dim=1).cpu().numpy()

    def _write(self) -> None:
        content = io.BytesIO()
        np.savez(content, keys=np.array(list(self._known)), features=np.stack(list(self._known.values())))
        try:
            with replacing(self._file) as temporary:
                temporary.write_bytes(content.getbuffer())
        except OSError as error:
            print(f"note: {self._file} cannot be written ({error.strerror}): features are not kept", file=sys.stderr)


def _names(crops: CropSet) -> list[str]:
    """Return a name for each crop, which changes with its source file, its recipe and where it was cut."""
    places = crops.index[["fingerprint", "recipe", *LANDMARKS]].astype(str).fillna("").agg(" ".join, axis=1)
    return [f"{image} {zlib.crc32(place.encode()):08x}" for image, place in places.items()]


def body_digest(network: Network, window: object, size: int) -> str:
    """Return a code of all that features depend on: weights of the body, window and size of the input."""
    head = f"{linear_head(network)}."
    code = hashlib.blake2b(f"{window} {size}".encode(), digest_size=12)
    for name, tensor in network.state_dict().items():
        if not name.startswith(head):
            code.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return code.hexdigest()


def fit_head(features: Tensor, targets: Tensor, loss: Loss, outputs: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Return weight (outputs, D) and bias (outputs,) of a linear head for features (N, D), fitted by L-BFGS.

    `penalty` times the sum of squared weights is added to the mean loss, for features of unit variance.
    """
    mean, deviation = features.mean(0), features.std(0).clamp(min=1e-6)
    scaled = (features - mean) / deviation
    weight = torch.zeros(features.shape[1], outputs, device=features.device, requires_grad=True)
    bias = torch.zeros(outputs, device=features.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = loss(scaled @ weight + bias, targets) + penalty * weight.square().sum()
        total.backward()
        return total

    optimizer.step(closure)
    with torch.no_grad():
        unscaled = weight / deviation[:, None]
        return unscaled.T.contiguous(), bias - mean @ unscaled


def fit_frozen(
    specialist: Specialist,
    options: TrainOptions,
    data: FoldData,
    folder: Path,
    network: Network,
    accelerator: Accelerator,
) -> Epoch:
    """Fit the head of one fold to a frozen body, write the weights to the fold's folder, and return loss and score.

    Raises `UserError` if the loss is not finite.
    """
    started = time.perf_counter()
    network.to(accelerator.device).eval().requires_grad_(False)
    size, penalty = options.model.input_size, options.optimisation.weight_decay
    digest = body_digest(network, specialist.window, size)
    store = FeatureStore(network, digest, data.train.crops)
    draws = [draw for epoch in range(PASSES) for draw in _draws(data, epoch)]
    features = store.of_draws(data.train, draws, f"{specialist.name} features").to(accelerator.device)
    targets = torch.stack([data.train.target(draw) for draw in draws]).to(accelerator.device)
    # Both views of an image have its target.
    both, doubled = features.flatten(0, 1), targets.repeat_interleave(2, dim=0)
    weight, bias = fit_head(both, doubled, specialist.loss, specialist.outputs, penalty)
    classifier = network.backbone.get_classifier()
    classifier.load_state_dict({"weight": weight, "bias": bias})
    loss = float(specialist.loss(classifier(both), doubled))
    if not math.isfinite(loss):
        raise UserError(f"the loss of {specialist.name} {folder.name} became {loss}: raise --weight-decay")
    held_out = store.of_draws(data.held_out, list(data.held_out_sampler), f"{specialist.name} held-out features")
    distribution = _distribution(specialist, network, held_out, "none")
    predicted = specialist.class_probabilities(distribution).argmax(1)
    if accelerator.is_main_process:
        metadata = CheckpointMetadata.of(specialist, network.architecture, size, data.recipe)
        save_weights(
            folder / WEIGHTS, network.state_dict(), replace(metadata, frozen=digest, head=linear_head(network))
        )
    score = macro_f1(data.truth, predicted, len(specialist.classes))
    return Epoch(0, loss, score, 0.0, round(time.perf_counter() - started, 1))


def _draws(data: FoldData, epoch: int) -> Iterator[Draw]:
    """The draws of an epoch; a mask on a bare face is one of few drawings, which are the same in every fold."""
    data.sampler.epoch = epoch
    images = data.train.crops.index.index
    for draw in data.sampler:
        drawing = MASK_VARIANTS * zlib.crc32(images[draw.row].encode()) + draw.seed % MASK_VARIANTS
        yield draw._replace(seed=0 if draw.state == UNCHANGED else drawing)


def predict_frozen(
    specialist: Specialist, network: Network, digest: str, inputs: tuple[Window, int], crops: CropSet, tta: TtaName
) -> NDArray[np.float64]:
    """Return the distribution (N, outputs) that a network with a frozen body predicts for N crops.

    `digest` is that of its body (`body_digest`), under which features are kept; `inputs` are the window that is cut
    from a crop and the side in pixels to which it is resized. `tta` is none or flip.
    """
    window, size = inputs
    dataset = CropDataset(crops, np.zeros(len(crops.index), np.int64), window, size)
    store = FeatureStore(network, digest, crops)
    draws = list(SequentialSampler(len(dataset)))
    return _distribution(specialist, network, store.of_draws(dataset, draws, f"{specialist.name} features"), tta)


@torch.inference_mode()
def _distribution(specialist: Specialist, network: Network, features: Tensor, tta: TtaName) -> NDArray[np.float64]:
    """Return the distribution (N, outputs) for features (N, 2, D), averaged over the views."""
    classifier = network.backbone.get_classifier()
    seen = features[:, : len(TTA_VIEWS[tta])].to(network.mean.device)
    views = [specialist.distribution(classifier(seen[:, view])).double() for view in range(seen.shape[1])]
    return torch.stack(views).mean(0).cpu().numpy()
