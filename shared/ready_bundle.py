"""The bundle of the ready-made model: weights, decisions, scores and card.

    python -m shared.ready_bundle --model shared/models/ready.zip --scores scores.json

writes scores that were measured on it into the bundle and its card; the weights stay as they are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from shared.bundle_source import MANIFEST, MAX_WEIGHTS
from shared.commands import run
from shared.fusion.age_intervals import AgeIntervals, Coverage
from shared.fusion.ages import Thresholds
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.rules import FittedRule
from shared.labels import BAND_EDGES
from shared.messages import UserError, markdown_table
from shared.predictor.bundle_file import (
    CARD,
    DETECTOR_FILES,
    BundleContents,
    RunFiles,
    onnx_name,
    open_bundle,
    write_bundle,
)
from shared.predictor.results import Decisions
from shared.tracking import provenance
from shared.training.run_folder import CheckpointMetadata

if TYPE_CHECKING:
    from torch import Tensor

NAME = "ready/network.safetensors"

Scores = Mapping[str, float]
"""Measure -> value."""


@dataclass(frozen=True)
class Options:
    """Write scores into the bundle of the ready-made model, and into its card."""

    model: Path
    """The bundle, as shared.ready_model writes it."""
    scores: Path
    """JSON of its scores, as benchmarks/ready_model.py writes it."""
    held_out: tuple[Path, ...] = ()
    """JSON of scores of trials on persons whom they did not see, as shared.ready_model --fold writes it."""
    others: tuple[Path, ...] = ()
    """JSON of scores of models from other starts, for columns beside its own that are named like the files."""


def publish(
    out: Path,
    state: "dict[str, Tensor]",
    metadata: CheckpointMetadata,
    decisions: Decisions,
    facts: dict[str, Any],
    crops: Sequence[NDArray[np.uint8]],
) -> None:
    """Write the bundle: float16 weights, the same as ONNX (checked on `crops`), decisions and a model card."""
    from shared.predictor.ensemble import torch_network
    from shared.predictor.onnx_export import export_detector, export_network, with_float16_weights
    from shared.training.model import safetensors_content

    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    weights = safetensors_content(halved, metadata)
    exported = export_network(torch_network(weights, "mask", NAME, "cpu"), metadata, crops, NAME)
    contents = BundleContents(
        {task: (RunFiles("none", (NAME,)),) for task in SPECIALISTS}, decisions, {"provenance": provenance(), **facts}
    )
    detector = [export.content for export in export_detector(crops)]
    files = {
        NAME: weights,
        onnx_name(NAME): with_float16_weights(exported.content),
        **dict(zip(DETECTOR_FILES, detector, strict=True)),
    }
    write_bundle(out, _described(contents, facts) | files)
    print(f"wrote {out}: {sum(map(len, files.values())) / 1e6:.1f} MB")


def _described(contents: BundleContents, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Return manifest and card."""
    return {
        MANIFEST: (json.dumps(contents.to_dict(), indent=2) + "\n").encode(),
        CARD: write_card(facts, contents.decisions.intervals.coverage).encode(),
    }


