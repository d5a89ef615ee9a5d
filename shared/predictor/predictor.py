"""Photographs to answers, with the networks of a bundle or of trained runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared.crops import Window
from shared.faces.alignment import RECIPE
from shared.faces.mtcnn import Detector
from shared.faces.workers import choose_device
from shared.fusion.fusion import SPECIALISTS
from shared.messages import UserError
from shared.predictor.bundle_file import (
    CARD,
    DETECTOR_FILES,
    MANIFEST,
    MOST_MANIFEST,
    MOST_WEIGHTS,
    Archive,
    BundleContents,
    BundleSource,
    Folder,
    onnx_name,
    read_contents,
)
from shared.predictor.detect import FoundPhotograph, ImageSource, Wanted, find
from shared.predictor.ensemble import FoldEnsemble, Member, SpecialistEnsemble
from shared.predictor.from_runs import read_trained_runs, runs_below
from shared.predictor.results import Face, Photograph
from shared.training.run_folder import CheckpointMetadata, metadata_of

Runtime = Literal["torch", "onnx"]

CHUNK = 16
"""Photographs that are held in memory at once."""


@dataclass(frozen=True)
class Predictor:
    """Answers for every face of any photograph.

        predictor = Predictor.load("face18.zip")
        for photograph in predictor(["group.jpg", "portrait.png"]):
            for face in photograph.faces:
                print(photograph.source, face.mask.name, face.gender.name, face.age)

    May be called from several threads.
    """

    specialists: Mapping[str, SpecialistEnsemble]
    """By name: mask, gender, age. Where torch runs them, `specialists["age"].members[0].network` is the first network;
    `.window.cut(crop, size)` gives what it sees of a crop."""
    contents: BundleContents
    """What was learnt for deciding, and where the bundle comes from."""
    card: str
    """The model card, Markdown; empty for trained runs that were not bundled."""
    runtime: Runtime
    device: str
    """cpu or cuda."""
    detector: Detector
    """The nets that find faces."""
    batch_size: int = field(default=64)

    @classmethod
    def load(
        cls, path: str | Path, runtime: Runtime = "torch", device: str = "auto", batch_size: int = 64
    ) -> "Predictor":
        """Load a bundle (a zip file or a folder), or a folder that holds trained runs as mask/, gender/ and age/.

        Nothing is unpickled or written. Runs that are not bundled take seconds longer: how to decide is then learnt
        from their oof.csv. Raises `UserError` where there is nothing of that sort, it is broken, it wants crops of
        another recipe, or the device or the runtime is not to be had.
        """
        source, contents = open_model(Path(path))
        place = choose_device(device) if runtime == "torch" else "cpu"
        specialists = {task: _trained(task, source, contents, runtime, place) for task in SPECIALISTS}
        card = source.read(CARD, MOST_MANIFEST).decode(errors="replace") if source.holds(CARD) else ""
        return cls(specialists, contents, card, runtime, place, _detector(source, runtime, place), batch_size)

    def __call__(self, images: ImageSource | Iterable[ImageSource], wanted: Wanted = "all") -> list[Photograph]:
        """Answers for photographs: paths, bytes of files, or upright pixels (uint8, RGB, (height, width, 3)).

        One for each, in their order. What cannot be read is told in `problem`; no file makes this raise.
        """
        return list(self.stream(images, wanted))

    def stream(self, images: ImageSource | Iterable[ImageSource], wanted: Wanted = "all") -> Iterator[Photograph]:
        """The same one after another, with but a few photographs in memory."""
        one = isinstance(images, str | Path | bytes | np.ndarray)
        several: Iterator[ImageSource] = iter([images] if one else images)  # type: ignore[arg-type, list-item]
        while chunk := list(islice(several, CHUNK)):
            yield from self.answer(self.find(chunk, wanted))

    def find(self, images: Sequence[ImageSource], wanted: Wanted = "all") -> list[FoundPhotograph]:
        """The faces of photographs with their aligned crops, not yet answered for.

        wanted="main" gives only the face that a portrait is of, at less cost.
        """
        return find(images, self.detector, wanted)

    def answer(self, found: Sequence[FoundPhotograph]) -> list[Photograph]:
        """Answers for faces that were found; those of all photographs go through the networks together."""
        faces = [face for photograph in found for face in photograph.faces]
        answers: Iterator[Face] = iter(())
        if faces:
            said = self.distributions([face.crop for face in faces])
            answers = iter(self.contents.decisions.answer(faces, said))
        return [
            Photograph(
                photograph.source,
                photograph.width,
                photograph.height,
                tuple(islice(answers, len(photograph.faces))),
                photograph.problem,
            )
            for photograph in found
        ]

    def distributions(self, crops: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[np.float64]]:
        """What each specialist says of crops, uint8 RGB (256, 256, 3): probabilities of its outputs (N, K)."""
        return {task: trained.distribution(crops, self.batch_size) for task, trained in self.specialists.items()}


def open_model(path: Path) -> tuple[BundleSource, BundleContents]:
    """A bundle, or trained runs as if they were one; raises `UserError` where it is neither."""
    if path.is_dir() and not (path / MANIFEST).exists():
        gathered = read_trained_runs(runs_below(path), path)
        return gathered.source, gathered.contents
    if not path.exists():
        raise UserError(
            f"{path} does not exist. --model names a bundle (python -m shared.bundle makes one) or a folder that holds "
            "mask/, gender/ and age/ with trained runs; make demo leaves one at outputs/demo"
        )
    source: BundleSource = Folder(path) if path.is_dir() else Archive(path)
    return source, read_contents(source)


def _detector(source: BundleSource, runtime: Runtime, device: str) -> Detector:
    if runtime == "torch":
        from shared.faces.mtcnn_nets import load_detector

        return load_detector(device)
    from shared.predictor.ensemble import detector_of, open_session

    sessions = [open_session(_read_onnx(source, name), f"{source.path}: {name}") for name in DETECTOR_FILES]
    return detector_of(*sessions)


def _trained(
    task: str, source: BundleSource, contents: BundleContents, runtime: Runtime, device: str
) -> SpecialistEnsemble:
    runs = [
        FoldEnsemble(tuple(_member(task, source, name, runtime, device) for name in files.weights), files.tta)
        for files in contents.runs[task]
    ]
    return SpecialistEnsemble(task, tuple(runs))


def _member(task: str, source: BundleSource, name: str, runtime: Runtime, device: str) -> Member:
    """One network, checked to be of this specialist."""
    label = f"{source.path}: {name}"
    if runtime == "onnx":
        return _onnx_member(task, source, onnx_name(name))
    from shared.predictor.torch_networks import logits_of, open_network

    content = source.read(name, MOST_WEIGHTS)
    metadata = metadata_of(content, label)
    window = check_metadata(metadata, task, label)
    network = open_network(content, metadata, label, device)
    return Member(window, metadata.size, logits_of(network, device), network)


def check_metadata(metadata: CheckpointMetadata, task: str, label: str) -> Window:
    """The window of a network. Raises `UserError` unless it is of the specialist, and one that face18 may have made."""
    outputs = metadata.outputs
    sound = (
        metadata.specialist == task
        and metadata.classes == list(SPECIALISTS[task])
        and isinstance(outputs, int)
        and (60 < outputs <= 200 if task == "age" else outputs == len(SPECIALISTS[task]))
        and isinstance(metadata.size, int)
        and 16 <= metadata.size <= 1024
        and isinstance(metadata.backbone, str)
        and metadata.distribution == "softmax"
    )
    if not sound:
        raise UserError(f"{label} is not the network of a {task} specialist that this version of face18 can use")
    if metadata.recipe != RECIPE.id:
        raise UserError(
            f"{label} was trained on crops of recipe {metadata.recipe}, those that this version makes are of "
            f"{RECIPE.id}: use the version of face18 that trained it, or train again"
        )
    try:
        return Window(**metadata.window)
    except (TypeError, ValueError) as error:
        raise UserError(f"{label} looks at no window of a crop ({error})") from error


def _onnx_member(task: str, source: BundleSource, name: str) -> Member:
    from shared.predictor.ensemble import logits_of, metadata_of, open_session

    label = f"{source.path}: {name}"
    session = open_session(_read_onnx(source, name), label)
    metadata = metadata_of(session, label)
    return Member(check_metadata(metadata, task, label), metadata.size, logits_of(session))


def _read_onnx(source: BundleSource, name: str) -> bytes:
    if not source.holds(name):
        raise UserError(
            f"--runtime onnx: {source.path} holds no {name}. Make a bundle with python -m shared.bundle --onnx, "
            "or leave --runtime at torch"
        )
    return source.read(name, MOST_WEIGHTS)
