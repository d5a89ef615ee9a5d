"""Answers beside the baseline's: scores, and differences with 95 % intervals over persons.

Networks asked once: what they answered is kept beside them, until they or the images are others.

Train a variant where that is not done yet, and collect what its networks say of persons they have not seen.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from shared.crops import CropSet, open_crops
from shared.experiments.variants import Cut, Variant, crops_of, folds_of, plain_crops
from shared.files import write_text
from shared.fusion.metrics import DRAWS, Interval, accuracy, bootstrap_gain, draw_persons, macro_f1, person_codes
from shared.fusion.predictions import OOF, read_held_out, read_predictions, write_predictions
from shared.label_fixes import read_solution
from shared.labels import decode_class
from shared.manifest import load_images, split_folder
from shared.messages import UserError
from shared.specialist import OWN_LABELS, Specialist
from shared.tracking import Record, is_recorded, origin, record
from shared.training.inference import accelerator_for, predict_crops
from shared.training.options import TrainOptions, TtaName
from shared.training.run import RunContext, labelled_crops, resolved_options, train
from shared.training.run_folder import WEIGHTS, crop_folder, extra_seconds, fold_folder, read_history


@dataclass(frozen=True)
class Answered:
    """What a variant says of N images, beside what is true of them."""

    specialist: Specialist
    answers: pd.DataFrame
    """(N rows) indexed by image: person, truth, then the specialist's columns."""
    labels: pd.DataFrame
    """(at least N rows) indexed by image: what the specialist's further scores ask for."""
    seconds: float
    """That its training took; for a change of how networks are asked, that answering took."""


@dataclass(frozen=True)
class Difference:
    """A change beside the baseline, on the images that both answer and have the same labels for."""

    scores: Mapping[str, float]
    gains: Mapping[str, Interval]
    """Score less the baseline's, for the scores that both have."""
    images: int
    """On so many both were compared."""


def scores_of(answered: Answered) -> dict[str, float]:
    """Macro F1 and accuracy over the specialist's classes, then its further scores."""
    specialist, truth = answered.specialist, answered.answers["truth"]
    chosen = _chosen(answered)
    return {
        "macro_f1": macro_f1(truth, chosen, len(specialist.classes)),
        "accuracy": accuracy(truth, chosen),
        **answered.specialist.further_scores(answered.answers, answered.labels.loc[answered.answers.index]),
    }


def compared(before: Answered, after: Answered) -> Difference:
    """`after` beside `before`; draws of persons are the same for both. Raises `UserError` where no image is common.

    Where label fixes or persons kept together differ, so do truth and folds: an image whose label is in dispute, or
    that one side has learnt from, says nothing about which is better.
    """
    images = _common(before, after)
    before, after = (_on(each, images) for each in (before, after))
    persons = person_codes(after.answers["person"])
    truth, classes = after.answers["truth"].to_numpy(), len(after.specialist.classes)
    gains = {"macro_f1": bootstrap_gain(truth, _chosen(before), _chosen(after), persons, classes)}
    return Difference(scores_of(after), {**gains, **_further_gains(before, after, persons)}, len(images))


def _common(before: Answered, after: Answered) -> pd.Index:
    images = before.answers.index.intersection(after.answers.index, sort=False)
    one, other = (_labels(each, images) for each in (before, after))
    images = images[((one == other) | (one.isna() & other.isna())).all(axis="columns").to_numpy()]
    if images.empty:
        raise UserError("it holds out no image that the baseline does, under the same labels: try --only-fold None")
    return images


def _labels(answered: Answered, images: pd.Index) -> pd.DataFrame:
    own = [name for name in OWN_LABELS if name in answered.labels]
    return answered.labels.loc[images, own].assign(truth=answered.answers.loc[images, "truth"])


def _on(answered: Answered, images: pd.Index) -> Answered:
    return Answered(answered.specialist, answered.answers.loc[images], answered.labels, answered.seconds)


def _chosen(answered: Answered) -> np.ndarray:
    return answered.answers[list(answered.specialist.classes)].to_numpy().argmax(axis=1)


