"""What a bundle holds, as its manifest `face18.json` says it: which files answer, and what was learnt for deciding."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

import numpy as np

from shared.answers.fusion import SPECIALISTS
from shared.decisions.chain import Decider
from shared.decisions.class_weights import ClassRule
from shared.decisions.thresholds import Thresholds
from shared.errors import UserError
from shared.faces.recipe import RECIPE
from shared.labels import CLASS_COUNT
from shared.predictor.answering import Decisions
from shared.predictor.intervals import AgeIntervals, Coverage
from shared.predictor.reading import Source, check_name
from shared.training.choices import ViewsName

FORMAT = 1
"""Of the manifest; raised when older versions of face18 would read it wrong."""

MANIFEST = "face18.json"
CARD = "MODEL_CARD.md"
DETECTOR_FILES = ("detector/pnet.onnx", "detector/rnet.onnx", "detector/onet.onnx")
"""In bundles made with --onnx."""

MOST_MANIFEST = 4 << 20
MOST_WEIGHTS = 2 << 30
"""Bytes that the manifest, and one network, may have."""

MOST_NETWORKS = 200


@dataclass(frozen=True)
class RunFiles:
    """The folds of a training."""

    views: ViewsName
    weights: tuple[str, ...]
    """A safetensors file for each fold; the ONNX file beside it has the same name but for the suffix."""


@dataclass(frozen=True)
class Contents:
    """Everything but the tensors."""

    runs: Mapping[str, tuple[RunFiles, ...]]
    """By specialist."""
    decisions: Decisions
    about: Mapping[str, Any] = field(default_factory=dict)
    """For people: how, when and with which versions it was made."""

    def as_json(self) -> str:
        """The manifest."""
        decider = self.decisions.decider
        rule = decider.rule and {name: values.tolist() for name, values in decider.rule._asdict().items()}
        content = {
            "format": FORMAT,
            "recipe": {"id": RECIPE.id, **json.loads(RECIPE.as_json())},
            "specialists": {task: [asdict(run) for run in runs] for task, runs in self.runs.items()},
            "decisions": {
                "temperatures": dict(decider.temperatures),
                "thresholds": list(decider.thresholds),
                "class_weights": rule,
                "from_years": self.decisions.years,
            },
            "age_interval": asdict(self.decisions.intervals),
            "about": dict(self.about),
        }
        return json.dumps(content, indent=2) + "\n"


def onnx_name(weights: str) -> str:
    """The ONNX file beside a safetensors file."""
    return weights.removesuffix(".safetensors") + ".onnx"


def read_contents(source: Source) -> Contents:
    """The manifest of a bundle. Raises `UserError` where it is missing, broken or of another version."""
    try:
        found = json.loads(source.read(MANIFEST, MOST_MANIFEST).decode())
        if found["format"] != FORMAT:
            raise UserError(
                f"{source.path} is a bundle of format {found['format']}, this version of face18 reads {FORMAT}: "
                "get a bundle or a face18 of the other's version"
            )
        made_for = found["recipe"]["id"]
        contents = Contents(
            runs={task: _runs(source, found["specialists"][task]) for task in SPECIALISTS},
            decisions=_decisions(found["decisions"], found["age_interval"]),
            about=dict(found["about"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise UserError(f"{source.path} is no whole bundle: {MANIFEST} is broken ({reason}). Get it again") from error
    if made_for != RECIPE.id:
        raise UserError(
            f"{source.path} wants crops of recipe {made_for}, this version of face18 makes {RECIPE.id}: "
            "use the version that made the bundle, or train again and make a new one"
        )
    return contents


def _runs(source: Source, runs: list[dict[str, Any]]) -> tuple[RunFiles, ...]:
    found = tuple(
        RunFiles(_one_of(get_args(ViewsName), run["views"]), tuple(check_name(source.path, n) for n in run["weights"]))
        for run in runs
    )
    if not 0 < sum(len(run.weights) for run in found) <= MOST_NETWORKS or not all(run.weights for run in found):
        raise ValueError(f"not 1 to {MOST_NETWORKS} networks for a specialist")
    return found


def _decisions(decisions: dict[str, Any], interval: dict[str, Any]) -> Decisions:
    rule = decisions["class_weights"]
    low, high = _numbers(decisions["thresholds"], 2)
    if not 0 < low < high <= 100:
        raise ValueError(f"thresholds {low}, {high}")
    temperatures = {task: _number(decisions["temperatures"][task]) for task in SPECIALISTS}
    if min(temperatures.values()) <= 0:
        raise ValueError(f"temperatures {temperatures}")
    decider = Decider(
        temperatures=temperatures,
        thresholds=Thresholds(low, high),
        rule=rule and ClassRule(*(np.array(_numbers(rule[name], CLASS_COUNT)) for name in ClassRule._fields)),
    )
    coverage, top_code = interval["coverage"], interval["top_code"]
    intervals = AgeIntervals(
        _number(interval["below"]),
        _number(interval["above"]),
        None if top_code is None else int(top_code),
        coverage and Coverage(**coverage),
    )
    return Decisions(decider, intervals, bool(decisions["from_years"]))


def _one_of(allowed: tuple[Any, ...], value: Any) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError(f"{value!r} is no number")
    return number


def _numbers(values: list[Any], count: int) -> list[float]:
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers instead of {count}")
    return [_number(value) for value in values]