def heads_of(sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """Return first and end of the outputs of each specialist from their numbers.

    >>> heads_of({"mask": 3, "gender": 2})
    {'mask': [0, 3], 'gender': [3, 5]}
    """
    ends = np.cumsum([0, *sizes.values()]).tolist()
    return {task: [first, end] for task, (first, end) in zip(sizes, pairwise(ends), strict=True)}


def fixed_decisions(temperatures: Mapping[str, float], interval_shift: float, calibrated: bool) -> Decisions:
    """Return decisions with bands at 30 and 60 and the most probable class."""
    rule = FittedRule(dict(temperatures), Thresholds(*map(float, BAND_EDGES)), None, calibrated)
    return Decisions(rule, AgeIntervals(interval_shift, interval_shift))


# The card

LIMITS = """## Limits

- Gender and age are what annotators guessed from photographs. They say nothing about how persons see themselves.
- Gender of children under ten is often wrong, on small and blurred faces more often than on large ones.
- Ages above 75 are usually predicted too low. Under a mask the age error is larger than without.
- A mask worn wrongly was learned from drawn masks only.
- Not measured, because no photographs with such labels were at hand: beards, and hands or scarves before the face.
- Not for deciding about people: access, hiring, policing, age checks, health orders, advertising to a person."""


def write_card(facts: Mapping[str, Any], coverage: Coverage | None) -> str:
    """Return the model card in Markdown."""
    start = facts["start"]
    sources = [
        (each["source"], f"{each['photographs']:,}", f"{each['persons']:,}", each["licence"], each["credit"])
        for each in facts["sources"]
    ]
    parts = [
        "# face18 ready-made model",
        "Mask state, gender and age of faces in photographs, for use without training. One network; "
        f"input {facts['options']['size']} pixels.",
        "## What it was trained on",
        f"It starts from {start['origin']} (licence: {start['licence']}), which was trained on {start['data']}. "
        "It was then trained on these photographs, with masks drawn on the bare faces:",
        markdown_table(("source", "photographs", "persons", "licence", "credit"), sources),
        "The photographs are not part of face18.",
        "## Scores",
        *_score_tables(facts),
        "## Age intervals",
        _coverage(coverage),
        LIMITS,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _score_tables(facts: Mapping[str, Any]) -> list[str]:
    own, others, held_out = (facts.get(key) or {} for key in ("evaluation", "others", "held_out"))
    if not own:
        return ["None were measured when this was built."]
    columns = {"this model": own, **{f"start {name}": scores for name, scores in others.items()}}
    cells = [(name, *(_cell(scores.get(name)) for scores in columns.values())) for name in own]
    tables = ["On photographs that it was not trained on; `benchmarks/ready_model.py` prints them:"]
    tables.append(markdown_table(("measure", *columns), cells))
    if held_out:
        tables.append(
            "Of trials with the same options that did not see a third of the persons of FairFace and scored them "
            "(`python -m shared.ready_model --fold 0`):"
        )
        names = list(dict.fromkeys(name for scores in held_out.values() for name in scores))
        rows = [(name, *(_cell(scores.get(name)) for scores in held_out.values())) for name in names]
        tables.append(markdown_table(("measure", *held_out), rows))
    return tables


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _coverage(coverage: Coverage | None) -> str:
    if coverage is None:
        return "How often the 80 % intervals hold was not measured."
    bands = ", ".join(f"{band}: {share:.0%}" for band, share in coverage.by_band.items())
    return (
        f"On {coverage.persons:,} photographs that it was not fitted on, the 80 % interval held the age of "
        f"{coverage.share:.1%} [{coverage.low:.1%}, {coverage.high:.1%}] ({bands}); its mean width is "
        f"{coverage.width:.1f} years."
    )


# The command


def main(options: Options) -> None:
    """Write scores and coverage into the manifest, and the card anew."""
    source, contents = open_bundle(options.model)
    if "sources" not in contents.about:
        raise UserError(f"--model {options.model} is not a bundle of shared.ready_model")
    measured = _read(options.scores)
    facts = {
        **contents.about,
        "evaluation": measured["scores"],
        "held_out": {file.stem: _read(file)["scores"] for file in options.held_out},
        "others": {file.stem: _read(file)["scores"] for file in options.others},
    }
    intervals = contents.decisions.intervals
    if measured.get("coverage"):
        intervals = replace(intervals, coverage=Coverage(**measured["coverage"]))
    contents = replace(contents, decisions=replace(contents.decisions, intervals=intervals), about=facts)
    names = (NAME, onnx_name(NAME), *DETECTOR_FILES)
    write_bundle(options.model, _described(contents, facts) | {name: source.read(name, MAX_WEIGHTS) for name in names})
    print(f"wrote the scores of {options.scores} into {options.model}")


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {**content, "scores": {str(name): float(value) for name, value in content["scores"].items()}}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file} holds no scores ({error}): benchmarks/ready_model.py --out writes them") from error


if __name__ == "__main__":
    run(main, Options(tyro.MISSING, tyro.MISSING))
