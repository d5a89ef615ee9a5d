"""The model card of a bundle: what it is, what it learnt from, how good it is for whom, and what it is not for."""

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.faces.alignment import RECIPE
from shared.fusion.decision import FittedDecision
from shared.fusion.fusion import SPECIALISTS, true_classes
from shared.fusion.intervals import bootstrap_score, format_interval, person_codes, share_interval
from shared.fusion.metrics import Ints
from shared.fusion.predictions import HeldOut
from shared.labels import BANDS, CLASS_COUNT, GENDERS, MASKS
from shared.messages import markdown_table
from shared.predictor.decide import AgeIntervals
from shared.predictor.from_runs import TrainedRuns
from shared.tracking import provenance

USES = """\
## Intended use

Counting and sorting photographs where a mistake about one person does no harm: dataset statistics, test data, teaching,
the competition that the classes come from. Every answer is a guess about how somebody looks, made from pixels.

## Not for

Deciding about people: access, hiring, policing, age checks, health orders, advertising to a person. Gender is what
annotators read off an image, in two classes; it says nothing of how anybody sees themselves. Age is an estimate of
years that other people guessed. Not for surveillance, and not for photographs of people who would object.
"""

LIMITS = """\
## Limits

- It is as good as the tables above say on persons like those it was scored on, and worse on others: other cameras,
  other light, other parts of the world, children, the very old, faces turned away, faces of few pixels.
- Groups with few persons above have wide intervals: what is not known there is written there.
- Mask states were learnt from the masks in the training images; shields, scarves and hands were not taught.
- Faces smaller than about 24 pixels across are not looked for; those below 60 lack the detail that age needs.
- Probabilities are calibrated on the persons held out in training, not on yours.
"""


def write_card(gathered: TrainedRuns, files: Mapping[str, int], remarks: Sequence[str]) -> str:
    """The card as Markdown; `files` are the sizes in bytes of what the bundle holds, `remarks` join the versions."""
    held_out, settled = gathered.held_out, gathered.settled
    parts = [
        "# face18: mask, gender and age of faces\n",
        "Three specialists, fused into 18 classes. `python -m shared.predict PHOTO --model THIS` answers with it; "
        "in Python, `Predictor.load(THIS)(images)`.\n",
        _data(gathered),
        _scores(held_out, settled) if held_out and settled else _unscored(),
        _age(gathered.contents.decisions.intervals),
        LIMITS,
        USES,
        _made(gathered, files, remarks),
    ]
    return "\n".join(parts)


def _data(gathered: TrainedRuns) -> str:
    lines = ["## What it learnt from\n"]
    if gathered.held_out:
        held_out = gathered.held_out
        people = pd.DataFrame({"person": held_out.persons.to_numpy(), **held_out.truth}).groupby("person").first()
        cells = [
            f"{GENDERS[gender]} {BANDS[band]}: {int(((people['gender'] == gender) & (people['age'] == band)).sum()):,}"
            for gender in range(len(GENDERS))
            for band in range(len(BANDS))
        ]
        lines.append(
            f"Scored on {len(held_out.persons):,} images of {len(people):,} persons, each answered for by "
            f"networks that had not seen the person. Persons by gender and age band: {'; '.join(cells)}. "
            "Gender and age are what annotators or the data's authors wrote down, not what was measured.\n"
        )
    for task, runs in gathered.described.items():
        for described, files in zip(runs, gathered.contents.runs[task], strict=True):
            known = described.get("options", {})
            lines.append(
                f"- {task}: {known.get('backbone', 'unknown backbone')}, {known.get('size', '?')} pixels, "
                f"{known.get('epochs', '?')} epochs, {len(files.weights)} of {known.get('folds', '?')} folds, "
                f"data fingerprint {described.get('data', 'unknown')}"
            )
    return "\n".join(lines) + "\n"


def _unscored() -> str:
    return (
        "## Scores\n\nNone: the held-out answers (oof.csv) were missing when this was bundled. How good it is is not "
        "known, its probabilities are not calibrated, and its intervals of age are not checked.\n"
    )


