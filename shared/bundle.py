"""Pack three trained specialists into one file: weights, fitted decisions, and a model card.

    python -m shared.bundle --out face18.zip
    python -m shared.bundle --model outputs/demo --out face18.zip --onnx
    python -m shared.bundle --out quick.zip --student     one small network instead, trained to predict alike

`shared.predict`, the page and the service load it; so does `shared.predictor.Predictor.load`. Nothing in it is a
pickle: `shared/predictor/bundle_file.py` describes the format.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shared.bundle_source import MANIFEST, MAX_WEIGHTS
from shared.commands import run
from shared.crops import INDEX, UNREADABLE, open_crops
from shared.files import refuse_overwriting
from shared.fusion.decision import Decide, FittedDecision, ThresholdChoice, fit_decision
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import HeldOut
from shared.messages import UserError, counted, text_table
from shared.predictor.bundle_file import CARD, DETECTOR_FILES, check_target, onnx_name, write_bundle
from shared.predictor.ensemble import check_metadata, torch_network
from shared.predictor.from_runs import Runs, TrainedRuns, read_trained_runs, runs_below
from shared.predictor.model_card import write_card
from shared.tracking import provenance
from shared.training.run_folder import WEIGHTS_SUFFIX, body_file, metadata_of, split_body

CHECKED_CROPS = 24

STUDENT = "student"
"""Folder below --model in which a student is trained."""


@dataclass(frozen=True)
class Options:
    """Pack three trained specialists into one file: weights, fitted decisions, and a model card."""

    out: Path = Path("face18.zip")
    """The bundle: a zip archive if the name ends in .zip, else a folder."""

    model: Path = Path("outputs")
    """Folder with trained runs as mask/, gender/ and age/."""

    mask: tuple[Path, ...] = ()
    """Run folders of the mask specialist, instead of the one in --model; several are averaged."""

    gender: tuple[Path, ...] = ()
    """Run folders of the gender specialist, likewise."""

    age: tuple[Path, ...] = ()
    """Run folders of the age specialist, likewise."""

    decide: Decide = "auto"
    """How one of the 18 classes is chosen, as in combine.py: argmax, f1, or auto."""

    thresholds: ThresholdChoice = "auto"
    """Where age bands are cut, as in combine.py: fixed, tuned, or auto."""

    calibrate: bool = True
    """Calibrate the probabilities of each specialist on its held-out predictions."""

    onnx: bool = False
    """Add the networks as ONNX for --runtime onnx, which needs no torch; each is checked against PyTorch."""

    crops: Path = Path("crops")
    """Crops on which ONNX is checked; drawn portraits if there are none. --student needs those of the runs."""

    student: bool = False
    """Train one small network to predict like all of them in a single pass, and pack that instead. It is kept in the
    folder student/ of --model."""

    size: int = 112
    """Side of the student's input in pixels."""

    epochs: int = 4
    """Passes of the student over the training images."""


def main(options: Options) -> None:
    """Read and check everything, then write."""
    runs = _runs(options)
    inputs = [run for several in runs.values() for run in several]
    refuse_overwriting({"--out": options.out}, [*inputs, *([options.model / STUDENT] if options.student else [])])
    check_target(options.out)
    trained = read_trained_runs(runs, options.model, options.decide, options.thresholds, options.calibrate)
    remarks: list[str] = []
    if options.student:
        trained, files, remarks = _student(options, runs, trained)
    else:
        files = _weights(trained)
    if options.onnx:
        remarks += _add_onnx(files, options.crops)
    _share_bodies(files)
    contents = replace(trained.contents, about=_about(trained, remarks))
    files = {MANIFEST: (json.dumps(contents.to_dict(), indent=2) + "\n").encode(), CARD: b"", **files}
    sizes = {name: len(content) for name, content in files.items() if name != CARD}
    files[CARD] = write_card(trained, sizes, remarks).encode()
    write_bundle(options.out, files)
    networks = len({name for runs in contents.runs.values() for run in runs for name in run.weights})
    size = sum(map(len, files.values())) / 1e6
    print(f"wrote {options.out}: {counted(networks, 'network')}, {size:.1f} MB; its {CARD} has scores and limits")
    if contents.decisions.intervals.coverage is None:
        print("note: age intervals could not be checked, because the age run's oof.csv has no ages in years")


def _runs(options: Options) -> Runs:
    named: Runs = {task: getattr(options, task) for task in SPECIALISTS}
    if all(named.values()):
        return named
    return {task: named[task] or below for task, below in runs_below(options.model, named).items()}


