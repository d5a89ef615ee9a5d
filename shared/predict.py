"""Predict mask, gender, age with an interval, band and class of every face in photographs.

    python -m shared.predict group.jpg                     a table
    python -m shared.predict photographs/ --out faces.csv  a file: CSV, JSON or JSON lines (.jsonl), by its suffix
    python -m shared.predict photographs/ --draw drawn/    and annotated copies
    python -m shared.predict - < portrait.jpg              the photograph itself on standard input
    find . -name '*.jpg' | python -m shared.predict -      paths on standard input
    python -m shared.predict clip.mp4 --format csv         a row for each face and moment; `webcam` is the camera
    python -m shared.predict s3://bucket/photos --cluster tcp://10.0.0.5:8786 --out answers/    millions of them

`--model` names a bundle (`python -m shared.bundle` makes one) or a folder with trained runs. In Python:
`shared.predictor.Predictor`.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, groupby
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
from shared.predictor.predictor import model_files, quick_runtime
from shared.predictor.results import as_csv, as_json, as_json_lines, as_table
from shared.predictor.video import Video, is_video, is_webcam, predict_video

STDIN = "-"

Format = Literal["table", "csv", "json", "jsonl"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""Format by the suffix of --out."""

EXIT_SOME_UNREADABLE = 1

UNCHECKED = "note: the coverage of the 80 % age intervals was not measured for this model"


@dataclass(frozen=True)
class Options:
    """Predict mask, gender, age and class of every face in photographs and videos.

    Exit status: 0; 1 if a photograph or a part of a video could not be read (it is named, the others are predicted); 2
    for unusable options or an unusable model.
    """

    photographs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Photographs, folders of them (with everything below), videos, webcam (or webcam:1, ...), or - for standard
    input: a photograph, or paths, one a line."""

    model: Path | None = None
    """A bundle, or a folder that holds mask/, gender/ and age/ with trained runs. The ready-made model if left out."""

    format: Format | None = None
    """table, csv (a row for each face), json (an array with an object for each photograph), or jsonl (an object a
    line). By the suffix of --out if left out, else a table."""

    out: str | None = None
    """Write the predictions to this file instead of standard output; with --cluster, the folder or address for Parquet
    files."""

    draw: Path | None = None
    """Write annotated copies to this folder; for one photograph it may be a file ending in .jpg or .png."""

    faces: FaceSelection = "all"
    """all faces, or only the main one of a portrait, which takes less time."""

    fps: float = 5.0
    """Frames per second of a video to look at."""

    runtime: Runtime | None = None
    """onnx predicts on the CPU without loading torch; it needs a bundle made with --onnx, as the ready-made model is.
    If left out, onnx if it is possible, the machine has no GPU and --device is not given; else torch."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch runs; auto takes a GPU if there is one."""

    batch_size: int = 64
    """Faces that go through a network together."""

    cluster: str | None = None
    """Predict on the Dask cluster of this scheduler, such as tcp://127.0.0.1:8786: for millions of photographs, which
    may also be lists (.txt), shards (.tar) and addresses such as s3://bucket/photos."""

    part_size: int = 1000
    """With --cluster: photographs in a part; a shard is always one part."""

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise UserError(f"--fps must be above 0 and at most 1000, not {self.fps:g}")
        if self.cluster and (self.format or self.draw or not self.out):
            raise UserError("--cluster writes Parquet files: name their folder with --out, without --format and --draw")
        if self.part_size < 1:
            raise UserError(f"--part-size must be at least 1, not {self.part_size}")
        if self.batch_size < 1:
            raise UserError(f"--batch-size must be at least 1, not {self.batch_size}")
        if self.runtime == "onnx" and self.device == "cuda":
            raise UserError("--runtime onnx runs on the CPU: leave --device out, or take --runtime torch")


