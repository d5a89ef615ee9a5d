"""Every face in every photograph: mask, gender, age with an interval, band and class.

    python -m shared.predict group.jpg                     a table
    python -m shared.predict photographs/ --json           one JSON array; --csv likewise; --out FILE for a file
    python -m shared.predict photographs/ --draw drawn/    and annotated copies
    python -m shared.predict - < portrait.jpg              the photograph itself on standard input

`--model` names a bundle (`python -m shared.bundle` makes one) or a folder with trained runs. In Python:
`shared.predictor.Predictor`.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TextIO

import cv2
import numpy as np
import tyro
from tqdm import tqdm

from shared.commands import run
from shared.faces.image_io import UnusableImageError, decode
from shared.files import replacing
from shared.messages import UserError, counted
from shared.predictor import Photograph, Predictor
from shared.predictor.detect import Wanted
from shared.predictor.predictor import Runtime
from shared.predictor.results import as_csv, as_json, as_table, draw

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic")
"""Of the files that are taken for photographs in a folder; files that are named may have any."""

STDIN = "-"

ENOUGH_TO_DRAW = 1600
"""Pixels: larger photographs are halved before they are annotated."""

EXIT_SOME_UNREADABLE = 1

UNCHECKED = "note: nobody checked how often the 80 % intervals of age hold, for the age run's oof.csv tells no ages"


@dataclass(frozen=True)
class Options:
    """Answer for every face in every photograph.

    Exit status: 0; 1 where a photograph could not be read (it is named, the others are answered); 2 where options or
    model are at fault.
    """

    photographs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Files, folders (searched with all below them), or - for one photograph on standard input."""

    model: Path = Path("outputs")
    """A bundle, or a folder that holds mask/, gender/ and age/ with trained runs."""

    json: bool = False
    """Answer with a JSON array, one object for each photograph."""

    csv: bool = False
    """Answer with CSV, one row for each face."""

    out: Path | None = None
    """Write the answers to this file, not to standard output."""

    draw: Path | None = None
    """Write annotated copies to this folder; with one photograph it may be a file ending in .jpg or .png."""

    faces: Wanted = "all"
    """all: also those of groups; main: the one face that a portrait is of, in less time."""

    runtime: Runtime = "torch"
    """onnx answers without loading torch; it needs a bundle made with --onnx."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch runs; auto takes a GPU where there is one."""

    batch_size: int = 64
    """Faces that go through a network together."""

    def __post_init__(self) -> None:
        if self.json and self.csv:
            raise UserError("--json and --csv are two forms of one answer: ask for one")
        if self.batch_size < 1:
            raise UserError(f"--batch-size must be at least 1, not {self.batch_size}")
        if self.runtime == "onnx" and self.device == "cuda":
            raise UserError("--runtime onnx runs on the CPU: leave --device out, or take --runtime torch")


def main(options: Options) -> None:
    """Photographs are read, answered for and told of one chunk after another."""
    sources = list(find_photographs(options.photographs))
    targets = drawn_names(sources, options.draw)
    predictor = Predictor.load(options.model, options.runtime, options.device, options.batch_size)
    if predictor.contents.decisions.intervals.coverage is None:
        print(UNCHECKED, file=sys.stderr)
    images = {source: sys.stdin.buffer.read() if source == STDIN else source for source in sources}
    unreadable: list[str] = []
    told = (as_json if options.json else as_csv if options.csv else as_table)(
        _noted(predictor.stream(images.values(), options.faces), images, targets, unreadable)
    )
    with _writing(options.out) as file:
        for line in told:
            print(line, file=file)
    if unreadable:
        print(f"warning: {counted(len(unreadable), 'photograph')} could not be read:", file=sys.stderr)
        for text in unreadable:
            print(f"  {text}", file=sys.stderr)
        sys.exit(EXIT_SOME_UNREADABLE)


def find_photographs(named: Iterable[str]) -> Iterator[str]:
    """Files as they are named, each once; those of folders in the order of their names.

    Raises `UserError` where nothing is named, or a folder holds no photograph.
    """
    seen: set[str] = set()
    for name in named:
        path = Path(name)
        files = [name]
        if name != STDIN and path.is_dir():
            files = sorted(str(file) for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not files:
                raise UserError(f"{name} holds no photograph (a file ending in {', '.join(SUFFIXES)})")
        yield from (file for file in files if file not in seen)
        seen.update(files)
    if not seen:
        raise UserError("name photographs, folders of them, or - for one on standard input")


def drawn_names(sources: list[str], out: Path | None) -> dict[str, Path]:
    """Where the annotated copy of each photograph goes; none without `out`.

    Raises `UserError` where one file is to hold several photographs.
    """
    if out is None:
        return {}
    if out.suffix.lower() in (".jpg", ".jpeg", ".png"):
        if len(sources) > 1:
            raise UserError(f"--draw {out} is one file, but there are {len(sources):,} photographs: name a folder")
        return {sources[0]: out}
    names: dict[str, Path] = {}
    taken: dict[str, int] = {}
    for source in sources:
        stem = "stdin" if source == STDIN else Path(source).stem
        taken[stem] = taken.get(stem, 0) + 1
        names[source] = out / (f"{stem}.jpg" if taken[stem] == 1 else f"{stem}-{taken[stem]}.jpg")
    return names


def _noted(
    photographs: Iterable[Photograph],
    images: dict[str, str | bytes],
    targets: dict[str, Path],
    unreadable: list[str],
) -> Iterator[Photograph]:
    """The same photographs; on the way they are drawn, and what could not be read is noted."""
    hidden = True if len(images) == 1 else None
    bar = tqdm(zip(images.items(), photographs, strict=True), total=len(images), unit=" photographs", disable=hidden)
    for (source, image), photograph in bar:
        if photograph.problem:
            unreadable.append(f"{source}: {photograph.problem}")
        elif source in targets:
            _draw(image, photograph, targets[source])
        yield replace(photograph, source=source)


def _draw(image: str | bytes, photograph: Photograph, target: Path) -> None:
    try:
        decoded = decode(image if isinstance(image, bytes) else Path(image).read_bytes(), ENOUGH_TO_DRAW)
    except (OSError, UnusableImageError):
        return  # It changed since it was answered for.
    drawn = draw(decoded.pixels.astype(np.uint8, copy=False), photograph)
    _, encoded = cv2.imencode(target.suffix, cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    with replacing(target) as temporary:
        temporary.write_bytes(encoded.tobytes())


@contextmanager
def _writing(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        yield file


if __name__ == "__main__":
    run(main, Options())