def _further_gains(before: Answered, after: Answered, persons: np.ndarray) -> dict[str, Interval]:
    """Of scores that nothing is known of but how to compute them: they are, for every draw of persons."""
    rows = [np.flatnonzero(persons == person) for person in range(persons.max() + 1)]
    # By place from here on: an image is drawn more than once, and looking names up takes most of the time.
    labels = after.labels.loc[after.answers.index].reset_index(drop=True)
    sides = [(each.specialist, each.answers.reset_index(drop=True)) for each in (before, after)]

    def gains(images: np.ndarray) -> dict[str, float]:
        known = labels.iloc[images]
        first, second = (specialist.further_scores(said.iloc[images], known) for specialist, said in sides)
        return {name: second[name] - first[name] for name in second if name in first}

    whole = gains(np.arange(len(persons)))
    if not whole:
        return {}
    drawn = pd.DataFrame(
        gains(np.concatenate([np.repeat(rows[person], int(times)) for person, times in enumerate(draw) if times]))
        for draw in draw_persons(len(rows), DRAWS)
    )
    ends = drawn.quantile([0.025, 0.975])
    return {name: Interval(value, *map(float, ends[name])) for name, value in whole.items()}


def ask_once(
    specialist: Specialist,
    weights: list[Path],
    crops: CropSet,
    tta: TtaName,
    options: TrainOptions,
    file: Path,
) -> float:
    """Let networks answer together into a file, unless these have answered there for these crops before.

    Returns the seconds that it took, now or then. They, and who answered what, are kept in a JSON file of that name.
    """
    kept, asked = file.with_suffix(".json"), _predicted(weights, crops, tta)
    known = json.loads(kept.read_text(encoding="utf-8")) if file.exists() and kept.exists() else {}
    if known.get("asked") != asked:
        started = time.perf_counter()
        accelerator = accelerator_for(options.run.device, options.optimisation.mixed_precision)
        answers = predict_crops(
            specialist, weights, crops, tta, options.optimisation.batch_size, options.run.workers, accelerator
        )
        known = {"seconds": round(time.perf_counter() - started, 1), "asked": asked}
        kept.unlink(missing_ok=True)
        write_predictions(file, answers)
        write_text(kept, json.dumps(known))
    return float(known["seconds"])


def _predicted(weights: list[Path], crops: CropSet, tta: TtaName) -> str:
    """Changes with any network, any crop and the views."""
    asked = hashlib.sha256(tta.encode() + crops.recipe.encode() + crops.index["fingerprint"].to_csv().encode())
    for path in weights:
        asked.update(path.read_bytes())
    return asked.hexdigest()[:16]


SpecialistOf = Callable[[Any], Specialist]
"""The specialist that options ask for."""


@dataclass(frozen=True)
class Laboratory:
    """Where variants of one task are measured."""

    specialist_of: SpecialistOf
    root: Path
    """A folder of runs, one for every training."""
    records: Path
    """The table of runs."""
    truth: Path | None = None
    """The true classes of the eval images."""

    def measure(self, variant: Variant) -> Answered:
        """What the variant says; nothing that is there already is trained or asked again.

        Raises `UserError` where it cannot be trained or asked as it is.
        """
        options = variant.options.with_values(
            crops=crops_of(variant, self.root), predict_eval=False, outputs=_folder(variant, self.root)
        )
        if variant.average is not None:
            # Before hours are spent on training.
            self._prepare_eval(options, variant)
        if variant.crop is not None:
            _cut(options, "train", variant.crop)
        specialist = self.specialist_of(options)
        for fold in _calls(variant):
            train(specialist, options.with_values(only_fold=fold), RunContext(records=self.records))
        before = _asked(options)
        measure = self._on_eval if variant.average is not None else _on_held_out
        answered = measure(specialist, options, variant)
        if variant.average is not None or variant.tta != variant.options.run.tta:
            self._record(options, variant, answered, late=_asked(options) == before)
        return answered

    def _record(self, options: TrainOptions, variant: Variant, answered: Answered, late: bool) -> None:
        """A row of what was asked besides the training, which leaves its own; `late` as in `record_results`."""
        told = {**resolved_options(answered.specialist, options), "tta": variant.tta, "average": variant.average}
        data, recipe = origin([_run(options)])
        entry = Record(
            kind="score",
            task=answered.specialist.name,
            run=_run(options),
            seconds=answered.seconds,
            scores=scores_of(answered),
            options=told,
            data=data,
            recipe=recipe,
            seed=options.optimisation.seed,
            late=late,
        )
        if not (late and is_recorded(entry, self.records)):
            record(entry, self.records, options.run.track)

    def _prepare_eval(self, options: TrainOptions, variant: Variant) -> None:
        """Crops of the eval images, cut where they are plain. Raises `UserError` where they or true classes miss."""
        self._eval_labels(variant)
        if variant.crop is not None:
            _cut(options, "eval", variant.crop)
        open_crops(crop_folder(options.data.crops, options.data.data, "eval"))

    def _eval_labels(self, variant: Variant) -> pd.DataFrame:
        if self.truth is None:
            raise UserError(
                f"{variant.name}: networks that answer together have each seen persons that the others hold out; "
                "to measure them on eval images name their true classes with --truth"
            )
        return _labels_of(self.truth)

    def _on_eval(self, specialist: Specialist, options: TrainOptions, variant: Variant) -> Answered:
        crops = open_crops(crop_folder(options.data.crops, options.data.data, "eval"))
        run, folds = _run(options), folds_of(variant)
        file = run / f"eval-{variant.tta}-{len(folds)}.csv"
        weights = [fold_folder(run, fold) / WEIGHTS for fold in folds]
        seconds = ask_once(specialist, weights, crops, cast("TtaName", variant.tta), options, file)
        labels = self._eval_labels(variant)
        answers = read_predictions(file, specialist.classes)
        known = pd.DataFrame({"person": labels["person"], "truth": specialist.truth(labels)})
        return Answered(specialist, known.join(answers, how="inner"), labels, seconds)


