"""Distil three trained specialists into one small network with a head for each: `python -m shared.bundle --student`.

The student starts from the ready-made model, at a smaller input, and all its layers are trained. Its targets of gender
and age are half the label and half what the specialists predict (Hinton et al., "Distilling the Knowledge in a Neural
Network", 2015). A mask drawn on a bare face changes what the student sees, and not what its teachers predict of it.

Fold 0 of the runs is held out from it: it sees no image of these persons, and its teachers are the networks of fold 0,
which have not seen them either. On these persons its decisions are fitted, and it is compared with its teachers.

It is kept in a folder beside the runs: the same command continues a training that was stopped.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from shared.crops import INDEX, CropSet, Window, open_crops
from shared.files import READY_MADE, lock
from shared.fusion.age_intervals import LABELS, learn_intervals
from shared.fusion.ages import age_error, band_masses, median_age, year_columns
from shared.fusion.decision import FittedDecision
from shared.fusion.fusion import SPECIALISTS, average_runs, joint_probabilities, true_classes
from shared.fusion.metrics import (
    bootstrap_gain,
    bootstrap_score,
    format_interval,
    mean_interval,
    person_codes,
)
from shared.fusion.predictions import OOF, HeldOut
from shared.labels import BAND_EDGES, CLASS_COUNT, MASKS, class_name
from shared.messages import UserError
from shared.predictor.bundle_file import RunFiles
from shared.predictor.ensemble import INPUT_SIDES, check_metadata
from shared.predictor.from_runs import Runs, TrainedRuns, training_data
from shared.predictor.results import Decisions
from shared.specialist import Specialist, classifier
from shared.training.data import augmentation
from shared.training.fit import FoldTraining, ignore_epoch
from shared.training.inference import accelerator_for, free_workers, predict_networks
from shared.training.model import load_weights, read_weights_metadata, safetensors_content
from shared.training.options import READY, TrainOptions
from shared.training.run import write_history
from shared.training.run_folder import (
    CHECKPOINT,
    HISTORY,
    WEIGHTS,
    CheckpointMetadata,
    claim,
    finished_folds,
    fold_folder,
    tta_of,
)
from shared.training.sampling import prepare_fold
from shared.training.start import Start, read_start

NAME = "student/network.safetensors"
FOLD = 0
"""The fold of the runs that is held out."""
TEACHER = 0.5
"""Share of the teachers in the targets of gender and age; the rest is the label."""
SPREAD = 4.0
"""Standard deviation of an age label in years, as in the age specialist."""
SAME = 0.01
"""Largest difference of the teachers' probabilities from those in their oof.csv: they run in other batches."""

RECIPE: dict[str, Any] = {"freeze": "none", "lr": 1e-4, "weight_decay": 0.02, "tta": "none"}
"""Options of the training."""

Fit = Callable[[HeldOut], FittedDecision]
"""Fits the decisions on held-out predictions, as the options of the bundle want it."""


class Student(NamedTuple):
    """A trained student."""

    trained: TrainedRuns
    """What a bundle packs of it, as `read_trained_runs` returns it of runs."""
    persons: int
    """Persons that were held out from it."""
    weights: bytes
    """The content of its weights file, `NAME`."""
    scores: list[tuple[str, ...]]
    """Score, value of the student, of its teachers, and the difference, with intervals over persons."""


