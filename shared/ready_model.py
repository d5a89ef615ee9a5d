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
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

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
from shared.fusion.age_intervals import AgeIntervals
from shared.fusion.ages import Thresholds
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.rules import FittedRule
from shared.labels import BAND_EDGES, GENDERS, MASKS
from shared.messages import UserError, markdown_table
from shared.predictor.bundle_file import (
    CARD,
    DETECTOR_FILES,
    MANIFEST,
    BundleContents,
    RunFiles,
    check_target,
    onnx_name,
    write_bundle,
)
from shared.predictor.ensemble import torch_network
from shared.predictor.results import Decisions
from shared.ready_data import FOLDS, Examples, Mixture, People, Pixels, epoch_of, load_people
from shared.tracking import provenance
from shared.training.model import Network, safetensors_content
from shared.training.run_folder import CheckpointMetadata
from shared.weights import FACE_BACKBONES

YEARS = 101
OUTPUTS = len(MASKS) + len(GENDERS) + YEARS
BACKBONE = "faceres_branches"
SPREAD = 2.5
"""Standard deviation in years of a label whose year is known."""
WIDEST_EXACT = 1.0
"""Years between age_low and age_high up to which the year counts as known."""


@dataclass(frozen=True)
class Options:
    """Train mask state, gender and age on a folder of public photographs, and write a bundle."""

    data: Path = Path("open")
    """Folder with people.csv and photographs/."""
    out: Path = Path("ready.zip")
    """The bundle to write."""
    crops: Path = Path("crops/open")
    """Folder of the aligned crops; missing ones are made."""
    evaluation: Path | None = None
    """JSON of scores for the model card, as benchmarks/ready_model.py writes it."""
    fold: int = -1
    """Hold out this third of the persons of the sources for choosing, 0 to 2; -1 trains on all."""
    size: int = 192
    """Side of the input in pixels."""
    teacher_size: int = 224
    """The same for the teacher."""
    epochs: int = 7
    draws: int = 2400
    """Images of an epoch."""
    batch_size: int = 64
    lr_face: float = 1e-4
    """Highest learning rate of the body of gender and age."""
    lr_heads: float = 5e-4
    lr_mask: float = 1e-3
    """The same for the mask branch."""
    weight_decay: float = 0.02
    dropout: float = 0.2
    masks: float = 0.55
    """How often a mask is drawn on a bare face; two of five are worn wrongly."""
    doubled: str = "fairface"
    """The source that comes twice as often."""
    distil: float = 1.0
    """Weight of the pull towards the teacher's gender and ages."""
    age_weight: float = 0.5
    """Weight of the age loss beside that of gender."""
    smoothing: float = 0.05
    """Label smoothing of mask and gender."""
    blend: float = 0.65
    """Share of the trained weights of gender and age in what is written; the rest are the pretrained ones."""
    bfloat16: bool = True
    """Compute in bfloat16 while training."""
    threads: int = 1
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not -1 <= self.fold < FOLDS:
            raise UserError(f"--fold {self.fold}: must be -1 (train on all) to {FOLDS - 1}")
        if not 0 <= self.blend <= 1:
            raise UserError(f"--blend {self.blend}: must be 0 to 1")