def _scores(held_out: HeldOut, settled: FittedDecision) -> str:
    answers, truth = settled.predicted, held_out.truth
    persons = person_codes(held_out.persons)
    said = {"mask": answers // 6, "gender": answers % 6 // 3, "age": answers % 3}
    counts = {**{task: len(classes) for task, classes in SPECIALISTS.items()}, "all 18 classes": CLASS_COUNT}
    right = {**truth, "all 18 classes": true_classes(truth)}
    given = {**said, "all 18 classes": answers}
    rows = [
        (
            name,
            format_interval(bootstrap_score(right[name], given[name], persons, counts[name])),
            format_interval(share_interval(right[name] == given[name], persons)),
        )
        for name in right
    ]
    return "\n".join(
        [
            "## Scores\n",
            "On persons that neither the networks nor the decisions had learnt on, with 95 % intervals over persons. "
            "Those of macro F1 are of bootstrap draws, and know of no mistakes but those that were seen: 1.000 [1.000, "
            "1.000] is no promise. Those of accuracy are Wilson's, with a person as one trial, and stay wide where "
            f"persons are few. Decided by {settled.rule}.\n",
            markdown_table(("", "macro F1", "accuracy"), rows),
            "\nShare of right answers by mask state:\n",
            markdown_table(
                ("mask state", "images", "mask", "gender", "age band", "all three"), _by_mask(truth, said, persons)
            ),
            "\nShare of right answers by gender and age band:\n",
            markdown_table(
                ("persons", "images", "mask", "gender", "age band", "all three"), [*_by_cell(truth, said, persons)]
            ),
            "",
        ]
    )


def _by_mask(truth: Mapping[str, Ints], said: Mapping[str, Ints], persons: Ints) -> Iterator[tuple[str, ...]]:
    for number, name in enumerate(MASKS):
        inside = truth["mask"] == number
        if inside.any():
            yield (name, f"{inside.sum():,}", *_shares(truth, said, persons, inside))


def _by_cell(truth: Mapping[str, Ints], said: Mapping[str, Ints], persons: Ints) -> Iterator[tuple[str, ...]]:
    for gender, gender_name in enumerate(GENDERS):
        for band, band_name in enumerate(BANDS):
            inside = (truth["gender"] == gender) & (truth["age"] == band)
            if inside.any():
                people = len(np.unique(persons[inside]))
                yield (
                    f"{gender_name} {band_name} ({people:,})",
                    f"{inside.sum():,}",
                    *_shares(truth, said, persons, inside),
                )


def _shares(
    truth: Mapping[str, Ints], said: Mapping[str, Ints], persons: Ints, inside: NDArray[np.bool_]
) -> Iterator[str]:
    right = {task: (truth[task] == said[task])[inside] for task in SPECIALISTS}
    for hits in (*right.values(), np.logical_and.reduce([*right.values()])):
        yield format_interval(share_interval(hits, persons[inside]))


def _age(intervals: AgeIntervals) -> str:
    coverage, top_code = intervals.coverage, intervals.top_code
    lines = ["## Age in years\n"]
    if coverage is None:
        lines.append(
            "The 80 % intervals are the model's own; how often they hold was not measured (no ages in oof.csv)."
        )
    else:
        bands = ", ".join(f"{band}: {coverage.by_band[band]:.0%}" for band in BANDS if band in coverage.by_band)
        held = f"{coverage.share:.1%} [{coverage.low:.1%}, {coverage.high:.1%}] of {coverage.persons:,} persons"
        lines.append(
            f"The 80 % interval held the age of {held} it was not learnt on ({bands}); its mean width is "
            f"{coverage.width:.1f} years. It is meant for persons as they come: ages that are rare among them are held "
            f"less often. The age that is said is off by {coverage.error:.1f} years in the mean."
        )
    if top_code is not None:
        share = f" ({coverage.top_coded:.0%} of the persons)" if coverage else ""
        lines.append(
            f'Labels of {top_code} stand for "{top_code} or older"{share}: ages beyond it are not told apart. Their '
            f"label counts as held where the interval reaches {top_code}, and such intervals are shown as open above."
        )
    return "\n".join(lines) + "\n"


def _made(gathered: TrainedRuns, files: Mapping[str, int], remarks: Sequence[str]) -> str:
    origin = provenance()
    versions = ", ".join(f"{name} {number}" for name, number in origin["versions"].items())
    sizes = [(name, f"{size:,}") for name, size in files.items()]
    decisions = json.loads(gathered.contents.as_json())["decisions"]
    known = {name: value for name, value in decisions.items() if name != "class_weights"}
    weights = "learnt for macro F1" if decisions["class_weights"] else "none: the most probable class is answered"
    lines = [
        "## How it was made\n",
        f"- {origin['time']}, commit {origin['commit'] or 'unknown'}{' (changed)' if origin['dirty'] else ''}, "
        f"python {origin['python']}, {versions}",
        f"- Crops: MTCNN, aligned by the eyes, {RECIPE.size} pixels, recipe {RECIPE.id} (version {RECIPE.version})",
        f"- Decisions, learnt on held-out persons: {json.dumps(known)}; class weights: {weights}",
        *(f"- {remark}" for remark in remarks),
        "\n" + markdown_table(("file", "bytes"), sizes),
        "",
    ]
    return "\n".join(lines)
