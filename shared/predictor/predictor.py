"""`Predictor`: from photographs to predictions, with the networks of a bundle or of trained runs."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from shutil import which

import numpy as np
from numpy.typing import NDArray

from shared.bundle_source import MANIFEST, MAX_MANIFEST, BundleSource
from shared.faces.mtcnn import Detector
from shared.faces.workers import choose_device
from shared.files import READY_MADE
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import OOF
from shared.messages import UserError
from shared.predictor.bundle_file import CARD, DETECTOR_FILES, BundleContents, open_bundle
from shared.predictor.detect import DecodedPhotograph, DetectedPhotograph, FaceSelection, ImageSource, detect_faces
from shared.predictor.ensemble import (
    Runtime,
    SpecialistEnsemble,
    load_detector_sessions,
    load_ensembles,
    predict_batch,
)
from shared.predictor.from_runs import read_trained_runs, runs_below
from shared.predictor.results import ModelDescription, Photograph
from shared.tracking import RUN
from shared.training.run_folder import WEIGHTS, finished_folds

PHOTOGRAPHS_IN_MEMORY = 16


@dataclass(frozen=True)
class Predictor:
    """Predict mask, gender and age of every face in photographs. May be called from several threads.

    >>> predictor = Predictor.load(model)  # A bundle, or a folder with trained runs.
    >>> for photograph in predictor([portrait, "gone.jpg"]):
    ...     print(photograph.width, photograph.height, len(photograph.faces), photograph.problem)
    384 512 1 None
    0 0 0 no such file or directory
    >>> face = predictor(portrait)[0].faces[0]
    >>> face.mask.name in ("worn", "incorrect", "none"), face.age.low <= face.age.years <= face.age.high
    (True, True)
    """

    name: str
    """Name of the bundle, or of the folder with the trained runs."""
    fingerprint: str
    """16 hex digits that identify weights and decisions; files for another runtime have another fingerprint."""
    specialists: Mapping[str, SpecialistEnsemble]
    """By name: mask, gender, age. With PyTorch, `specialists["age"].networks[0].module` is the first network, and
    `.inputs(crops)` gives its input."""
    contents: BundleContents
    """The fitted decisions, and where the bundle comes from."""
    card: str
    """The model card in Markdown; empty for trained runs that were not bundled."""
    runtime: Runtime
    device: str
    """cpu or cuda."""
    detector: Detector
    """The nets that find faces."""
    batch_size: int = 64
    """Faces that go through a network together."""

    @property
    def description(self) -> ModelDescription:
        """What the model is: its name, what it was trained on, its fingerprint.

        >>> print(Predictor.load(model).description)
        outputs, trained on drawings
        """
        return ModelDescription(self.name, self.contents.trained_on(), self.fingerprint)

    @classmethod
    def load(
        cls,
        path: str | Path = READY_MADE,
        runtime: Runtime = "torch",
        device: str = "auto",
        batch_size: int = 64,
        threads: int = 0,
    ) -> "Predictor":
        """Load a bundle (zip file or folder), or a folder with trained runs as mask/, gender/ and age/.

        The ready-made model when left out. onnxruntime predicts a batch in `threads` threads, 0: one per core; for
        PyTorch, `torch.set_num_threads` decides.

        Nothing is unpickled or written. Runs take seconds longer than a bundle: the decisions are fitted on their
        oof.csv first. Raises `UserError` if the path holds neither, a file is broken or needs crops of another recipe,
        or the device or the runtime is not available.

        >>> Predictor.load(model, device="cpu").device
        'cpu'
        """
        path = Path(path)
        source, contents = open_model(path)
        device = choose_device(device) if runtime == "torch" else "cpu"
        specialists = load_ensembles(contents.runs, source, runtime, device, threads)
        card = source.read(CARD, MAX_MANIFEST).decode(errors="replace") if source.holds(CARD) else ""
        return cls(
            name=path.resolve().name,
            fingerprint=_fingerprint(specialists, contents),
            specialists=specialists,
            contents=contents,
            card=card,
            runtime=runtime,
            device=device,
            detector=_detector(source, runtime, device, threads),
            batch_size=batch_size,
        )

    def __call__(self, images: ImageSource | Iterable[ImageSource], faces: FaceSelection = "all") -> list[Photograph]:
        """Predict for photographs: paths, contents of files, or upright pixels (uint8 RGB, (height, width, 3)).

        Returns a `Photograph` for each, in their order. Raises nothing for a file that cannot be read: its `problem`
        says why.
        """
        return list(self.stream(images, faces))

    def stream(self, images: ImageSource | Iterable[ImageSource], faces: FaceSelection = "all") -> Iterator[Photograph]:
        """Yield the same predictions one by one, with few photographs in memory.

        >>> photographs = Predictor.load(model).stream([portrait] * 3, faces="main")
        >>> [face.box[0] > 0 for photograph in photographs for face in photograph.faces]
        [True, True, True]
        """
        one = isinstance(images, str | Path | bytes | np.ndarray | DecodedPhotograph)
        several: Iterator[ImageSource] = iter([images] if one else images)  # type: ignore[arg-type, list-item]
        while chunk := list(islice(several, PHOTOGRAPHS_IN_MEMORY)):
            yield from self.predict(self.detect(chunk, faces))

    def detect(self, images: Sequence[ImageSource], faces: FaceSelection = "all") -> list[DetectedPhotograph]:
        """Find the faces of photographs and cut them out aligned, without predictions.

        `faces="main"` finds only the face that a portrait shows, in less time.

        >>> Predictor.load(model).detect([portrait])[0].faces[0].crop.shape
        (256, 256, 3)
        """
        return detect_faces(images, self.detector, faces)

    def predict(self, detected: Sequence[DetectedPhotograph]) -> list[Photograph]:
        """Predict for faces that `detect` found; those of all photographs go through the networks together.

        >>> predictor = Predictor.load(model)
        >>> [len(photograph.faces) for photograph in predictor.predict(predictor.detect([portrait, portrait]))]
        [1, 1]
        """
        crops = [face.crop for photograph in detected for face in photograph.faces]
        return self.decide(detected, self.probabilities(crops) if crops else {})

    def decide(
        self, detected: Sequence[DetectedPhotograph], probabilities: Mapping[str, NDArray[np.float64]]
    ) -> list[Photograph]:
        """Decide from probabilities (F, N, K), as `probabilities` returns them, for the N faces of all photographs."""
        faces = [face for photograph in detected for face in photograph.faces]
        decided = iter(self.contents.decisions.decide(faces, probabilities) if faces else [])
        model = self.description
        return [
            Photograph(
                source=photograph.source,
                width=photograph.width,
                height=photograph.height,
                faces=tuple(islice(decided, len(photograph.faces))),
                problem=photograph.problem,
                turned=photograph.turned,
                remarks=photograph.remarks,
                model=model,
            )
            for photograph in detected
        ]

    def probabilities(self, crops: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[np.float64]]:
        """Return each specialist's probabilities of its outputs (F, N, K) for crops, uint8 RGB (256, 256, 3).

        They are averaged over views and runs, not over the F folds, and not calibrated; the outputs of age are years.

        >>> crop = np.zeros((256, 256, 3), np.uint8)
        >>> {task: table.shape[1:] for task, table in Predictor.load(model).probabilities([crop]).items()}
        {'mask': (1, 3), 'gender': (1, 2), 'age': (1, 101)}
        """
        batches = [
            predict_batch(self.specialists, crops[start : start + self.batch_size])
            for start in range(0, len(crops), self.batch_size)
        ]
        return {task: np.concatenate([batch[task] for batch in batches], axis=1) for task in self.specialists}


def open_model(path: Path) -> tuple[BundleSource, BundleContents]:
    """Open a bundle, or trained runs as if they were one; raises `UserError` if the path holds neither."""
    if path.is_dir() and not (path / MANIFEST).exists():
        trained = read_trained_runs(runs_below(path), path)
        return trained.source, trained.contents
    if not path.exists():
        raise UserError(
            f"{path} does not exist. --model names a bundle (python -m shared.bundle makes one) or a folder with "
            "trained runs as mask/, gender/ and age/ (python -m pipelines.mask.train makes one, likewise gender, age); "
            "without --model the ready-made model is used"
        )
    return open_bundle(path)


def quick_runtime(path: Path) -> Runtime:
    """Return the runtime that starts and predicts quickest for the model at `path`.

    onnx, for a bundle with ONNX files, if onnxruntime is installed and the machine has no GPU for torch; else torch.
    """
    if which("nvidia-smi") or find_spec("onnxruntime") is None or not (path.is_file() or (path / MANIFEST).exists()):
        return "torch"
    source, _ = open_bundle(path)
    return "onnx" if all(map(source.holds, DETECTOR_FILES)) else "torch"


def model_files(path: Path) -> list[Path]:
    """Return the files that `Predictor.load` may read: a bundle's, or weights, oof.csv and run.json of trained runs."""
    if not path.is_dir():
        return [path]
    if (path / MANIFEST).exists():
        return [file for file in path.rglob("*") if file.is_file()]
    runs = [path / task for task in SPECIALISTS]
    weights = [folder / WEIGHTS for run in runs for folder in finished_folds(run).values()]
    return [*weights, *(run / name for run in runs for name in (OOF, RUN))]


def _detector(source: BundleSource, runtime: Runtime, device: str, threads: int) -> Detector:
    if runtime == "onnx":
        return load_detector_sessions(source, threads)
    from shared.faces.mtcnn_nets import load_detector

    return load_detector(device)


def _fingerprint(specialists: Mapping[str, SpecialistEnsemble], contents: BundleContents) -> str:
    manifest = contents.to_dict()
    networks = {task: [network.digest for network in ensemble.networks] for task, ensemble in specialists.items()}
    text = json.dumps([networks, manifest["recipe"]["id"], manifest["decisions"], manifest["age_interval"]])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
