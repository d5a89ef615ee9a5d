"""Train a variant with several seeds, and compare its held-out predictions with those of the baseline.

A difference has two sources of chance: which persons were held out, and the random draws of each training (initial
weights, order, augmentation). The bootstrap draws both together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.experiments.changes import Variant
from shared.fusion.metrics import (
    DRAWS,
    Interval,
    Ints,
    accuracy,
    count_by_person,
    draw_persons,
    macro_f1,
    person_codes,
    weighted_macro_f1,
)
from shared.fusion.predictions import OOF, read_held_out, read_predictions, write_predictions
from shared.messages import UserError
from shared.specialist import OWN_LABELS, Specialist
from shared.tracking import Record, is_recorded, origin, record
from shared.training.inference import accelerator_for, predict_crops
from shared.training.options import TrainOptions
from shared.training.run import RunContext, labelled_crops, resolved_options, train
from shared.training.run_folder import WEIGHTS, extra_seconds, fold_folder, read_history

SpecialistOf = Callable[[Any], Specialist]
"""Returns the specialist for training options."""


@dataclass(frozen=True)
class Measured:
    """Held-out predictions of a variant for N images, by S trainings that differ in their seed."""

    specialist: Specialist
    predictions: Sequence[pd.DataFrame]
    """S tables (N rows) of the same images, indexed by image: person, truth, then the specialist's columns."""
    labels: pd.DataFrame
    """Labels of at least the N images, indexed by image."""
    seconds: float
    """Mean training time of one seed."""

    @property
    def images(self) -> pd.Index:
        return self.predictions[0].index

    def on(self, images: pd.Index) -> "Measured":
        """Return the same for some of the images."""
        return replace(self, predictions=[table.loc[images] for table in self.predictions])

    def predicted(self) -> Ints:
        """Return the most probable classes (S, N)."""
        classes = list(self.specialist.classes)
        return np.stack([table[classes].to_numpy().argmax(axis=1) for table in self.predictions])

    def scores(self) -> pd.DataFrame:
        """Return macro F1, accuracy and the specialist's further scores; one row per seed."""
        truth, classes = self.predictions[0]["truth"], len(self.specialist.classes)
        labels = self.labels.loc[self.images]
        return pd.DataFrame(
            {
                "macro_f1": macro_f1(truth, predicted, classes),
                "accuracy": accuracy(truth, predicted),
                **self.specialist.further_scores(table, labels),
            }
            for table, predicted in zip(self.predictions, self.predicted(), strict=True)
        )

    def mean_scores(self) -> dict[str, float]:
        """Return the mean of every score over the seeds."""
        return {str(name): float(value) for name, value in self.scores().mean().items()}


@dataclass(frozen=True)
class Comparison:
    """A variant compared with the baseline, on the images that both hold out under the same labels."""

    scores: pd.DataFrame
    """Scores of the variant; one row per seed."""
    gains: Mapping[str, Interval]
    """Mean score less that of the baseline, with a 95 % interval over persons and seeds."""
    images: int


def measure(variant: Variant, seeds: Sequence[int], specialist_of: SpecialistOf, root: Path, records: Path) -> Measured:
    """Train a variant with each seed below `root`, unless that is done, and read its held-out predictions.

    `records` is the table of runs. Raises `UserError` if the variant cannot be trained or predicted with.
    """
    tables, seconds = [], []
    for seed in seeds:
        seeded = variant.with_seed(seed)
        run = seeded.run_folder(root)
        options = seeded.options.with_values(outputs=run, predict_eval=False)
        specialist = specialist_of(options)
        train(specialist, options, RunContext(records=records))
        tables.append(_held_out(specialist, options, run, variant, records))
        histories = [read_history(folder)["seconds"].sum() for folder in _folds(options, run).values()]
        seconds.append(extra_seconds(run) + sum(histories))
    labels = labelled_crops(options.data)[0].set_index("image")
    return Measured(specialist, tables, labels, float(np.mean(seconds)))


def _folds(options: TrainOptions, run: Path) -> dict[int, Path]:
    only = options.run.only_fold
    return {fold: fold_folder(run, fold) for fold in (range(options.data.folds) if only is None else (only,))}


def _held_out(
    specialist: Specialist, options: TrainOptions, run: Path, variant: Variant, records: Path
) -> pd.DataFrame:
    """Return the held-out predictions of the folds that the options train, with the variant's TTA.

    With the TTA of the training they are read. Otherwise the trained networks predict again; the predictions are kept
    in the fold's folder, and their scores get a row in the table of runs, `records`.
    """
    folds = _folds(options, run)
    trained = {fold: read_held_out(folder / OOF, specialist.classes) for fold, folder in folds.items()}
    if variant.tta == options.run.tta:
        return pd.concat(trained.values())
    table, crops = labelled_crops(options.data)
    accelerator = accelerator_for(options.run.device, options.optimisation.mixed_precision)
    parts = []
    for fold, folder in folds.items():
        # Kept beside the weights, which never change in this folder.
        file = folder / f"oof-{variant.tta}.csv"
        if not file.exists():
            batch, workers = options.optimisation.batch_size, options.run.workers
            kept = crops.keep(trained[fold].index)
            weights = [folder / WEIGHTS]
            write_predictions(
                file, predict_crops(specialist, weights, kept, variant.tta, batch, workers, accelerator)
            )  # fmt: skip
        known = trained[fold].columns.intersection(["person", "truth", "top_coded"])
        parts.append(trained[fold][known].join(read_predictions(file, specialist.classes)))
    predictions = pd.concat(parts)
    scores = Measured(specialist, [predictions], table.set_index("image"), 0.0).mean_scores()
    data, recipe = origin([run])
    values = {**resolved_options(specialist, options), "tta": variant.tta}
    seed = options.optimisation.seed
    entry = Record("score", specialist.name, run, 0.0, scores, values, data, recipe, seed=seed)
    if not is_recorded(entry, records):
        record(entry, records, options.run.track)
    return predictions