def _weights(trained: TrainedRuns) -> dict[str, bytes]:
    """Read and check the weights files of runs."""
    assert trained.source.files is not None, "the files of trained runs have names"
    files = {name: trained.source.read(name, MAX_WEIGHTS) for name in trained.source.files}
    for name, content in files.items():
        label = str(trained.source.files[name])
        check_metadata(metadata_of(content, label), _task(name), label)
    return files


def _student(options: Options, runs: Runs, trained: TrainedRuns) -> tuple[TrainedRuns, dict[str, bytes], list[str]]:
    """Train a student of the runs, print its scores beside theirs, and return what a bundle of it holds."""
    from shared.student import NAME, distil
    from shared.training.options import TrainOptions

    def fit(held_out: HeldOut) -> FittedDecision:
        return fit_decision(held_out, held_out.predictions, options.decide, options.thresholds, options.calibrate)

    how = TrainOptions.of(size=options.size, epochs=options.epochs)
    student = distil(trained, runs, options.crops, options.model / STUDENT, how, fit)
    persons = f"on {counted(student.persons, 'person')} held out from all of them"
    print(text_table(("", "student", "teachers", "difference"), student.scores), persons, sep="\n", flush=True)
    remarks = [
        f"{name}, {persons}: student {own}, teachers {theirs}, difference {gain}"
        for name, own, theirs, gain in student.scores
    ]
    return student.trained, {NAME: student.weights}, remarks


def _task(name: str) -> str:
    return name.split("/")[0]


def _about(trained: TrainedRuns, remarks: list[str]) -> dict[str, object]:
    scores = {task: [run.get("scores", {}).get("held out") for run in runs] for task, runs in trained.run_files.items()}
    return {**trained.contents.about, "provenance": provenance(), "held_out_scores": scores, "remarks": remarks}


def _add_onnx(files: dict[str, bytes], folder: Path) -> list[str]:
    """Add ONNX files of all networks and of the detector; return what the checks found, for people."""
    from shared.predictor.onnx_export import export_detector, export_network

    crops, origin = _some_crops(folder)
    exports = {}
    for name, content in files.items():
        metadata = metadata_of(content, name)
        exported = body_file(metadata.frozen, ".onnx") if metadata.frozen else onnx_name(name)
        if exported not in exports:
            task = next(iter(metadata.heads or [_task(name)]))
            network = torch_network(content, task, name, "cpu")
            exports[exported] = export_network(network, metadata, crops, exported)
    exports |= dict(zip(DETECTOR_FILES, export_detector(crops), strict=True))
    files |= {name: export.content for name, export in exports.items()}
    remarks = [f"{name}: largest difference from PyTorch {export.difference:.1e}" for name, export in exports.items()]
    print("\n".join(remarks), flush=True)
    return [f"ONNX checked against PyTorch on {len(crops)} {origin}", *remarks]


def _share_bodies(files: dict[str, bytes]) -> None:
    """Keep a frozen body once, and nothing but the head in the files of the networks that share it."""
    for name in [name for name in files if name.endswith(WEIGHTS_SUFFIX)]:
        metadata = metadata_of(files[name], name)
        if metadata.frozen:
            files[name], files[body_file(metadata.frozen, WEIGHTS_SUFFIX)] = split_body(files[name])


def _some_crops(folder: Path) -> tuple[list[np.ndarray], str]:
    """Return crops of the crop stage, or of portraits drawn here, and where they come from."""
    for place in (folder / "train", folder / "eval", folder):
        if (place / INDEX).is_file():
            stored = open_crops(place)
            names = stored.index.index[stored.index["found"] != UNREADABLE]
            chosen = names[np.linspace(0, len(names) - 1, min(CHECKED_CROPS, len(names))).astype(int)]
            return [stored.read(name) for name in chosen], f"crops of {place}"
    from shared.faces.mtcnn_nets import load_detector
    from shared.portraits import draw_person
    from shared.predictor.detect import detect_faces

    drawn = [
        portrait.pixels
        for age, female in ((24, True), (45, False), (70, True))
        for portrait in draw_person(age, female, np.random.SeedSequence((0, 0, age)))
    ]
    crops = [face.crop for photograph in detect_faces(drawn, load_detector("cpu"), "main") for face in photograph.faces]
    if not crops:
        raise UserError("--onnx is checked on crops, and none were found: name some with --crops")
    return crops, "crops of drawn portraits"


if __name__ == "__main__":
    run(main, Options())
