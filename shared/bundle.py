"""One file to ship: the three specialists with everything that answering takes, and a model card.

    python -m shared.bundle --out face18.zip
    python -m shared.bundle --model outputs/demo --out face18.zip --onnx

`shared.predict`, the page and the service load it; so does `shared.predictor.Predictor.load`. Inside: weights as
safetensors, `face18.json` (windows and recipe, decisions, intervals of age), `MODEL_CARD.md`, and with --onnx the same
networks for onnxruntime. Nothing in it is a pickle.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shared.commands import run
from shared.crops import INDEX, UNREADABLE, open_crops
from shared.fusion.decision import Decide, ThresholdChoice
from shared.fusion.fusion import SPECIALISTS
from shared.messages import UserError
from shared.predictor.bundle_file import CARD, MANIFEST, MOST_WEIGHTS, BundleContents, onnx_name, write_bundle
from shared.predictor.from_runs import TrainedRuns, read_trained_runs, runs_below
from shared.predictor.model_card import write_card
from shared.predictor.predictor import check_metadata
from shared.tracking import provenance
from shared.training.run_folder import metadata_of

CHECKED = 24
"""Crops that every exported network is checked on."""


@dataclass(frozen=True)
class Options:
    """Pack three trained specialists into one file: weights, decisions, crop recipe, versions and a model card."""

    out: Path = Path("face18.zip")
    """The bundle: a zip archive where the name ends in .zip, else a folder."""

    model: Path = Path("outputs")
    """A folder that holds mask/, gender/ and age/ with trained runs."""

    mask: tuple[Path, ...] = ()
    """Run folders of the mask specialist, instead of that in --model; several are averaged."""

    gender: tuple[Path, ...] = ()
    """Run folders of the gender specialist, likewise."""

    age: tuple[Path, ...] = ()
    """Run folders of the age specialist, likewise."""

    decide: Decide = "auto"
    """How one of the 18 classes is chosen, as in combine.py: argmax, f1, or auto."""

    thresholds: ThresholdChoice = "auto"
    """Where age bands are cut, as in combine.py: fixed, tuned, or auto."""

    calibrate: bool = True
    """Temper the probabilities of each specialist as held-out persons ask for."""

    onnx: bool = False
    """Add the networks as ONNX, each checked against PyTorch: for --runtime onnx, which needs no torch."""

    crops: Path = Path("crops")
    """Crops that ONNX is checked on; drawn portraits where there are none."""


def main(options: Options) -> None:
    """Everything is read and checked before anything is written."""
    gathered = read_trained_runs(_runs(options), options.model, options.decide, options.thresholds, options.calibrate)
    files = {name: gathered.source.read(name, MOST_WEIGHTS) for name in gathered.source.files}
    for name, content in files.items():
        check_metadata(metadata_of(content, str(gathered.source.files[name])), name.split("/")[0], name)
    remarks = _add_onnx(files, options.crops) if options.onnx else []
    contents = replace(gathered.contents, about=_about(gathered, remarks))
    files = {MANIFEST: contents.as_json().encode(), CARD: b"", **files}
    card = write_card(gathered, {name: len(content) for name, content in files.items() if content}, remarks)
    files[CARD] = card.encode()
    write_bundle(options.out, files)
    _tell(options.out, contents, files)


def _runs(options: Options) -> dict[str, tuple[Path, ...]]:
    named: dict[str, tuple[Path, ...]] = {task: getattr(options, task) for task in SPECIALISTS}
    if all(named.values()):
        return named
    return {task: named[task] or below for task, below in runs_below(options.model, named).items()}


def _about(gathered: TrainedRuns, remarks: list[str]) -> dict[str, object]:
    scores = {
        task: [run.get("scores", {}).get("held out") for run in runs] for task, runs in gathered.described.items()
    }
    return {"provenance": provenance(), "held_out_scores": scores, "remarks": remarks}


def _add_onnx(files: dict[str, bytes], folder: Path) -> list[str]:
    """Add the ONNX files to those of the bundle; what the checks found, for people."""
    from shared.predictor import onnx_export as export
    from shared.predictor.ensemble import Member
    from shared.predictor.torch_networks import logits_of, open_network

    crops, where = _some_crops(folder)
    told = []
    for name in [*files]:
        metadata = metadata_of(files[name], name)
        network = open_network(files[name], metadata, name, "cpu")
        window = check_metadata(metadata, name.split("/")[0], name)
        member = Member(window, metadata.size, logits_of(network, "cpu"), network)
        exported = export.export_member(member, metadata)
        told.append(_difference(onnx_name(name), export.check_member(exported, member, crops, name)))
        files[onnx_name(name)] = exported
    nets = export.export_detector()
    for name, difference in export.check_detector(nets, crops).items():
        told.append(_difference(f"detector/{name}.onnx", difference))
        files[f"detector/{name}.onnx"] = nets[name]
    return [f"ONNX checked against PyTorch on {len(crops)} {where}: {told[0]}", *told[1:]]


def _difference(name: str, difference: float) -> str:
    told = f"{name}: largest difference from PyTorch {difference:.1e}"
    print(told, flush=True)
    return told


def _some_crops(folder: Path) -> tuple[list[np.ndarray], str]:
    """Some crops of the crop stage, or of portraits drawn here, and a word on which."""
    for place in (folder / "train", folder / "eval", folder):
        if (place / INDEX).is_file():
            stored = open_crops(place)
            names = stored.index.index[stored.index["found"] != UNREADABLE]
            chosen = names[np.linspace(0, len(names) - 1, min(CHECKED, len(names))).astype(int)]
            return [stored.read(name) for name in chosen], f"crops of {place}"
    from shared.portraits import draw_person
    from shared.predictor.detect import find

    drawn = [
        portrait.pixels
        for age, female in ((24, True), (45, False), (70, True))
        for portrait in draw_person(age, female, np.random.SeedSequence((0, 0, age)))
    ]
    crops = [face.crop for found in find(drawn, wanted="main") for face in found.faces]
    if not crops:
        raise UserError("--onnx is checked on crops: name some with --crops")
    return crops, "crops of drawn portraits"


def _tell(out: Path, contents: BundleContents, files: dict[str, bytes]) -> None:
    networks = sum(len(run.weights) for runs in contents.runs.values() for run in runs)
    size = sum(map(len, files.values())) / 1e6
    print(f"wrote {out}: {networks} networks, {size:.1f} MB; {CARD} in it tells what it is good for")
    if contents.decisions.intervals.coverage is None:
        print("note: age intervals could not be checked, for the age run's oof.csv does not tell ages in years")


if __name__ == "__main__":
    run(main, Options())