def compare(before: Measured, after: Measured, same_networks: bool = False, draws: int = DRAWS) -> Comparison:
    """Compare a variant with the baseline; with `same_networks`, each seed is compared with itself.

    If label fixes or grouped persons differ, so do labels and folds: an image with different labels, or one that one
    side was trained on, is left out. Raises `UserError` if no image is left.
    """
    images = _comparable(before, after)
    before, after = before.on(images), after.on(images)
    persons = person_codes(after.predictions[0]["person"])
    person_draws = draw_persons(int(persons.max()) + 1, draws)
    seed_draws = _draw_seeds(len(before.predictions), len(after.predictions), draws)
    if same_networks:
        seed_draws = (seed_draws[0], seed_draws[0])
    gains = {"macro_f1": _macro_f1_gain(before, after, persons, person_draws, seed_draws)}
    return Comparison(
        after.scores(), {**gains, **_further_gains(before, after, persons, person_draws, seed_draws)}, len(images)
    )


def _comparable(before: Measured, after: Measured) -> pd.Index:
    images = before.images.intersection(after.images, sort=False)
    one, other = (_labels(each, images) for each in (before, after))
    same = ((one == other) | (one.isna() & other.isna())).all(axis="columns")
    images = images[same.to_numpy()]
    if images.empty:
        raise UserError("it holds out no image that the baseline does, under the same labels: try --only-fold None")
    return images


def _labels(measured: Measured, images: pd.Index) -> pd.DataFrame:
    own = [name for name in OWN_LABELS if name in measured.labels]
    return measured.labels.loc[images, own].assign(truth=measured.predictions[0].loc[images, "truth"])


SeedDraws = tuple[NDArray[np.int64], NDArray[np.int64]]
"""For the baseline and the variant: places of the drawn seeds, (draws, n)."""


def _draw_seeds(before: int, after: int, draws: int) -> SeedDraws:
    """Draw S - 1 of the S seeds of each side, with replacement.

    Drawing all S would make the variance of a mean of few seeds too small by (S - 1) / S; drawing S - 1 makes it
    unbiased (Rao and Wu, "Resampling Inference with Complex Survey Data", JASA 1988). One seed is its own draw.
    """
    random = np.random.default_rng(0)
    sides = [random.integers(0, count, (draws, max(1, count - 1))) for count in (before, after)]
    return sides[0], sides[1]


def _macro_f1_gain(
    before: Measured, after: Measured, persons: Ints, person_draws: NDArray[np.float64], seed_draws: SeedDraws
) -> Interval:
    truth = after.predictions[0]["truth"].to_numpy()
    means, drawn = [], []
    for measured, seeds in zip((before, after), seed_draws, strict=True):
        counts = count_by_person(truth, measured.predicted(), persons, len(measured.specialist.classes))
        means.append(weighted_macro_f1(np.ones((1, len(counts.support))), counts).mean())
        # (draws, S) scores of each seed on the drawn persons, of which the drawn seeds are averaged.
        drawn.append(np.take_along_axis(weighted_macro_f1(person_draws, counts), seeds, axis=1).mean(axis=1))
    low, high = np.quantile(drawn[1] - drawn[0], [0.025, 0.975])
    return Interval(float(means[1] - means[0]), float(low), float(high))


def _further_gains(
    before: Measured, after: Measured, persons: Ints, person_draws: NDArray[np.float64], seed_draws: SeedDraws
) -> dict[str, Interval]:
    """Return the gain, with its 95 % interval, of every score besides macro F1 and accuracy, by name.

    A specialist computes such a score from a table only, not from counts: each draw of persons (draws, P) and seeds is
    therefore scored on a table of its own.
    """
    means = {name: value - before.mean_scores()[name] for name, value in after.mean_scores().items()}
    names = [name for name in means if name not in ("macro_f1", "accuracy")]
    if not names:
        return {}
    labels = after.labels.loc[after.images].reset_index(drop=True)
    rows = [np.flatnonzero(persons == person) for person in range(person_draws.shape[1])]
    # Without the index, because an image may be drawn more than once.
    sides = [
        (each.specialist, [table.reset_index(drop=True) for table in each.predictions]) for each in (before, after)
    ]

    def scores(side: int, images: NDArray[np.int64], seeds: Sequence[int]) -> pd.Series:
        specialist, tables = sides[side]
        known = labels.iloc[images]
        return pd.DataFrame([specialist.further_scores(tables[seed].iloc[images], known) for seed in seeds]).mean()

    drawn = []
    for number, weights in enumerate(person_draws):
        images = np.concatenate([np.repeat(rows[person], int(weights[person])) for person in np.flatnonzero(weights)])
        one, other = (scores(side, images, seed_draws[side][number].tolist()) for side in (0, 1))
        drawn.append(other - one)
    ends = pd.DataFrame(drawn).quantile([0.025, 0.975])
    return {name: Interval(means[name], *map(float, ends[name])) for name in names}
