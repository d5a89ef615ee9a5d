"""Held-out predictions decided as combine.py would decide: what the report measures."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from shared.fusion.ages import age_error
from shared.fusion.decision import FittedDecision, decide_classes, fit_decision
from shared.fusion.metrics import Floats, Ints, person_codes
from shared.fusion.predictions import EVAL, EvalSet, HeldOut, Persons, read_eval_set
from shared.fusion.report import ScoredPredictions, describe, describe_decision, score_predictions
from shared.messages import UserError
from shared.reports.finished_runs import FinishedRuns
from shared.tables import REJECTED


@dataclass(frozen=True)
class Evaluation:
    """N held-out images and how their classes were decided."""

    runs: FinishedRuns
    decision: FittedDecision
    remark: str
    """How the decision came about, as combine.py prints it."""

    @property
    def held_out(self) -> HeldOut:
        """The predictions that were decided on, averaged over persons if combine.py would do that."""
        return self.decision.cross_fitted.held_out

    @cached_property
    def persons(self) -> Ints:
        """The person of each image as a number (N,)."""
        return person_codes(self.held_out.persons)

    @cached_property
    def scores(self) -> list[ScoredPredictions]:
        """The most probable class of each specialist and the decided one of the 18 classes, with the truth."""
        return score_predictions(self.held_out.predictions, self.held_out.truth, self.decision.predicted)

    @cached_property
    def true_ages(self) -> Floats | None:
        """Ages in years (N,), from train.csv or else from the age run; None if neither has them."""
        labels, predicted = self.runs.labels, self.held_out.predictions["age"]
        if labels is not None:
            return labels["age"].to_numpy(np.float64)
        return predicted["true_age"].to_numpy(np.float64) if "true_age" in predicted else None

    @cached_property
    def age_errors(self) -> Floats | None:
        """Predicted less true age in years (N,); None if either is unknown.

        If a label is top-coded ("this or older"), predictions above it have no error.
        """
        predicted = self.held_out.predictions["age"]
        if self.true_ages is None or "age" not in predicted:
            return None
        return age_error(predicted["age"].to_numpy(), self.true_ages, predicted.get("top_coded"))


def evaluate(runs: FinishedRuns, persons: Persons) -> Evaluation:
    """Decide the held-out images as combine.py would; `persons` is its option."""
    eval_set = _read_eval_set(runs)
    if eval_set is None:
        fitted = fit_decision(runs.held_out, runs.held_out.predictions, "auto", "auto", calibrate=True)
        return Evaluation(runs, fitted, describe(fitted))
    decision = decide_classes(eval_set, runs.held_out, persons=persons)
    if decision.fitted is None:
        raise AssertionError("with held-out predictions a decision is fitted")
    return Evaluation(runs, decision.fitted, describe_decision(decision, runs.held_out, persons))


def _read_eval_set(runs: FinishedRuns) -> EvalSet | None:
    """Return the eval set if it is complete: it says whether combine.py would average over persons."""
    if not all((run / EVAL).is_file() for folders in runs.folders.values() for run in folders):
        return None
    with suppress(UserError):
        return read_eval_set(runs.source.data, runs.folders, runs.source.skip_bad, REJECTED)
    return None
