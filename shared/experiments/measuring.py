"""Train a variant where that is not done yet, and collect what its networks say of persons they have not seen."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd

from shared.answers.files import OOF
from shared.answers.predictions import read_held_out, read_predictions
from shared.competition.solution import read_solution
from shared.crops import open_crops
from shared.errors import UserError
from shared.experiments.asking import ask_once
from shared.experiments.changes import Variant, crops_of, folds_of
from shared.experiments.comparing import Answered, scores_of
from shared.experiments.plain_crops import Cut, plain_crops
from shared.labels import decode_class
from shared.manifest import load_pictures, split_folder
from shared.records import Record, is_recorded, origin, record
from shared.specialist import Specialist
from shared.training.adjusted import resolved
from shared.training.choices import ViewsName
from shared.training.folders import WEIGHTS, crop_folder, extra_seconds, fold_folder, read_history
from shared.training.options import TrainOptions
from shared.training.purpose import Purpose
from shared.training.run import labelled_crops, train

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
    """The true classes of the eval pictures."""

    def measure(self, variant: Variant) -> Answered:
        """What the variant says; nothing that is there already is trained or asked again.

        Raises `UserError` where it cannot be trained or asked as it is.
        """
        options = replace(variant.options, crops=crops_of(variant, self.root), answer_eval=False)
        options = replace(options, outputs=_folder(variant, self.root))
        if variant.average is not None:
            # Before hours are spent on training.
            self._prepare_eval(options, variant)
        if variant.crop is not None:
            _cut(options, "train", variant.crop)
        specialist = self.specialist_of(options)
        for fold in _calls(variant):
            train(specialist, replace(options, only_fold=fold), Purpose(records=self.records))
        before = _asked(options)
        measure = self._on_eval if variant.average is not None else _on_held_out
        answered = measure(specialist, options, variant)
        if variant.average is not None or variant.views != variant.options.views:
            self._record(options, variant, answered, late=_asked(options) == before)
        return answered

    def _record(self, options: TrainOptions, variant: Variant, answered: Answered, late: bool) -> None:
        """A row of what was asked besides the training, which leaves its own; `late` as in `record_results`."""
        told = {**resolved(answered.specialist, options), "views": variant.views, "average": variant.average}
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
            seed=options.seed,
            late=late,
        )
        if not (late and is_recorded(entry, self.records)):
            record(entry, self.records, options.track)

    def _prepare_eval(self, options: TrainOptions, variant: Variant) -> None:
        """Crops of the eval pictures, cut where they are plain. Raises `UserError` where they or true classes miss."""
        self._eval_labels(variant)
        if variant.crop is not None:
            _cut(options, "eval", variant.crop)
        open_crops(crop_folder(options.crops, options.data, "eval"))

    def _eval_labels(self, variant: Variant) -> pd.DataFrame:
        if self.truth is None:
            raise UserError(
                f"{variant.name}: networks that answer together have each seen persons that the others hold out; "
                "to measure them on eval pictures name their true classes with --truth"
            )
        return _labels_of(self.truth)

    def _on_eval(self, specialist: Specialist, options: TrainOptions, variant: Variant) -> Answered:
        crops = open_crops(crop_folder(options.crops, options.data, "eval"))
        run, folds = _run(options), folds_of(variant)
        file = run / f"eval-{variant.views}-{len(folds)}.csv"
        weights = [fold_folder(run, fold) / WEIGHTS for fold in folds]
        seconds = ask_once(specialist, weights, crops, cast("ViewsName", variant.views), options, file)
        labels = self._eval_labels(variant)
        answers = read_predictions(file, specialist.classes)
        known = pd.DataFrame({"person": labels["person"], "truth": specialist.truth(labels)})
        return Answered(specialist, known.join(answers, how="inner"), labels, seconds)


def _cut(options: TrainOptions, split: str, cut: Cut) -> None:
    pictures = load_pictures(split_folder(options.data, split), options.skip_bad)
    plain_crops(pictures, crop_folder(options.crops, options.data, split), cut)


def _calls(variant: Variant) -> tuple[int | None, ...]:
    """Folds to train one by one; or all by one call, which leaves one row of the training and not one for each."""
    folds = folds_of(variant)
    return (None,) if len(folds) == variant.options.folds else folds


def _folder(variant: Variant, root: Path) -> Path:
    """Told by what is trained alone: other names for it, folds, and ways to ask the same networks share a folder."""
    code = hashlib.sha256(json.dumps(variant.trained, sort_keys=True).encode()).hexdigest()[:8]
    trained = " ".join(word for word in variant.name.split() if not word.startswith(("views=", "average=")))
    name = re.sub(r"[^0-9a-zA-Z_.=,-]+", "-", trained or "baseline")[:60]
    return next(root.glob(f"*-{code}"), root / f"{name}-{code}")


def _asked(options: TrainOptions) -> dict[Path, int]:
    """The answers that there are besides those of its training, and when they were written."""
    files = (*_run(options).rglob("oof-*.csv"), *_run(options).glob("eval-*.csv"))
    return {file: file.stat().st_mtime_ns for file in files}


def _run(options: TrainOptions) -> Path:
    return cast("Path", options.outputs)


def _on_held_out(specialist: Specialist, options: TrainOptions, variant: Variant) -> Answered:
    table, crops = labelled_crops(options)
    run, parts = _run(options), []
    seconds = extra_seconds(run) if variant.views == options.views else 0.0
    for fold in folds_of(variant):
        folder = fold_folder(run, fold)
        part = read_held_out(folder / OOF, specialist.classes)
        if variant.views == options.views:
            seconds += read_history(folder)["seconds"].sum()
        else:
            file = folder / f"oof-{variant.views}.csv"
            views, held_out = cast("ViewsName", variant.views), crops.keep(part.index)
            seconds += ask_once(specialist, [folder / WEIGHTS], held_out, views, options, file)
            known = part.columns.intersection(["person", "truth", "top_coded"])
            part = part[known].join(read_predictions(file, specialist.classes))
        parts.append(part)
    return Answered(specialist, pd.concat(parts), table.set_index("picture"), seconds)


def _labels_of(truth: Path) -> pd.DataFrame:
    """Mask, gender and age of the eval pictures, and who they show."""
    solution = read_solution(truth)
    missing = [column for column in ("person", "age") if column not in solution]
    if missing:
        raise UserError(f"{truth} has no column {missing[0]}: it is needed to score by person, and years")
    attributes = pd.DataFrame([decode_class(number) for number in solution["truth"]], index=solution.index)
    return attributes[["mask", "gender"]].assign(age=solution["age"], person=solution["person"])