def main(options: Options) -> None:
    """Read, predict and print one chunk of photographs after another, or have a cluster do so."""
    if options.cluster:
        _predict_on_cluster(options, options.cluster)
        return
    stdin = sys.stdin.buffer.read() if STDIN in options.photographs else b""
    sources = find_photographs(options.photographs, stdin)
    live, form = any(map(is_webcam, sources)), _format(options)
    out = Path(options.out) if options.out else None
    if options.draw and any(map(is_video, sources)):
        raise UserError("--draw makes copies of photographs: leave it out for videos")
    if live and form == "json":
        raise UserError("a webcam has no end, which --format json needs: take --format jsonl")
    copies = drawn_files(sources, options.draw) if options.draw else {}
    refuse_overwriting(
        {"--draw": [*copies.values()], "--out": out},
        [*(Path(source) for source in sources if source != STDIN), *model_files(options.model or READY_MADE)],
    )
    refuse_overwriting({"--out": out}, copies.values())
    predictor = Predictor.load(options.model or READY_MADE, _runtime(options), options.device, options.batch_size)
    if predictor.contents.decisions.intervals.coverage is None:
        print(UNCHECKED, file=sys.stderr)
    photographs = _predicted(predictor, sources, stdin, copies, options)
    unreadable: list[str] = []
    # Ctrl-C is how a webcam ends: what was predicted until then is kept.
    with _output(out) as file, suppress(*[KeyboardInterrupt] * live):
        for line in _lines(_noted(photographs, unreadable), form, file.encoding):
            print(line, file=file, flush=True)
    if unreadable:
        print(f"warning: {counted(len(unreadable), 'source')} could not be read to the end:", file=sys.stderr)
        for text in unreadable:
            print(f"  {text}", file=sys.stderr)
        sys.exit(EXIT_SOME_UNREADABLE)


def _runtime(options: Options) -> Runtime:
    """Return the runtime that is named, or the quickest one for the model and device."""
    quick = options.device == "auto"
    return options.runtime or (quick_runtime(options.model or READY_MADE) if quick else "torch")


def _format(options: Options) -> Format:
    """Return the format that is named, or that the suffix of the output stands for."""
    suffix = Path(options.out).suffix.lower() if options.out else ""
    return options.format or SUFFIXES.get(suffix, "table")


def _predict_on_cluster(options: Options, cluster: str) -> None:
    try:
        from shared.cluster import PredictJob, run_job
    except ImportError as error:
        raise UserError(f"--cluster needs dask: pip install 'face18[cluster]' ({error})") from error
    model, runtime = options.model and options.model.absolute(), _runtime(options)
    fingerprint = Predictor.load(model or READY_MADE, runtime, "cpu").fingerprint
    job = PredictJob(model, fingerprint, options.faces, runtime, options.device, options.batch_size)
    out = options.out or ""
    total = run_job(job, options.photographs, out, cluster, options.part_size)
    print(f"{out}: {counted(total.images, 'photograph')}, {total.failed:,} of them could not be read: see `problem`")
    if total.failed:
        sys.exit(EXIT_SOME_UNREADABLE)


def _lines(photographs: Iterable[Photograph], form: Format, encoding: str) -> Iterator[str]:
    if form in ("json", "jsonl"):
        # Other encodings than UTF-8 would escape characters in a way that JSON does not know.
        write = as_json if form == "json" else as_json_lines
        return write(photographs, ascii_only=encoding.lower().replace("-", "") != "utf8")
    return as_csv(photographs) if form == "csv" else as_table(photographs)


def find_photographs(named: Iterable[str], stdin: bytes = b"") -> list[str]:
    """Return the files that are named, and those of named folders in the order of their paths, each once.

    `stdin` is the content of standard input, which - stands for: lines with a path each, or a photograph (image files
    hold zero bytes, lists of paths do not), which remains -. Raises `UserError` if nothing is named, or a folder holds
    no photograph.
    """
    found: dict[str, None] = {}
    listed = [] if b"\0" in stdin else [os.fsdecode(line) for line in stdin.splitlines() if line.strip()]
    for name in chain.from_iterable(listed if word == STDIN and listed else [word] for word in named):
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
        raise UserError("name photographs, folders of them, or - for standard input")
    return [*found]


def _predicted(
    predictor: Predictor, sources: Sequence[str], stdin: bytes, copies: dict[str, Path], options: Options
) -> Iterator[Photograph]:
    """Yield the predictions of all sources in their order, with a progress bar for photographs and for each video."""
    for moving, group in groupby(sources, key=is_video):
        names = list(group)
        if moving:
            for name in names:
                video = Video(name, options.fps)
                frames = predict_video(predictor, video, options.faces)
                yield from tqdm(frames, name, video.expected, unit=" frames", disable=None)
        else:
            images = {name: stdin if name == STDIN else name for name in names}
            photographs = predictor.stream(images.values(), options.faces)
            hidden = True if len(sources) == 1 else None
            bar = tqdm(photographs, total=len(names), unit=" photographs", disable=hidden)
            yield from _named_and_drawn(bar, images, copies)


def _named_and_drawn(
    photographs: Iterable[Photograph], images: dict[str, str | bytes], copies: dict[str, Path]
) -> Iterator[Photograph]:
    """Yield the photographs with the names of their sources, and draw the copies on the way."""
    for (source, image), photograph in zip(images.items(), photographs, strict=True):
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
