"""Images and tables that chance spoilt: pixels or a reason, rows or a clear error."""

import io
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import Place
from drawn_faces import bare, encode, files
from forks import fork, was_killed
from numpy.random import Generator
from PIL import Image

from shared.crops import DETECTED, RETRIED, UNREADABLE, read_index
from shared.faces.cache import update_crops
from shared.faces.image_io import UnusableImageError, decode
from shared.fusion.predictions import read_held_out, read_predictions
from shared.label_fixes import read_solution
from shared.labels import GENDERS
from shared.manifest import load_evaluation, load_training
from shared.messages import UserError

MIB = 2**20


def _with_little_memory(more: int, work: Callable[[bytes], object], data: bytes) -> None:
    """Do the work in a process that may have so many bytes more than it begins with, of address space."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    work(data)


def _refused(data: bytes) -> None:
    with pytest.raises(UnusableImageError, match="too large: 12000 x 12000"):
        decode(data)


@pytest.mark.parametrize("form", ["JPEG", "progressive", "PNG"])
def test_a_image_of_12000_by_12000_pixels_is_read_or_refused_in_little_memory(form: str) -> None:
    levels = np.zeros((12000, 12000), np.uint8)
    data = encode(levels, "PNG" if form == "PNG" else "JPEG", progressive=form == "progressive")
    # The whole image would take 144 MB in grey, 432 in colour.
    work = decode if form == "JPEG" else _refused
    assert not was_killed(fork(_with_little_memory, 100 * MIB, work, data))


def hostile_files(random: Generator) -> dict[str, bytes]:
    """Of every kind that has made a program stumble; those whose name begins with "not" cannot be read."""
    jpeg, png = files()[0], encode(bare().pixels, "PNG")
    cut = {f"not {tenth} tenths.jpg": jpeg[: len(jpeg) * tenth // 10] for tenth in range(7)}
    noise = {f"not {number} noise.jpg": random_bytes(random) for number in range(20)}
    tables = {f"{number} tables.jpg": spoilt_huffman(random) for number in range(10)}
    palette, frames = io.BytesIO(), io.BytesIO()
    clear = Image.fromarray(bare().pixels).convert("RGBA")
    clear.putalpha(128)
    clear.quantize().save(palette, "PNG")
    clear.save(frames, "GIF", save_all=True, append_images=[Image.new("RGB", clear.size)])
    odd = {
        "png.jpg": png,
        "jpeg.gif": jpeg,
        "dot.jpg": encode(np.zeros((1, 1, 3), np.uint8)),
        "dot.png": encode(np.zeros((1, 1, 3), np.uint8), "PNG"),
        "long.jpg": encode(np.zeros((20, 20000, 3), np.uint8)),
        "tall.png": encode(np.zeros((20000, 20, 3), np.uint8), "PNG"),
        "large.jpg": encode(np.zeros((12000, 12000), np.uint8)),
        "not large.png": encode(np.zeros((12000, 12000), np.uint8), "PNG"),
        "cmyk.jpg": whole_images()[-1],
        "16 bits.png": encode(np.zeros((300, 200), np.uint16), "PNG"),
        "palette.png": palette.getvalue(),
        "frames.gif": frames.getvalue(),
    }
    return {**cut, **noise, **tables, **odd}


def test_a_folder_full_of_hostile_images_is_cropped_and_each_is_named(tmp_path: Path, random: Generator) -> None:
    hostile = hostile_files(random)
    for name, content in {**hostile, "face.jpg": files()[0]}.items():
        (tmp_path / name).write_bytes(content)
    names = [*hostile, "face.jpg"]
    table = pd.DataFrame({"image": names, "path": [str(tmp_path / name) for name in names]})
    with in_time(PATIENCE):
        crops = update_crops(table, tmp_path / "crops", workers=1, device="cpu", progress=False).crops
    assert crops.index.index.tolist() == names
    problems = crops.index["problem"]
    assert (crops.index["found"].eq(UNREADABLE) == problems.ne("")).all()
    unclear = problems.index.str.contains("tables")
    assert (problems.ne("") == problems.index.str.startswith("not"))[~unclear].all(), problems
    assert set(crops.index["found"][["face.jpg", "jpeg.gif", "png.jpg"]]) <= {DETECTED, RETRIED}
    assert all(crops.read(name).shape == (256, 256, 3) for name in names)


PATIENCE = 60
"""Seconds for one file; beyond, it hangs."""


@contextmanager
def in_time(seconds: int) -> Iterator[None]:
    """Raises `TimeoutError` in the main thread where the body takes longer.

    Not before a decoder that is at it has returned: one that never does is for `forks.was_killed`.
    """

    def ring(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def readers(folder: Path) -> dict[str, Callable[[], pd.DataFrame]]:
    """What reads every table that a command reads, by its file below the folder of a `Place`."""
    train, evaluation, run = folder / "data/train", folder / "data/eval", folder / "runs/gender"
    return {
        "data/train/train.csv": lambda: load_training(train),
        "data/eval/info.csv": lambda: load_evaluation(evaluation, True, folder / "rejected.csv"),
        "runs/gender/oof.csv": lambda: read_held_out(run / "oof.csv", GENDERS),
        "runs/gender/eval.csv": lambda: read_predictions(run / "eval.csv", GENDERS),
        "data/eval_solution.csv": lambda: read_solution(folder / "data/eval_solution.csv"),
        "crops/eval/index.csv": lambda: read_index(folder / "crops/eval/index.csv"),
    }


FORMS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")

MAGIC = (b"", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xdb", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b"II*\0", b"BM")
"""What files of images begin with."""

WORDS = (
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"",
    b"nan",
    b"inf",
    b"-1",
    b"1e309",
    b"\xff",
    b"\xef\xbb\xbf",
    b"=1+1",
    b"/..",
)
"""What tables stumble over."""


@cache
def whole_images() -> tuple[bytes, ...]:
    """A small portrait in every form, and as a progressive, a grey and a CMYK JPEG."""
    pixels = bare().pixels[::4, ::4]
    cmyk = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(cmyk, "JPEG")
    jpegs = (encode(pixels, progressive=True), encode(pixels[:, :, 0]), cmyk.getvalue())
    return (*(encode(pixels, form) for form in FORMS), *jpegs)


def huffman_tables(jpeg: bytes) -> list[tuple[int, int]]:
    """Where the Huffman tables of a JPEG begin and end: its DHT segments (ITU-T T.81, B.2.4.2)."""
    tables, at = [], 2
    while jpeg[at + 1] != 0xDA:
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] == 0xC4:
            tables.append((at + 4, at + 2 + length))
        at += 2 + length
    return tables


def random_bytes(random: Generator) -> bytes:
    """Noise, now and then behind the first bytes of an image file."""
    return MAGIC[random.integers(len(MAGIC))] + random.bytes(int(random.integers(1, 3000)))


def cut_image(random: Generator) -> bytes:
    """An image file cut short anywhere."""
    whole = whole_images()[random.integers(len(whole_images()))]
    return whole[: random.integers(len(whole))]


def spoilt_image(random: Generator) -> bytes:
    """An image file with up to twenty bytes changed."""
    content = bytearray(whole_images()[random.integers(len(whole_images()))])
    for place in random.integers(len(content), size=random.integers(1, 21)):
        content[place] = random.integers(256)
    return bytes(content)


def spoilt_huffman(random: Generator) -> bytes:
    """A JPEG with some bytes of its Huffman tables changed."""
    content = bytearray(whole_images()[0])
    tables = huffman_tables(content)
    for _ in range(random.integers(1, 5)):
        begin, end = tables[random.integers(len(tables))]
        content[random.integers(begin, end)] = random.integers(256)
    return bytes(content)


def spoilt_table(table: bytes, random: Generator) -> bytes:
    """A CSV with up to four changes: bytes replaced or put in, lines doubled, lost or cut short."""
    for _ in range(random.integers(1, 5)):
        place, lines = int(random.integers(len(table) + 1)), table.split(b"\n")
        line = int(random.integers(len(lines)))
        match random.integers(5):
            case 0:
                new = random.bytes(int(random.integers(6)))
                table = table[:place] + new + table[place + int(random.integers(30)) :]
            case 1:
                table = table[:place] + WORDS[random.integers(len(WORDS))] + table[place:]
            case 2:
                table = b"\n".join([*lines[: line + 1], *lines[line:]])
            case 3:
                table = b"\n".join([*lines[:line], *lines[line + 1 :]])
            case 4:
                table = table[:place]
    return table


@pytest.mark.parametrize(
    ("spoil", "count", "least", "most"),
    [
        (random_bytes, 1000, 1000, 1000),
        (cut_image, 100, 90, 100),
        (spoilt_huffman, 200, 1, 199),
        (spoilt_image, 200, 1, 199),
    ],
)
def test_spoilt_images_give_pixels_or_a_reason(
    random: Generator, spoil: Callable[[Generator], bytes], count: int, least: int, most: int
) -> None:
    refused = 0
    for _ in range(count):
        data = spoil(random)
        try:
            with in_time(PATIENCE):
                image = decode(data)
        except UnusableImageError:
            refused += 1
        else:
            assert image.pixels.dtype == np.uint8
            assert image.pixels.shape[2:] == (3,)
    assert least <= refused <= most


def test_spoilt_tables_give_rows_or_a_user_error(place: Place, tmp_path: Path, random: Generator) -> None:
    shutil.copytree(place.folder, tmp_path / "place")
    refused = 0
    for name, read in readers(tmp_path / "place").items():
        content = (place.folder / name).read_bytes()
        for _ in range(50):
            spoilt = spoilt_table(content, random)
            (tmp_path / "place" / name).write_bytes(spoilt)
            try:
                with in_time(PATIENCE):
                    assert len(read()) > 0, spoilt
            except UserError:
                refused += 1
    assert 0 < refused < 300
