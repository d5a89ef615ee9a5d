"""Predict mask, gender, age with an interval, band and class of every face in photographs.

    python -m shared.predict group.jpg                     a table
    python -m shared.predict photographs/ --json           one JSON array; --csv likewise; --out FILE for a file
    python -m shared.predict photographs/ --draw drawn/    and annotated copies
    python -m shared.predict - < portrait.jpg              the photograph itself on standard input

`--model` names a bundle (`python -m shared.bundle` makes one) or a folder with trained runs. In Python:
`shared.predictor.Predictor`.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TextIO

import tyro
from tqdm import tqdm

from shared.commands import run
from shared.faces.image_io import UnusableImageError
from shared.files import IMAGE_SUFFIXES, READY_MADE, UNENCODABLE, find_images, refuse_overwriting, replacing
from shared.messages import UserError, counted
from shared.predictor import Photograph, Predictor
from shared.predictor.detect import FaceSelection
from shared.predictor.drawing import drawn_files, write_copy
from shared.predictor.ensemble import Runtime
from shared.predictor.predictor import model_files
from shared.predictor.results import as_csv, as_json, as_table

STDIN = "-"

EXIT_SOME_UNREADABLE = 1

UNCHECKED = "note: the coverage of the 80 % age intervals was not measured for this model"


@dataclass(frozen=True)
class Options:
    """Predict mask, gender, age and class of every face in photographs.

    Exit status: 0; 1 if a photograph could not be read (it is named, the others are predicted); 2 for unusable options
    or an unusable model.
    """

    photographs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Files, folders (with everything below them), or - for one photograph on standard input."""

    model: Path | None = None
    """A bundle, or a folder that holds mask/, gender/ and age/ with trained runs. The ready-made model if left out."""

    json: bool = False
    """Print a JSON array with one object for each photograph."""

    csv: bool = False
    """Print CSV with one row for each face."""

    out: Path | None = None
    """Write the predictions to this file instead of standard output."""

    draw: Path | None = None
    """Write annotated copies to this folder; for one photograph it may be a file ending in .jpg or .png."""

    faces: FaceSelection = "all"
    """all faces, or only the main one of a portrait, which takes less time."""

    runtime: Runtime = "torch"
    """onnx predicts without loading torch; it needs a bundle made with --onnx."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch runs; auto takes a GPU if there is one."""

    batch_size: int = 64
    """Faces that go through a network together."""

    def __post_init__(self) -> None:
        if self.json and self.csv:
            raise UserError("--json and --csv exclude each other: take one")
        if self.batch_size < 1:
            raise UserError(f"--batch-size must be at least 1, not {self.batch_size}")
        if self.runtime == "onnx" and self.device == "cuda":
            raise UserError("--runtime onnx runs on the CPU: leave --device out, or take --runtime torch")


def main(options: Options) -> None:
    """Read, predict and print one chunk of photographs after another."""
    sources = find_photographs(options.photographs)
    copies = drawn_files(sources, options.draw) if options.draw else {}
    refuse_overwriting(
        {"--draw": [*copies.values()], "--out": options.out},
        [*(Path(source) for source in sources if source != STDIN), *model_files(options.model or READY_MADE)],
    )
    refuse_overwriting({"--out": options.out}, copies.values())
    predictor = Predictor.load(options.model or READY_MADE, options.runtime, options.device, options.batch_size)
    if predictor.contents.decisions.intervals.coverage is None:
        print(UNCHECKED, file=sys.stderr)
    images = {source: sys.stdin.buffer.read() if source == STDIN else source for source in sources}
    photographs = _named_and_drawn(predictor.stream(images.values(), options.faces), images, copies)
    unreadable: list[str] = []
    with _output(options.out) as file:
        for line in _lines(_noted(photographs, unreadable), options, file.encoding):
            print(line, file=file)
    if unreadable:
        print(f"warning: {counted(len(unreadable), 'photograph')} could not be read:", file=sys.stderr)
        for text in unreadable:
            print(f"  {text}", file=sys.stderr)
        sys.exit(EXIT_SOME_UNREADABLE)


def _lines(photographs: Iterable[Photograph], options: Options, encoding: str) -> Iterator[str]:
    if options.json:
        # Other encodings than UTF-8 would escape characters in a way that JSON does not know.
        return as_json(photographs, ascii_only=encoding.lower().replace("-", "") != "utf8")
    return as_csv(photographs) if options.csv else as_table(photographs)


def find_photographs(named: Iterable[str]) -> list[str]:
    """Return the files that are named, and those of named folders in the order of their paths, each once.

    Raises `UserError` if nothing is named, or a folder holds no photograph.
    """
    found: dict[str, None] = {}
    for name in named:
        path = Path(name)
        files = [name]
        if name != STDIN and path.is_dir():
            inside = find_images(path)
            files = [str(file) for file in inside.images]
            if not files:
                raise UserError(f"{name} holds no photograph (a file ending in {', '.join(IMAGE_SUFFIXES)})")
            if inside.others:
                print(f"note: {name}: {inside.remark()}", file=sys.stderr)
        found |= dict.fromkeys(files)
    if not found:
        raise UserError("name photographs, folders of them, or - for one on standard input")
    return [*found]


def _named_and_drawn(
    photographs: Iterable[Photograph], images: dict[str, str | bytes], copies: dict[str, Path]
) -> Iterator[Photograph]:
    """Yield the photographs with the names of their sources, and draw the copies on the way."""
    hidden = True if len(images) == 1 else None
    bar = tqdm(zip(images.items(), photographs, strict=True), total=len(images), unit=" photographs", disable=hidden)
    for (source, image), photograph in bar:
        drawn = None
        # A file that changed after it was read for prediction gets no copy.
        with suppress(OSError, UnusableImageError):
            if source in copies and not photograph.problem:
                content = image if isinstance(image, bytes) else Path(image).read_bytes()
                write_copy(content, photograph, copies[source])
                drawn = str(copies[source])
        yield replace(photograph, source=source, drawn=drawn)


def _noted(photographs: Iterable[Photograph], unreadable: list[str]) -> Iterator[Photograph]:
    """Yield the photographs, and note those that could not be read."""
    for photograph in photographs:
        if photograph.problem:
            unreadable.append(f"{photograph.source}: {photograph.problem}")
        yield photograph


@contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8", errors=UNENCODABLE, newline="\n") as file:
        yield file


if __name__ == "__main__":
    run(main, Options())
