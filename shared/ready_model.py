"""Train the ready-made model on photographs whose licences let weights be published: `make model DATA=...`.

    python -m shared.ready_model --data OPEN --out shared/models/ready.zip

Two specialists share a trunk, the first blocks of a network pretrained on faces, which stays as it is: the rest of that
network gives gender and age, a shorter branch the mask state. Masks are drawn on the bare faces while training, so that
every person is seen masked, too. A teacher, the pretrained network at its best size, has seen each bare face once; the
student is pulled towards its gender and ages, also where the face is now hidden. What is written lies between the
pretrained and the trained weights (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022): that keeps
what the pretrained network knows of faces that the data lack.

Ages are intervals: the loss is the negative log of the probability within. Where the year is known it is the
cross-entropy with a Gaussian around it.
"""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from shared.commands import run
from shared.crops import Window
from shared.faces.alignment import RECIPE
from shared.files import write_text
from shared.fusion.ages import median_age
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.metrics import macro_f1
from shared.fusion.rules import bands_of
from shared.labels import BANDS, GENDERS, MASKS, age_band
from shared.messages import UserError, text_table
from shared.predictor.bundle_file import check_target
from shared.ready_bundle import fixed_decisions, heads_of, publish
from shared.ready_data import FOLDS, UNKNOWN, WORN, Examples, Mixture, People, Pixels, epoch_of, load_people
from shared.training.face_backbones import start_head
from shared.training.model import Network, create_backbone
from shared.training.options import DEFAULT_BACKBONE
from shared.training.run_folder import CheckpointMetadata
from shared.weights import FACE_BACKBONES

YEARS = 101
HEADS = {"mask": len(MASKS), "gender": len(GENDERS), "age": YEARS}
"""Outputs of each specialist, in their order."""
OUTPUTS = sum(HEADS.values())


@dataclass(frozen=True)
class Start:
    """A network to start from, and what suits it."""

    backbone: str
    size: int
    """Side of the input in pixels."""
    lr: float
    """Highest learning rate of the body of gender and age."""
    blend: float
    """Share of the trained weights of gender and age in what is written; the rest are the pretrained ones."""
    predicts: bool
    """Whether it gives gender and years before it is trained, so that it can teach."""
    temperatures: Mapping[str, float]
    """Of the probabilities of the trained network."""
    interval_shift: float = 0.0
    """Years that both ends of the 80 % interval of age move outwards."""


UNCALIBRATED = dict.fromkeys(SPECIALISTS, 1.0)
STARTS = {
    # Fitted on the held-out FairFace persons of two folds, bare and with drawn masks; the shift on bare faces alone.
    "faceres": Start("faceres_branches", 192, 1e-4, 0.65, True, {"mask": 0.73, "gender": 1.04, "age": 1.16}, 0.6),
    "dlib": Start("dlib_age_resnet10", 64, 5e-4, 1.0, False, UNCALIBRATED),
    "imagenet": Start(DEFAULT_BACKBONE, 128, 5e-4, 1.0, False, UNCALIBRATED),
}
USUAL_WINDOW = (0.85, 0.5, 0.53)
"""Window of a backbone that brings none."""
SPREAD = 2.5
"""Standard deviation in years of a label whose year is known."""
WIDEST_EXACT = 1.0
"""Years between age_low and age_high up to which the year counts as known."""
CHILD, OLDEST = 10, 84
"""Years: below is a child; ages in the last group of FairFace are taken for no more."""


@dataclass(frozen=True)
class Options:
    """Train mask state, gender and age on a folder of public photographs, and write a bundle."""

    data: Path = Path("open")
    """Folder with people.csv and photographs/."""
    start: Literal["faceres", "dlib", "imagenet"] = "faceres"
    """The network to start from: taught on photographs published for research, on private ones, or on ImageNet."""
    out: Path = Path("ready.zip")
    """The bundle to write; with --fold, the JSON of the scores on the persons held out."""
    crops: Path = Path("crops/open")
    """Folder of the aligned crops; missing ones are made."""
    fold: int = -1
    """Hold out this third of the persons of the sources for choosing, 0 to 2, and score them; -1 trains on all."""
    size: int = 0
    """Side of the input in pixels; 0 takes what suits the start."""
    teacher_size: int = 224
    """The same for the teacher."""
    epochs: int = 7
    draws: int = 2400
    """Images of an epoch."""
    batch_size: int = 64
    lr_heads: float = 5e-4
    """Highest learning rate of the heads of gender and age."""
    lr_mask: float = 1e-3
    """The same for the mask branch."""
    weight_decay: float = 0.02
    dropout: float = 0.2
    masks: float = 0.55
    """How often a mask is drawn on a bare face; two of five are worn wrongly."""
    doubled: str = "fairface"
    """The source that comes twice as often."""
    distil: float = 1.0
    """Weight of the pull towards the teacher's gender and ages, if the start predicts them."""
    age_weight: float = 0.5
    """Weight of the age loss beside that of gender."""
    smoothing: float = 0.05
    """Label smoothing of mask and gender."""
    bfloat16: bool = True
    """Compute in bfloat16 while training."""
    threads: int = 1
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not -1 <= self.fold < FOLDS:
            raise UserError(f"--fold {self.fold}: must be -1 (train on all) to {FOLDS - 1}")