def distil(trained: TrainedRuns, runs: Runs, crops: Path, folder: Path, options: TrainOptions, fit: Fit) -> Student:
    """Train the student of runs in `folder`, and fit its decisions on the persons that it has not seen.

    `options` give size and epochs; backbone and `RECIPE` are added. Raises `UserError` if the runs, their crops or the
    ready-made model do not allow it.
    """
    if options.model.input_size not in INPUT_SIDES:
        raise UserError(f"--size must be at most {INPUT_SIDES[-1]} pixels, not {options.model.input_size}")
    held_out = _held_out(trained, runs)
    known = open_crops(crops if (crops / INDEX).is_file() else crops / "train").keep(held_out.persons.index)
    shared = classifier(", ".join(SPECIALISTS), tuple(map(class_name, range(CLASS_COUNT))), Window(), augmentation)
    start = read_start(READY, shared)
    specialist = _with_heads(shared, start.metadata)
    accelerator = accelerator_for("auto", options.optimisation.mixed_precision)
    teachers = _teachers(runs, known, held_out, accelerator)
    table = _table(held_out).join(pd.DataFrame(soft_targets(held_out, teachers, start.metadata)))
    options = options.with_values(backbone=start.metadata.backbone, folds=held_out.folds.nunique(), **RECIPE)
    described = _describe(trained, runs, table, known, options, start)
    weights = _train(specialist, options, start, table, known, folder, described, accelerator)

    theirs = held_out.part((held_out.folds == FOLD).to_numpy())
    predicted, _ = predict_networks(
        specialist, [weights], known.keep(theirs.persons.index), "none", 32, options.run.workers, accelerator
    )
    own = replace(theirs, predictions=_by_task(predicted.set_index("image"), start.metadata, theirs))
    decision = fit(own)
    rule = decision.fitted_rule
    contents = replace(
        trained.contents,
        runs={task: (RunFiles("none", (NAME,)),) for task in SPECIALISTS},
        decisions=Decisions(rule, learn_intervals(own, rule.temperatures["age"])),
        about=training_data({**trained.run_files, "student": [described]}),
    )
    metadata = replace(start.metadata, size=options.model.input_size, recipe=known.recipe)
    return Student(
        TrainedRuns(trained.source, contents, own, decision, {task: [described] for task in SPECIALISTS}),
        own.persons.nunique(),
        safetensors_content(load_weights(weights).state_dict(), metadata),
        _compare(own, decision, theirs, fit(theirs)),
    )


def _held_out(trained: TrainedRuns, runs: Runs) -> HeldOut:
    """Return the held-out predictions of all folds; raises `UserError` if a student cannot learn from these runs."""
    if not READY_MADE.is_file():
        raise UserError(f"--student starts from {READY_MADE}, which is missing: install face18 again")
    for task, run in [(name, run) for name in SPECIALISTS for run in runs[name]]:
        if not (run / OOF).is_file() or FOLD not in finished_folds(run):
            raise UserError(
                f"--student needs fold {FOLD} and {OOF} of {run}: train them with python -m pipelines.{task}.train "
                f"--outputs {run} and the other options that its run.json names"
            )
    held_out = trained.held_out
    assert held_out is not None, "every run has an oof.csv"
    folds = set(held_out.folds)
    if FOLD not in folds or len(folds) < 2:
        raise UserError(
            f"--student learns from the persons of the folds beside fold {FOLD}, and all runs together have held out "
            f"only fold {', '.join(map(str, sorted(folds)))}: train all folds of all three specialists"
        )
    return held_out


# The specialist with three heads


def _with_heads(shared: Specialist, metadata: CheckpointMetadata) -> Specialist:
    """Return the specialist of the 18 classes for a network with a head for each of mask, gender and age.

    Its distribution (N, K) is one for each head; its targets are likewise, in columns numbered 0 to K - 1.
    """
    heads = {task: slice(*ends) for task, ends in (metadata.heads or {}).items()}

    def targets(table: pd.DataFrame) -> NDArray[np.float32]:
        values = table[list(range(metadata.outputs))].to_numpy(np.float32, copy=True)
        # A mask that is drawn on a face changes this label.
        values[:, heads["mask"]] = np.eye(len(MASKS))[table["mask"]]
        return values

    def loss(logits: Tensor, wanted: Tensor) -> Tensor:
        return torch.stack([cross_entropy(logits[:, head], wanted[:, head]) for head in heads.values()]).sum()

    def softmax_of_heads(logits: Tensor) -> Tensor:
        return torch.cat([logits[:, head].softmax(1) for head in heads.values()], dim=1)

    def classes(distribution: NDArray[np.float64]) -> NDArray[np.float64]:
        mask, gender, age = (distribution[:, heads[task]] for task in SPECIALISTS)
        return joint_probabilities(mask, gender, band_masses(age))

    return replace(
        shared,
        window=Window(**metadata.window),
        outputs=metadata.outputs,
        truth=lambda table: true_classes(
            {"mask": table["mask"].to_numpy(), "gender": table["gender"].to_numpy(), "age": table["band"].to_numpy()}
        ),
        targets=targets,
        loss=loss,
        distribution=softmax_of_heads,
        class_probabilities=classes,
        details=lambda distribution: dict(enumerate(distribution.T)),  # type: ignore[arg-type]
    )