def blended(beginning: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return weights between those at the beginning (`share` 0) and at the end (1) of training.

    The mask branch is that of the end, because its head had no weights to begin with.
    """
    return {
        name: end[name] if name.startswith("backbone.mask") else torch.lerp(tensor, end[name], share)
        for name, tensor in beginning.items()
    }


def split(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, OUTPUTS) to those of mask (B, 3), gender (B, 2) and years (B, YEARS)."""
    mask, gender, age = logits.split([len(MASKS), len(GENDERS), YEARS], dim=1)
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


def loss_of(logits: Tensor, rows: Tensor, states: Tensor, targets: Targets, options: Options) -> Tensor:
    """The mean loss of a batch over its three tasks; what is not labelled adds nothing to gender and age."""
    mask, gender, age = split(logits)
    total = cross_entropy(mask, states, label_smoothing=options.smoothing)
    known = targets.gender[rows] >= 0
    if known.any():
        labels, taught = targets.gender[rows][known], targets.teacher_gender[rows][known]
        given = cross_entropy(gender[known], labels, label_smoothing=options.smoothing)
        total = total + known.float().mean() * (given + options.distil * cross_entropy(gender[known], taught))
    known = targets.ages[rows].sum(1) > 0
    if known.any():
        given = age_loss(age[known], targets.ages[rows][known], targets.exact[rows][known]).mean()
        taught = cross_entropy(age[known], targets.teacher_ages[rows][known])
        total = total + options.age_weight * known.float().mean() * (given + options.distil * taught)
    return total


# The training


def parameter_groups(network: Network, options: Options) -> list[dict[str, Any]]:
    """Body, heads and mask branch with a rate each; biases do not decay; the trunk is left out."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            rate = options.lr_heads if "classifier" in name else options.lr_face
            rate = options.lr_mask if name.startswith("backbone.mask") else rate
            groups.setdefault((rate, options.weight_decay * (parameter.ndim > 1)), []).append(parameter)
    return [{"params": each, "lr": rate, "weight_decay": decay} for (rate, decay), each in groups.items()]


def fit(people: People, rows: NDArray[np.int64], options: Options) -> tuple[Network, dict[str, Tensor]]:
    """Train on the rows of the table; returns the trained network and the weights that it started from."""
    torch.manual_seed(options.seed)
    window = Window(*FACE_BACKBONES[BACKBONE].window)
    network = Network(BACKBONE, OUTPUTS, options.dropout, pretrained=True)
    trunk: Any = network.backbone
    for part in (trunk.stem, trunk.trunk):
        part.requires_grad_(False)
    beginning = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    # The teacher sees each face once as it is and once mirrored.
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
        taught = predict(network, (window.cut(crop, options.teacher_size) for crop in people.crops), mirror=True)
    _, gender, age = split(taught.float())
    targets = make_targets(people.table, gender.softmax(1), age.softmax(1))
    dataset = Examples(people, window, options.size)
    mixture = Mixture(options.draws, options.masks, options.doubled)
    optimiser = torch.optim.AdamW(parameter_groups(network, options))
    steps = options.draws // options.batch_size
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
                with torch.no_grad():
                    maps = trunk.forward_features(network.normalised(images))
                logits = trunk.forward_head(maps)
            loss = loss_of(logits.float(), at, states, targets, options)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / steps:.3f}, {time.perf_counter() - began:.0f} s", flush=True)
    return network, beginning


# The bundle


TEMPERATURES = {"mask": 0.73, "gender": 1.04, "age": 1.16}
"""Fitted on the held-out FairFace persons of two folds, bare and with drawn masks."""

INTERVAL_SHIFT = 0.6
"""Years that both ends of the 80 % interval move outwards; fitted likewise, on bare faces."""

NAME = "ready/network.safetensors"


def metadata_of_network(size: int) -> CheckpointMetadata:
    """What the weights file says of itself: one network with a head for each specialist."""
    ends = np.cumsum([0, len(MASKS), len(GENDERS), YEARS]).tolist()
    return CheckpointMetadata(
        specialist="mask, gender, age",
        classes=[],
        window=asdict(Window(*FACE_BACKBONES[BACKBONE].window)),
        backbone=BACKBONE,
        outputs=OUTPUTS,
        size=size,
        recipe=RECIPE.id,
        origin=str(FACE_BACKBONES[BACKBONE]),
        heads={task: [first, end] for task, (first, end) in zip(SPECIALISTS, pairwise(ends), strict=True)},
    )


def publish(out: Path, state: dict[str, Tensor], facts: dict[str, Any], crops: list[Pixels]) -> None:
    """Write the bundle: float16 weights, the same as ONNX (checked on `crops`), decisions and a model card."""
    from shared.predictor.onnx_export import export_detector, export_network, with_float16_weights

    metadata = metadata_of_network(facts["options"]["size"])
    weights = safetensors_content({name: tensor.half() for name, tensor in state.items()}, metadata)
    exported = export_network(torch_network(weights, "mask", NAME, "cpu"), metadata, crops, NAME)
    decisions = Decisions(
        FittedRule(TEMPERATURES, Thresholds(*map(float, BAND_EDGES)), None, calibrated=True),
        AgeIntervals(INTERVAL_SHIFT, INTERVAL_SHIFT),
    )
    runs = {task: (RunFiles("none", (NAME,)),) for task in SPECIALISTS}
    contents = BundleContents(runs, decisions, {"provenance": provenance(), **facts})
    files = {
        MANIFEST: (json.dumps(contents.to_dict(), indent=2) + "\n").encode(),
        CARD: write_card(facts).encode(),
        NAME: weights,
        onnx_name(NAME): with_float16_weights(exported.content),
        **dict(zip(DETECTOR_FILES, (export.content for export in export_detector(crops)), strict=True)),
    }
    write_bundle(out, files)
    print(f"wrote {out}: {sum(map(len, files.values())) / 1e6:.1f} MB")


def write_card(facts: dict[str, Any]) -> str:
    """Return the model card in Markdown."""
    start = facts["start"]
    sources = [
        (each["source"], f"{each['photographs']:,}", f"{each['persons']:,}", each["licence"], each["credit"])
        for each in facts["sources"]
    ]
    figures = [(name, f"{value:.3g}") for name, value in facts["evaluation"].items()]
    parts = [
        "# face18 ready-made model",
        "Mask state, gender and age of faces in photographs, for use without training. One network with two branches; "
        f"input {facts['options']['size']} pixels.",
        "## What it was trained on",
        f"It starts from {start['origin']} (licence: {start['licence']}), which was trained on {start['data']}. "
        "It was then trained on these photographs, with masks drawn on the bare faces:",
        markdown_table(("source", "photographs", "persons", "licence", "credit"), sources),
        "The photographs are not part of face18.",
        "## Scores",
        "On photographs that it was not trained on; `benchmarks/ready_model.py` prints them:"
        if figures
        else "None were measured when this was built.",
        markdown_table(("measure", "value"), figures) if figures else "",
        LIMITS,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


LIMITS = """## Limits

- Gender and age are what annotators guessed from photographs. They say nothing about how persons see themselves.
- Gender of children under ten is often wrong, on small and blurred faces more often than on large ones.
- Ages above 75 are usually predicted too low. Under a mask the age error is about 2.6 years larger than without.
- A mask worn wrongly was learned from drawn masks only.
- Age intervals: their coverage was fitted on 250 persons and not checked on others.
- Not for deciding about people: access, hiring, policing, age checks, health orders, advertising to a person."""


def facts_of(people: People, rows: NDArray[np.int64], options: Options, seconds: float) -> dict[str, Any]:
    """Return what made the model: options, start, sources with licence and credit, and scores if they are known."""
    backbone = FACE_BACKBONES[BACKBONE]
    credits = pd.read_csv(options.data / "people.csv").groupby("source")[["licence", "credit"]].first()
    sources = (
        people.table.iloc[rows].groupby("source").agg(photographs=("person", "size"), persons=("person", "nunique"))
    )
    scores = options.evaluation and json.loads(options.evaluation.read_text(encoding="utf-8"))
    places = ("data", "out", "crops", "evaluation")
    return {
        "options": {name: value for name, value in asdict(options).items() if name not in places},
        "seconds": round(seconds),
        "start": {"origin": backbone.origin, "licence": backbone.licence, "data": backbone.training_data},
        "sources": sources.join(credits).reset_index().to_dict("records"),
        "evaluation": scores or {},
    }


def main(options: Options) -> None:
    """Crop, train, and write the bundle."""
    if not (options.data / "people.csv").is_file():
        raise UserError(f"--data {options.data} has no people.csv")
    check_target(options.out)
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    people = load_people(options.data, options.crops)
    rows = np.flatnonzero((people.table["fold"] != options.fold) | (options.fold < 0))
    network, beginning = fit(people, rows, options)
    state = blended(beginning, network.state_dict(), options.blend)
    publish(options.out, state, facts_of(people, rows, options, time.perf_counter() - started), list(people.crops[:24]))


if __name__ == "__main__":
    run(main, Options())