def blended(beginning: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return weights between those at the beginning (`share` 0) and at the end (1) of training.

    The mask branch is that of the end, because its head had no weights to begin with.
    """
    if share == 1:
        return end
    return {
        name: end[name] if name.startswith("backbone.mask") else torch.lerp(tensor, end[name], share)
        for name, tensor in beginning.items()
    }


def split(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, OUTPUTS) to those of mask (B, 3), gender (B, 2) and years (B, YEARS)."""
    mask, gender, age = logits.split([*HEADS.values()], dim=1)
    return mask, gender, age


def predict(network: nn.Module, images: Iterable[Pixels], mirror: bool = False) -> Tensor:
    """Logits (N, OUTPUTS) of windows (size, size, 3); with `mirror` the mean of an image and its mirror image."""
    outputs, windows = [], list(images)
    network.eval()
    with torch.no_grad():
        for at in range(0, len(windows), 64):
            batch = torch.from_numpy(np.stack(windows[at : at + 64]))
            logits = network(batch)
            outputs.append((logits + network(batch.flip(2))) / 2 if mirror else logits)
    return torch.cat(outputs)


# Labels, teacher and loss


class Targets(NamedTuple):
    """What the loss knows of N photographs."""

    gender: Tensor
    """(N,) indices; -1 where unknown."""
    ages: Tensor
    """(N, YEARS): 1 for each year of the label's interval, or a Gaussian around a known year; 0 where unknown."""
    exact: Tensor
    """(N,) whether the year is known."""
    teacher_gender: Tensor
    """(N, 2) probabilities."""
    teacher_ages: Tensor
    """(N, YEARS) probabilities, restricted to what agrees with the label."""


def make_targets(table: pd.DataFrame, teacher_gender: Tensor, teacher_ages: Tensor) -> Targets:
    """Return the labels of N photographs as tensors, with the teacher's probabilities of gender (N, 2) and years.

    `table` has the columns gender (-1 if unknown), age_low and age_high (years, NaN if unknown). `teacher_ages`
    (N, YEARS) are weighted down outside the label's interval and made to sum to one; `teacher_gender` is passed on.
    """
    years = np.arange(YEARS)
    low, high = table["age_low"].to_numpy()[:, None], table["age_high"].to_numpy()[:, None]
    known = np.isfinite(low)
    exact = known & (high - low <= WIDEST_EXACT)
    gaussian = np.exp(-((years - (low + high) / 2) ** 2) / (2 * SPREAD**2))
    gaussian /= np.maximum(gaussian.sum(1, keepdims=True), 1e-12)
    within = (years >= np.floor(low)) & (years <= np.ceil(high))
    shares = np.where(known, np.where(exact, gaussian, within), 0.0)
    # The teacher within the label: with soft edges, since both are a little off, and never without any probability.
    outside = np.maximum(np.maximum(low - years, years - high), 0)
    soft = torch.from_numpy(np.where(known, np.exp(-((outside / SPREAD) ** 2) / 2), 1.0)).float()
    agreed = soft * (teacher_ages + 1e-6)
    return Targets(
        torch.tensor(table["gender"].to_numpy()),
        torch.from_numpy(shares).float(),
        torch.from_numpy(exact[:, 0]),
        teacher_gender,
        agreed / agreed.sum(1, keepdim=True),
    )


def age_loss(logits: Tensor, shares: Tensor, exact: Tensor) -> Tensor:
    """Loss (B,) of logits (B, YEARS); `shares` and `exact` as in `Targets`, all of them known."""
    log_p = logits.log_softmax(1)
    within = -log_p.masked_fill(shares <= 0, -torch.inf).logsumexp(1)
    return torch.where(exact, -(shares * log_p).sum(1), within)


def loss_of(logits: Tensor, rows: Tensor, states: Tensor, targets: Targets, distil: float, options: Options) -> Tensor:
    """The mean loss of a batch over its three tasks; what is not labelled adds nothing to gender and age."""
    mask, gender, age = split(logits)
    total = cross_entropy(mask, states, label_smoothing=options.smoothing)
    known = targets.gender[rows] >= 0
    if known.any():
        labels, taught = targets.gender[rows][known], targets.teacher_gender[rows][known]
        given = cross_entropy(gender[known], labels, label_smoothing=options.smoothing)
        total = total + known.float().mean() * (given + distil * cross_entropy(gender[known], taught))
    known = targets.ages[rows].sum(1) > 0
    if known.any():
        given = age_loss(age[known], targets.ages[rows][known], targets.exact[rows][known]).mean()
        taught = cross_entropy(age[known], targets.teacher_ages[rows][known])
        total = total + options.age_weight * known.float().mean() * (given + distil * taught)
    return total


# The training

TRUNK = ("backbone.stem", "backbone.trunk")
"""Parameters of `faceres_branches` before its branches."""


def window_of(options: Options) -> Window:
    backbone = STARTS[options.start].backbone
    return Window(*(FACE_BACKBONES[backbone].window if backbone in FACE_BACKBONES else USUAL_WINDOW))


def size_of(options: Options) -> int:
    return options.size or STARTS[options.start].size


def parameter_groups(network: Network, options: Options) -> list[dict[str, Any]]:
    """Body, heads and mask branch with a rate each; biases do not decay; the trunk is left out."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            rate = options.lr_heads if "classifier" in name else STARTS[options.start].lr
            rate = options.lr_mask if name.startswith("backbone.mask") else rate
            groups.setdefault((rate, options.weight_decay * (parameter.ndim > 1)), []).append(parameter)
    return [{"params": each, "lr": rate, "weight_decay": decay} for (rate, decay), each in groups.items()]


def start_years(network: Network, backbone: str) -> None:
    """Let the outputs of years start from those that a network of one classifier was published with, if it has them."""
    published: Any = create_backbone(backbone, YEARS, 0.0, pretrained=True)
    if start_head(published, "age"):
        classifier: Any = network.backbone.get_classifier()
        classifier.weight.data[-YEARS:] = published.classifier.weight.data
        classifier.bias.data[-YEARS:] = published.classifier.bias.data


def fit(people: People, rows: NDArray[np.int64], options: Options) -> tuple[Network, dict[str, Tensor]]:
    """Train on the rows of the table; returns the trained network and the weights that it started from."""
    torch.manual_seed(options.seed)
    start, window = STARTS[options.start], window_of(options)
    network = Network(start.backbone, OUTPUTS, options.dropout, pretrained=True)
    if not start.predicts:
        start_years(network, start.backbone)
    # The trunk that two branches share stays as it is.
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(TRUNK))
    beginning = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    taught = torch.zeros(len(people.table), OUTPUTS)
    if start.predicts:
        # The teacher sees each face once as it is and once mirrored.
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            windows = (window.cut(crop, options.teacher_size) for crop in people.crops)
            taught = predict(network, windows, mirror=True).float()
    _, gender, age = split(taught)
    targets = make_targets(people.table, gender.softmax(1), age.softmax(1))
    dataset = Examples(people, window, size_of(options))
    mixture = Mixture(options.draws, options.masks, options.doubled)
    optimiser = torch.optim.AdamW(parameter_groups(network, options))
    steps = options.draws // options.batch_size
    distil = options.distil if start.predicts else 0.0
    rates = [group["lr"] for group in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rates, total_steps=steps * options.epochs, pct_start=0.15, cycle_momentum=False
    )
    for epoch in range(options.epochs):
        began, total = time.perf_counter(), 0.0
        dataset.examples = epoch_of(people, rows, mixture, (options.seed, epoch))
        network.train()
        for images, at, states in DataLoader(
            dataset, options.batch_size, num_workers=options.workers, drop_last=True, generator=torch.Generator()
        ):
            with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
                logits = network(images)
            loss = loss_of(logits.float(), at, states, targets, distil, options)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / steps:.3f}, {time.perf_counter() - began:.0f} s", flush=True)
    return network, beginning


# The bundle


def metadata_of(options: Options) -> CheckpointMetadata:
    """What the weights file says of itself: one network with a head for each specialist."""
    backbone = STARTS[options.start].backbone
    return CheckpointMetadata(
        specialist=", ".join(HEADS),
        classes=[],
        window=asdict(window_of(options)),
        backbone=backbone,
        outputs=OUTPUTS,
        size=size_of(options),
        recipe=RECIPE.id,
        origin=str(FACE_BACKBONES.get(backbone, "")),
        heads=heads_of(HEADS),
    )


def start_facts(backbone: str) -> dict[str, str]:
    """Return origin, licence and training data of the network to start from."""
    known = FACE_BACKBONES.get(backbone)
    if known is not None:
        return {"origin": known.origin, "licence": known.licence, "data": known.training_data}
    return {"origin": f"{backbone} of timm", "licence": "Apache-2.0", "data": "ImageNet"}


def facts_of(people: People, rows: NDArray[np.int64], options: Options, seconds: float) -> dict[str, Any]:
    """Return what made the model: options, start, sources with licence and credit."""
    credits = pd.read_csv(options.data / "people.csv").groupby("source")[["licence", "credit"]].first()
    sources = (
        people.table.iloc[rows].groupby("source").agg(photographs=("person", "size"), persons=("person", "nunique"))
    )
    values = {name: value for name, value in asdict(options).items() if name not in ("data", "out", "crops")}
    return {
        "options": {**values, "size": size_of(options), "blend": STARTS[options.start].blend},
        "seconds": round(seconds),
        "start": start_facts(STARTS[options.start].backbone),
        "sources": sources.join(credits).reset_index().to_dict("records"),
    }


# Persons held out


def held_out_scores(people: People, rows: NDArray[np.int64], network: nn.Module, options: Options) -> dict[str, float]:
    """Score gender and age of held-out FairFace persons, bare and with a mask drawn on their faces.

    The age error is the distance from the middle of the label, which is a group of about ten years; no age in the last
    group counts as older than `OLDEST`.
    """
    table, window = people.table.iloc[rows], window_of(options)
    scores: dict[str, float] = {}
    children = (table["age_low"] < CHILD).to_numpy()
    middle = (table["age_low"] + table["age_high"].clip(upper=OLDEST) + 1).to_numpy() / 2
    for shown, state in (("no mask", UNKNOWN), ("mask worn", WORN)):
        draw = people.overlay if state != UNKNOWN else (lambda crop, *_: crop)
        crops = (draw(people.crops[row], int(row), state, int(row)) for row in rows)
        inputs = (window.cut(crop, size_of(options)) for crop in crops)
        _, gender, age = (part.softmax(1).numpy() for part in split(predict(network, inputs)))
        drawn = people.overlay.drawable[rows] | (state == UNKNOWN)
        right = gender.argmax(1) == table["gender"].to_numpy()
        error = np.abs(median_age(age) - middle)
        bands = table["age_low"].map(age_band).to_numpy()[drawn]
        name = f"FairFace, {drawn.sum()} persons held out, {shown}"
        scores |= {
            f"{name}: gender, accuracy": float(right[drawn].mean()),
            f"{name}: gender, accuracy below {CHILD} years": float(right[drawn & children].mean()),
            f"{name}: gender, accuracy from {CHILD} years": float(right[drawn & ~children].mean()),
            f"{name}: age band, macro F1": macro_f1(bands, bands_of(age).argmax(1)[drawn], len(BANDS)),
            f"{name}: age, mean distance from the middle of the label in years": float(error[drawn].mean()),
        }
    return scores


def main(options: Options) -> None:
    """Crop, train, and write the bundle, or the scores of the persons held out."""
    if not (options.data / "people.csv").is_file():
        raise UserError(f"--data {options.data} has no people.csv")
    if options.fold < 0:
        check_target(options.out)
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    people, start = load_people(options.data, options.crops), STARTS[options.start]
    held_out = ((people.table["fold"] == options.fold) & (options.fold >= 0)).to_numpy()
    rows = np.flatnonzero(~held_out)
    network, beginning = fit(people, rows, options)
    state = blended(beginning, network.state_dict(), start.blend)
    if options.fold >= 0:
        network.load_state_dict(state)
        known = np.flatnonzero(held_out & (people.table["gender"] != UNKNOWN).to_numpy())
        scores = held_out_scores(people, known, network, options)
        print(text_table(("measure", "value"), [(name, f"{value:.3f}") for name, value in scores.items()]))
        write_text(options.out, json.dumps({"scores": scores}, indent=2) + "\n")
        return
    facts = facts_of(people, rows, options, time.perf_counter() - started)
    decisions = fixed_decisions(start.temperatures, start.interval_shift, calibrated=start.predicts)
    publish(options.out, state, metadata_of(options), decisions, facts, list(people.crops[:24]))


if __name__ == "__main__":
    run(main, Options())