def _cut(options: TrainOptions, split: str, cut: Cut) -> None:
    images = load_images(split_folder(options.data.data, split), options.data.skip_bad)
    plain_crops(images, crop_folder(options.data.crops, options.data.data, split), cut)


def _calls(variant: Variant) -> tuple[int | None, ...]:
    """Folds to train one by one; or all by one call, which leaves one row of the training and not one for each."""
    folds = folds_of(variant)
    return (None,) if len(folds) == variant.options.data.folds else folds


def _folder(variant: Variant, root: Path) -> Path:
    """Told by what is trained alone: other names for it, folds, and ways to ask the same networks share a folder."""
    code = hashlib.sha256(json.dumps(variant.trained, sort_keys=True).encode()).hexdigest()[:8]
    trained = " ".join(word for word in variant.name.split() if not word.startswith(("tta=", "average=")))
    name = re.sub(r"[^0-9a-zA-Z_.=,-]+", "-", trained or "baseline")[:60]
    return next(root.glob(f"*-{code}"), root / f"{name}-{code}")


def _asked(options: TrainOptions) -> dict[Path, int]:
    """The answers that there are besides those of its training, and when they were written."""
    files = (*_run(options).rglob("oof-*.csv"), *_run(options).glob("eval-*.csv"))
    return {file: file.stat().st_mtime_ns for file in files}


def _run(options: TrainOptions) -> Path:
    return cast("Path", options.run.outputs)


def _on_held_out(specialist: Specialist, options: TrainOptions, variant: Variant) -> Answered:
    table, crops = labelled_crops(options)
    run, parts = _run(options), []
    seconds = extra_seconds(run) if variant.tta == options.run.tta else 0.0
    for fold in folds_of(variant):
        folder = fold_folder(run, fold)
        part = read_held_out(folder / OOF, specialist.classes)
        if variant.tta == options.run.tta:
            seconds += read_history(folder)["seconds"].sum()
        else:
            file = folder / f"oof-{variant.tta}.csv"
            tta, held_out = cast("TtaName", variant.tta), crops.keep(part.index)
            seconds += ask_once(specialist, [folder / WEIGHTS], held_out, tta, options, file)
            known = part.columns.intersection(["person", "truth", "top_coded"])
            part = part[known].join(read_predictions(file, specialist.classes))
        parts.append(part)
    return Answered(specialist, pd.concat(parts), table.set_index("image"), seconds)


def _labels_of(truth: Path) -> pd.DataFrame:
    """Mask, gender and age of the eval images, and who they show."""
    solution = read_solution(truth)
    missing = [column for column in ("person", "age") if column not in solution]
    if missing:
        raise UserError(f"{truth} has no column {missing[0]}: it is needed to score by person, and years")
    attributes = pd.DataFrame([decode_class(number) for number in solution["truth"]], index=solution.index)
    return attributes[["mask", "gender"]].assign(age=solution["age"], person=solution["person"])
