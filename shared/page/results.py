"""What the page shows and offers of analysed photographs: drawn copies, rows of the table, messages, files."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.faces.image_io import MissingReaderError, UnusableImageError
from shared.predictor import Choice, Face, Photograph, Predictor
from shared.predictor.detect import SMALL_FACE, decode_photograph
from shared.predictor.drawing import draw, drawn_files, upright_pixels
from shared.predictor.results import as_csv, as_json

Pixels = NDArray[np.uint8]
Texts = Mapping[str, str]

SHOWN_SIDE = 800
"""Pixels of the longer side of a drawn copy as shown: a phone halves it at most."""
LEGIBLE = 0.6
"""Scale of the smallest letters on it; see `draw`."""
COLUMNS = ("face_number", "mask", "gender", "interval", "band", "class", "photograph")
"""Columns of the table, as keys of the texts."""


@dataclass(frozen=True)
class Analysis:
    """A photograph with its predictions."""

    photograph: Photograph
    """Its source is the name of the file."""
    path: Path
    """Where the upload is, until it is deleted."""
    crops: Sequence[Pixels] = ()
    """The aligned crop of each face, uint8 RGB (256, 256, 3)."""
    error: UnusableImageError | None = None
    """Why the file could not be read."""

    @property
    def main(self) -> int:
        """Index of the main face; 0 if there is no face."""
        return next((at for at, face in enumerate(self.photograph.faces) if face.main), 0)


def analyze(predictor: Predictor, path: Path, name: str) -> Analysis:
    """Predict every face in an image file."""
    try:
        detected = predictor.detect([decode_photograph(path.read_bytes())])
    except UnusableImageError as error:
        failed = Photograph(name, 0, 0, (), str(error), model=predictor.description)
        return Analysis(failed, path, error=error)
    (photograph,) = predictor.predict(detected)
    return Analysis(replace(photograph, source=name), path, [face.crop for face in detected[0].faces])


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names with a number before the suffix of those that occur again.

    >>> distinct(["a.jpg", "b.jpg", "a.jpg"])
    ['a.jpg', 'b.jpg', 'a (2).jpg']
    """
    found: list[str] = []
    for name in names:
        path, number, new = Path(name), 1, name
        while new in found:
            number += 1
            new = f"{path.stem} ({number}){path.suffix}"
        found.append(new)
    return found


def shown_copy(pixels: Pixels, photograph: Photograph, unsure_below: float) -> Pixels:
    """Return the photograph at the size in which it is shown, with its predictions."""
    factor = min(1.0, SHOWN_SIDE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return draw(small, photograph, unsure_below, LEGIBLE)


def drawn_copies(analyses: Sequence[Analysis], unsure_below: float) -> tuple[list[tuple[Pixels, str]], bytes]:
    """Return the drawn copies as shown, each with its caption, and a ZIP file of them in full size.

    Raises `OSError` if an upload has been deleted.
    """
    shown, archive = [], io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for analysis in analyses:
            photograph = analysis.photograph
            if not photograph.drawn:
                continue
            pixels = upright_pixels(analysis.path.read_bytes(), photograph)
            shown.append((shown_copy(pixels, photograph, unsure_below), photograph.source))
            full = cv2.cvtColor(draw(pixels, photograph, unsure_below), cv2.COLOR_RGB2BGR)
            file.writestr(photograph.drawn, cv2.imencode(".jpg", full)[1].tobytes())
    return shown, archive.getvalue()


def with_copies(analyses: Sequence[Analysis]) -> list[Analysis]:
    """Return the analyses with the names of their drawn copies, which are those of `face18 predict --draw`."""
    readable = [analysis.photograph.source for analysis in analyses if not analysis.photograph.problem]
    names = drawn_files(readable, Path())
    return [
        replace(analysis, photograph=replace(analysis.photograph, drawn=str(names[analysis.photograph.source])))
        if analysis.photograph.source in names
        else analysis
        for analysis in analyses
    ]


def table(analyses: Sequence[Analysis], unsure_below: float, texts: Texts) -> dict[str, list[object]]:
    """Return headers and rows, one for each face."""
    rows: list[object] = [
        [str(number), *_cells(face, unsure_below, texts), analysis.photograph.source]
        for analysis in analyses
        for number, face in enumerate(analysis.photograph.faces, 1)
    ]
    return {"headers": [texts[name] for name in COLUMNS], "data": rows}


def _cells(face: Face, unsure_below: float, texts: Texts) -> list[str]:
    choices = (face.mask, face.gender, face.band)
    mask, gender, band = (f"{word(choice, unsure_below, texts)} {percent(choice.probability)}" for choice in choices)
    unsure = any(choice.probability < unsure_below for choice in choices)
    return [mask, gender, str(face.age), band, texts["unsure"] if unsure else str(face.class_number)]


def word(choice: Choice, unsure_below: float, texts: Texts) -> str:
    """Return the predicted class in words, or that it is unsure."""
    return texts["unsure"] if choice.probability < unsure_below else texts[choice.name]


def percent(probability: float) -> str:
    """Return a probability in percent; never "100 %" or "0 %", which no network knows."""
    if probability > 0.995:
        return "> 99 %"
    return "< 1 %" if probability < 0.005 else f"{100 * probability:.0f} %"


def message(analyses: Sequence[Analysis], texts: Texts) -> str:
    """Return how many faces there are, and what is wrong with photographs, a line each."""
    faces = sum(len(analysis.photograph.faces) for analysis in analyses)
    lines = [texts["found"].format(faces=faces, photographs=len(analyses))]
    return "\n".join([*lines, *(note for analysis in analyses for note in _notes(analysis, texts))])


def _notes(analysis: Analysis, texts: Texts) -> list[str]:
    """Return what is wrong with a photograph; the remarks of `Photograph` exist in English only."""
    photograph, name = analysis.photograph, analysis.photograph.source
    if isinstance(analysis.error, MissingReaderError):
        return [texts["no_reader"].format(name=name, problem=analysis.error.image_format)]
    if photograph.problem:
        key = photograph.problem if photograph.problem in texts else "unusable"
        return [texts[key].format(name=name, problem=photograph.problem)]
    small = [str(at) for at, face in enumerate(photograph.faces, 1) if face.box[2] - face.box[0] < SMALL_FACE]
    found = {
        "no_face": not photograph.faces,
        "turned": photograph.turned,
        "part_missing": any(remark.startswith("truncated") for remark in photograph.remarks),
        "small": small,
    }
    values = {"name": name, "degrees": photograph.turned, "faces": ", ".join(small), "pixels": SMALL_FACE}
    return [texts[key].format(**values) for key, holds in found.items() if holds]


def write_files(folder: Path, analyses: Sequence[Analysis]) -> tuple[str, str]:
    """Write the CSV and JSON of `face18 predict` to a folder; return their paths."""
    photographs = [analysis.photograph for analysis in analyses]
    files = {"predictions.csv": as_csv(photographs), "predictions.json": as_json(photographs)}
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    csv, json = (str(folder / name) for name in files)
    return csv, json
