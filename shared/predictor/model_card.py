"""The model card of a bundle: training data, scores by group, limits and use; its text is templates/model_card.md."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from shared.faces.alignment import RECIPE
from shared.fusion.decision import FittedDecision
from shared.fusion.fusion import SPECIALISTS, true_classes
from shared.fusion.metrics import bootstrap_score, format_interval, person_codes, share_interval
from shared.fusion.predictions import HeldOut
from shared.labels import BANDS, CLASS_COUNT, GENDERS, MASKS
from shared.messages import markdown_table
from shared.predictor.from_runs import TrainedRuns
from shared.tracking import provenance
from shared.weights import FACE_BACKBONES

TEMPLATES = Path(__file__).parents[1] / "templates"
ACCURACY_COLUMNS = ("images", "mask", "gender", "age band", "all three")


def write_card(trained: TrainedRuns, sizes: Mapping[str, int], remarks: Sequence[str]) -> str:
    """Return the card as Markdown; `sizes` are bytes of its files, `remarks` go below the versions."""
    contents, held_out = trained.contents, trained.held_out
    manifest, coverage = contents.to_dict(), contents.decisions.intervals.coverage
    rule = {name: value for name, value in manifest["decisions"].items() if name != "class_weights"}
    template = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML.
    ).get_template("model_card.md")
    return template.render(
        **(_persons(held_out) if held_out else {"images": 0}),
        runs=[*_runs(trained)],
        trained_on=contents.trained_on(),
        sources=sources_table([*contents.about["sources"], *contents.about.get("start", {}).get("sources", ())]),
        **(_scores(held_out, trained.decision) if held_out and trained.decision else {"scores": None}),
        coverage=coverage,
        coverage_by_band=_by_band(coverage.by_band) if coverage else None,
        top_code=contents.decisions.intervals.top_code,
        origin=provenance(),
        recipe=RECIPE,
        decisions=json.dumps(rule),
        class_weights=manifest["decisions"]["class_weights"],
        remarks=remarks,
        files=markdown_table(("file", "bytes"), [(name, f"{size:,}") for name, size in sizes.items()]),
    )


def sources_table(sources: Sequence[Mapping[str, Any]]) -> str:
    """Return licence and credit of the training data as a Markdown table; empty if no source is known."""
    rows = [[each.get(name, "") for name in ("source", "licence", "credit")] for each in sources]
    return markdown_table(("source", "licence", "credit"), rows) if rows else ""


def _persons(held_out: HeldOut) -> dict[str, Any]:
    """Count the images, the persons, and the persons of each gender and age band."""
    people = pd.DataFrame({"person": held_out.persons.to_numpy(), **held_out.truth}).groupby("person").first()
    counts = people.groupby(["gender", "age"]).size()
    cells = [
        f"{name} {BANDS[band]}: {counts.get((gender, band), 0):,}"
        for gender, name in enumerate(GENDERS)
        for band in range(len(BANDS))
    ]
    return {"images": len(held_out.persons), "persons": len(people), "cells": "; ".join(cells)}


def _by_band(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{band}: {shares[band]:.0%}" for band in BANDS if band in shares)


def _runs(trained: TrainedRuns) -> Iterator[str]:
    for task, described in trained.run_files.items():
        for run, files in zip(described, trained.contents.runs[task], strict=True):
            options = run.get("options", {})
            frozen = options.get("freeze") == "body"
            passes = "the head alone" if frozen else f"{options.get('epochs', '?')} epochs"
            yield (
                f"{task}: {options.get('backbone', 'unknown backbone')}, {options.get('size', '?')} pixels, "
                f"{passes}, {len(files.weights)} of {options.get('folds', '?')} folds, "
                f"data fingerprint {run.get('data', 'unknown')}"
            )
            if options.get("start"):
                yield f"{task} started from the weights of {options['start']}"
            backbone = FACE_BACKBONES.get(options.get("backbone"))
            if backbone is not None and options.get("pretrained"):
                yield f"{task} has a network that was first trained on faces: {backbone}"


def _scores(held_out: HeldOut, decision: FittedDecision) -> dict[str, Any]:
    """Macro F1 and accuracy with intervals, and accuracy by mask state and by gender and age band."""
    predicted, persons = decision.predicted, person_codes(held_out.persons)
    truth = {**held_out.truth, "all 18 classes": true_classes(held_out.truth)}
    given = {"mask": predicted // 6, "gender": predicted % 6 // 3, "age": predicted % 3, "all 18 classes": predicted}
    counts = [*map(len, SPECIALISTS.values()), CLASS_COUNT]
    right = {name: truth[name] == given[name] for name in truth}
    rows = [
        (
            name,
            format_interval(bootstrap_score(truth[name], given[name], persons, count)),
            format_interval(share_interval(right[name], persons)),
        )
        for name, count in zip(truth, counts, strict=True)
    ]

    def accuracies(name: str, inside: NDArray[np.bool_]) -> tuple[str, ...]:
        shares = [format_interval(share_interval(right[task][inside], persons[inside])) for task in truth]
        return (name, f"{inside.sum():,}", *shares)

    masks = {name: truth["mask"] == number for number, name in enumerate(MASKS)}
    groups = {
        f"{name} {BANDS[band]}": (truth["gender"] == gender) & (truth["age"] == band)
        for gender, name in enumerate(GENDERS)
        for band in range(len(BANDS))
    }
    by_mask = [accuracies(name, inside) for name, inside in masks.items() if inside.any()]
    by_group = [
        accuracies(f"{name} ({len(np.unique(persons[inside])):,})", inside)
        for name, inside in groups.items()
        if inside.any()
    ]
    return {
        "rule": decision.rule,
        "scores": markdown_table(("", "macro F1", "accuracy"), rows),
        "by_mask": markdown_table(("mask state", *ACCURACY_COLUMNS), by_mask),
        "by_group": markdown_table(("persons", *ACCURACY_COLUMNS), by_group),
    }