def _specialist(task: str, outputs: int) -> Specialist:
    """Return a specialist that predicts as those of the pipelines do, and that cannot be trained."""
    plain = replace(classifier(task, SPECIALISTS[task], Window(), augmentation), outputs=outputs)
    return replace(plain, class_probabilities=band_masses, details=_years) if task == "age" else plain


def _years(distribution: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a distribution over years (N, Y) in the prediction files."""
    return {"age": median_age(distribution), **{f"year_{year}": column for year, column in enumerate(distribution.T)}}


def _by_task(predicted: pd.DataFrame, metadata: CheckpointMetadata, held_out: HeldOut) -> dict[str, pd.DataFrame]:
    """Return the student's predictions as tables of the three specialists, with the known ages of `held_out`."""
    outputs = predicted[list(range(metadata.outputs))].to_numpy()
    tables = {
        task: _specialist(task, end - first).columns(outputs[:, first:end]).set_index(predicted.index)
        for task, (first, end) in (metadata.heads or {}).items()
    }
    labels = [name for name in LABELS if name in held_out.predictions["age"]]
    return {**tables, "age": tables["age"].join(held_out.predictions["age"][labels])}


# Labels, teachers and targets


def _table(held_out: HeldOut) -> pd.DataFrame:
    """Return a manifest of the images that the runs have held out, as `shared.training.sampling` takes it."""
    table = pd.DataFrame({"person": held_out.persons, "fold": held_out.folds, **held_out.truth}).reset_index(
        names="image"
    )
    # The sampler needs ages for their bands alone.
    return table.rename(columns={"age": "band"}).assign(age=np.array([0, *BAND_EDGES])[held_out.truth["age"]])


def _teachers(
    runs: Runs, crops: CropSet, held_out: HeldOut, accelerator: Accelerator
) -> dict[str, NDArray[np.float64]]:
    """Return what the networks of fold 0 predict, (N, K) for each specialist, averaged over its runs.

    Raises `UserError` if that is not what their oof.csv says of the held-out images: these are then other crops.
    """
    predicted = {}
    unseen = (held_out.folds == FOLD).to_numpy()
    for task in SPECIALISTS:
        tables = []
        for run in runs[task]:
            weights = fold_folder(run, FOLD) / WEIGHTS
            metadata = read_weights_metadata(weights)
            check_metadata(metadata, task, str(weights))
            specialist = _specialist(task, metadata.outputs)
            table, _ = predict_networks(specialist, [weights], crops, tta_of(run), 32, 1, accelerator)
            tables.append(table.set_index("image"))
        mean, expected = average_runs(tables), held_out.predictions[task]
        names = year_columns(mean) or list(SPECIALISTS[task])
        if np.abs((mean[names] - expected[names])[unseen].to_numpy()).max() > SAME:
            raise UserError(
                f"--crops {crops.folder} are not the crops that the {task} runs were trained on, since their networks "
                f"predict other than in {runs[task][0] / OOF}: name those crops"
            )
        predicted[task] = mean[names].to_numpy()
    return predicted


def soft_targets(
    held_out: HeldOut, teachers: Mapping[str, NDArray[np.float64]], metadata: CheckpointMetadata
) -> NDArray[np.float32]:
    """Return the targets (N, K) of all heads: half the label, half the teachers; of the mask state the label."""
    truth, ages = held_out.truth, held_out.predictions["age"]
    years = np.arange(teachers["age"].shape[1])
    known = ages.get("true_age", pd.Series(np.nan, ages.index)).to_numpy()[:, None]
    coded = ages.get("top_coded", pd.Series(0.0, ages.index)).to_numpy()[:, None] > 0
    normal = np.exp(-((years - known) ** 2) / (2 * SPREAD**2))
    # A label that is an interval allows these years, in the teachers' proportions.
    edges = np.array([0, *BAND_EDGES, len(years)])
    low = np.where(coded, known, edges[truth["age"]][:, None])
    high = np.where(coded, len(years), edges[truth["age"] + 1][:, None])
    inside = ((years >= low) & (years < high)) * (teachers["age"] + 1e-6)
    label = np.where(np.isfinite(known) & ~coded, normal, inside)
    labels = {
        "mask": np.eye(len(MASKS))[truth["mask"]],
        "gender": np.eye(2)[truth["gender"]],
        "age": label / label.sum(1, keepdims=True),
    }
    targets = np.zeros((len(ages), metadata.outputs), np.float32)
    for task, ends in (metadata.heads or {}).items():
        share = 0 if task == "mask" else TEACHER
        targets[:, slice(*ends)] = (1 - share) * labels[task] + share * teachers[task]
    return targets


# Training


def _describe(
    trained: TrainedRuns, runs: Runs, table: pd.DataFrame, crops: CropSet, options: TrainOptions, start: Start
) -> dict[str, Any]:
    """Return what the student's run.json says of it; another student is trained if any of this changes."""
    weights = [fold_folder(run, FOLD) / WEIGHTS for task in SPECIALISTS for run in runs[task]]
    teachers = [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in weights]
    labels = table[["image", "person", "fold", "mask", "gender", "band"]].to_csv() + crops.index["fingerprint"].to_csv()
    return {
        "options": {**options.identity(), "start": f"{READY} ({start.digest})", "teachers": teachers},
        "data": hashlib.sha256(labels.encode()).hexdigest()[:16],
        "recipe": crops.recipe,
        "sources": [*trained.contents.about["sources"]],
        "start_sources": [*start.sources],
    }


def _train(
    specialist: Specialist,
    options: TrainOptions,
    start: Start,
    table: pd.DataFrame,
    crops: CropSet,
    folder: Path,
    described: dict[str, Any],
    accelerator: Accelerator,
) -> Path:
    """Train the student in `folder`, unless that is done, and return its weights file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--student is trained in {folder}, which cannot be written ({error.strerror}): move it away"
        ) from error
    fold = fold_folder(folder, FOLD)
    with lock(folder):
        if claim(folder, described, overwrite=True, data=crops.folder):
            print(f"note: {folder} held a student of other options, runs or crops; it is replaced", file=sys.stderr)
        if not ((fold / HISTORY).exists() and (fold / WEIGHTS).exists()):
            data = prepare_fold(specialist, options, table, crops, FOLD)
            history = FoldTraining(specialist, options, data, fold, accelerator, start).run(partial(ignore_epoch, FOLD))
            free_workers(accelerator)
            # Written last: it says that the student is complete.
            write_history(fold, history)
            (fold / CHECKPOINT).unlink(missing_ok=True)
    return fold / WEIGHTS


def _compare(
    own: HeldOut, decision: FittedDecision, theirs: HeldOut, teachers: FittedDecision
) -> list[tuple[str, ...]]:
    """Return macro F1 and age error of the student and of its teachers on the same persons, as in `Student.scores`."""
    persons = person_codes(own.persons)
    truth = {"all 18 classes": true_classes(own.truth), **own.truth}
    counts = {"all 18 classes": CLASS_COUNT, **{task: len(classes) for task, classes in SPECIALISTS.items()}}

    def predicted(number: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        return {"all 18 classes": number, "mask": number // 6, "gender": number % 6 // 3, "age": number % 3}

    student, teacher = predicted(decision.predicted), predicted(teachers.predicted)
    rows: list[tuple[str, ...]] = [
        (
            f"{name}, macro F1",
            format_interval(bootstrap_score(truth[name], student[name], persons, count)),
            format_interval(bootstrap_score(truth[name], teacher[name], persons, count)),
            str(bootstrap_gain(truth[name], teacher[name], student[name], persons, count)),
        )
        for name, count in counts.items()
    ]
    ages = own.predictions["age"]
    if set(LABELS) <= set(ages) and (exact := ages["true_age"].notna().to_numpy()).any():
        labels, people = ages.loc[exact, list(LABELS)], person_codes(own.persons[exact])
        errors = [
            np.abs(age_error(each.predictions["age"].loc[exact, "age"], labels["true_age"], labels["top_coded"]))
            for each in (own, theirs)
        ]
        means = [format_interval(mean_interval(each, people), 2) for each in errors]
        rows.append(("age error in years", *means, str(mean_interval(errors[0] - errors[1], people))))
    return rows
